"""Odd values: what people really type, columns at their limits, times that Python's datetime cannot hold."""

from psycopg.types.json import Jsonb

from legacy_customers.sample.logins import LOGINS, PASSWORD_HASH_2A, PLACEHOLDER_HASH
from legacy_customers.sample.persons import Person, Row, person, seen, user
from legacy_customers.sample.shop_identity import LINKED, VERIFIED


def _named(key: str, why: str, first_name: str, last_name: str, **columns: object) -> Person:
    """A verified user and a linked row with one name, and more columns in the linked row."""
    name: Row = {"first_name": first_name, "last_name": last_name}
    return person(key, why, users=[VERIFIED | name], customers=[LINKED | name | columns])


TEXTS: tuple[Person, ...] = (
    _named("unicode_rtl", "Right to left, with marks of direction.", "محمد", "\u202bבן־דוד\u202c"),
    _named(
        "unicode_combining",
        "Several combining marks on one letter.",
        "Z\u0335\u0321a\u0327\u0323\u0302",
        "Nguyễn",
    ),
    _named(
        "unicode_emoji",
        "A family joined by zero-width joiners, a flag, a skin tone.",
        "👨‍👩‍👧‍👦",
        "🇨🇦👋🏽",
        notes="🎉\n🎂",
    ),
    _named(
        "unicode_zero_width",
        "Invisible characters alone are text, not white space.",
        "\u200b",
        "\u200d\u2060",
    ),
    _named("unicode_astral", "Beyond the basic plane.", "𝔄𝔫𝔫", "𠮷野", city="𠮷祥寺", tags=["𝔙𝔦𝔭"]),
    _named("unicode_white_space", "A name of exotic white space alone is blank.", "\u3000\u2003", "\u00a0\u2009"),
    _named(
        "markup_and_quotes",
        "What a careless program would run.",
        "O'Brien\"; --",
        "<b>%s</b>{}\\",
        notes="=1+1",
    ),
    person(
        "unicode_normal_forms",
        "One name in NFC and NFD: different texts, so a conflict.",
        users=[VERIFIED | {"first_name": "Zoe\u0308"}],
        customers=[LINKED | {"first_name": "Zo\u00eb"}],
    ),
    person(
        "limits_of_columns",
        "Every text as long as its column allows, in characters of four bytes where they fit.",
        users=[
            VERIFIED
            | {
                "email": "w" * 242 + "@example.net",
                "first_name": "𝔣" * 100,
                "last_name": "l" * 100,
                "phone": "1" * 50,
                "session_id": "s" * 255,
            }
        ],
        customers=[
            LINKED
            | {
                "email": "w" * 243 + "@example.net",
                "first_name": "𝔣" * 100,
                "last_name": "l" * 100,
                "phone": "1" * 50,
                "city": "c" * 100,
                "state": "t" * 50,
                "postal_code": "9" * 20,
                "country": "y" * 100,
                "address": "a" * 5000,
                "customer_type": "k" * 50,
                "preferred_payment_method": "p" * 50,
                "notes": "n" * 20000,
                "tags": [str(number) for number in range(200)],
            }
        ],
        user_profiles=[
            {
                "session_id": "s" * 255,
                "email": "e" * 255,
                "phone": "2" * 50,
                "experience_level": "x" * 50,
                "customer_type": "k" * 50,
                "language": "l" * 10,
                "timezone": "z" * 50,
                "interaction_count": 2147483647,
            }
        ],
    ),
    person(
        "everything_null",
        "Every column that may be NULL is.",
        users=[
            dict.fromkeys(
                (
                    "first_name",
                    "last_name",
                    "phone",
                    "date_of_birth",
                    "marketing_consent",
                    "role",
                    "active",
                    "email_verified",
                    "phone_verified",
                    "age_verified",
                    "terms_accepted",
                    "last_login",
                    "created_at",
                    "updated_at",
                )
            )
        ],
        customers=[
            LINKED
            | dict.fromkeys(
                (
                    "first_name",
                    "last_name",
                    "phone",
                    "date_of_birth",
                    "address",
                    "city",
                    "state",
                    "postal_code",
                    "country",
                    "loyalty_points",
                    "total_spent",
                    "order_count",
                    "last_order_date",
                    "customer_type",
                    "preferred_payment_method",
                    "marketing_consent",
                    "sms_consent",
                    "tags",
                    "notes",
                    "is_active",
                    "is_verified",
                    "created_at",
                    "updated_at",
                )
            )
        ],
        customer_profiles=[
            dict.fromkeys(("preferences", "purchase_history", "interaction_count", "created_at", "updated_at"))
        ],
    ),
    person(
        "everything_blank",
        "Every text is '', every JSON value blank in one of its ways.",
        users=[VERIFIED | {"first_name": "", "last_name": "", "phone": ""}],
        customers=[
            LINKED
            | dict.fromkeys(
                (
                    "first_name",
                    "last_name",
                    "phone",
                    "address",
                    "city",
                    "state",
                    "postal_code",
                    "country",
                    "customer_type",
                    "preferred_payment_method",
                    "notes",
                ),
                "",
            )
            | {"tags": Jsonb("")}
        ],
        user_profiles=[
            {
                "email": "everything.blank@example.com",
                "phone": "",
                "customer_type": "",
                "needs": Jsonb(""),
                "preferences": Jsonb(None),
                "experience_level": "",
                "medical_conditions": Jsonb(None),
                "preferred_categories": {},
                "preferred_effects": [],
                "price_range": Jsonb(""),
                "language": "",
                "timezone": "",
                "purchase_history": Jsonb(None),
            }
        ],
    ),
    person(
        "json_numbers",
        "Numbers no float holds, deep nesting, a long key, unicode keys.",
        users=[VERIFIED],
        customers=[LINKED | {"tags": [12345678901234567890123, 0.1, 1e5]}],
        customer_profiles=[
            {
                "preferences": {
                    "deep": {"a": {"b": {"c": {"d": [{"e": 1}]}}}},
                    "k" * 300: 1,
                    "ключ": "значение",
                    "🔑": "🚪",
                }
            }
        ],
    ),
)

TIMES: tuple[Person, ...] = (
    _named("birth_date_first", "The first day that Python knows.", "Year", "One", date_of_birth="0001-01-01"),
    _named("birth_date_last", "The last day that Python knows.", "Year", "Last", date_of_birth="9999-12-31"),
    _named("birth_date_bc", "Before our era.", "Gaius", "Julius", date_of_birth="0044-03-15 BC"),
    _named(
        "birth_date_five_digits",
        "After the last day that Python knows.",
        "Far",
        "Future",
        date_of_birth="12345-06-07",
    ),
    _named("birth_date_infinite", "No day at all.", "In", "Finite", date_of_birth="infinity"),
    _named("birth_date_leap", "A leap day.", "Leap", "Day", date_of_birth="2004-02-29"),
    person(
        "times_infinite",
        "infinity and -infinity are timestamps.",
        users=[VERIFIED | {"created_at": "-infinity", "updated_at": "infinity", "last_login": "infinity"}],
        customers=[
            LINKED | {"created_at": "-infinity", "updated_at": "infinity", "last_order_date": "infinity"},
            {"last_order_date": "-infinity"},
        ],
    ),
    person(
        "times_before_christ",
        "Timestamps that Python's datetime cannot hold.",
        users=[VERIFIED | seen("0044-03-15 12:00:00 BC", "12345-06-07 00:00:00")],
        customers=[LINKED | seen("0044-03-15 12:00:00 BC", "12345-06-07 00:00:00")],
    ),
    person(
        "times_reversed",
        "Created after the last change.",
        users=[VERIFIED | {"created_at": "2024-05-01 00:00:00", "updated_at": "2023-05-01 00:00:00"}],
        customers=[LINKED | {"created_at": "2024-05-02 00:00:00", "updated_at": "2023-05-02 00:00:00"}],
    ),
    person(
        "times_unknown",
        "Neither time is known in any table.",
        users=[VERIFIED | {"created_at": None, "updated_at": None}],
        customers=[LINKED | {"created_at": None, "updated_at": None}],
        customer_profiles=[{"created_at": None, "updated_at": None}],
    ),
    person(
        "times_in_the_hour_that_does_not_exist",
        "Naive UTC times inside the gap that summer time makes elsewhere, to the microsecond.",
        users=[VERIFIED | seen("2024-03-10 02:30:00.000001")],
        customers=[LINKED | seen("2024-03-31 02:30:00.999999")],
    ),
)

HASHES: tuple[Person, ...] = (
    person(
        "hash_2a",
        "An older row's hash; the sample password logs in.",
        users=[VERIFIED | {"password_hash": PASSWORD_HASH_2A}],
    ),
    person(
        "hash_placeholder",
        "The placeholder that an earlier script wrote: no password matches it.",
        users=[{"password_hash": PLACEHOLDER_HASH}],
    ),
    person("hash_empty", "No hash at all.", users=[{"password_hash": ""}]),
    person("hash_foreign", "Not bcrypt.", users=[{"password_hash": "5f4dcc3b5aa765d61d8327deb882cf99"}]),
)

ROLES: tuple[Person, ...] = tuple(
    person(
        f"login_{login.role}",
        f"The sample login of the role {login.role}.",
        users=[
            VERIFIED
            | {
                "email": login.email,
                "role": login.role,
                "first_name": login.role.split("_")[0].title(),
                "last_name": "Sample",
                "terms_accepted": True,
                "last_login": "2025-02-01 08:00:00",
            }
        ],
        customers=[
            {
                "user_id": user(),
                "email": login.email,
                "first_name": login.role.split("_")[0].title(),
                "last_name": "Sample",
                "is_verified": True,
            }
        ],
    )
    for login in LOGINS
)

EXTRAS: tuple[Person, ...] = (
    person(
        "columns_we_do_not_know",
        "users.referral_code and customers.loyalty_tier hold something; a tenant, a profile_id, a store.",
        users=[
            VERIFIED
            | {
                "referral_code": "FRIEND-7",
                "tenant_id": "33333333-3333-4333-8333-333333333333",
                "profile_id": "44444444-4444-4444-8444-444444444444",
            }
        ],
        customers=[
            LINKED | {"loyalty_tier": "gold", "order_count": 1},
            {"loyalty_tier": "silver", "order_count": 2},
        ],
        orders=[
            {
                "user_id": user(),
                "store_id": "55555555-5555-4555-8555-555555555555",
                "cart_session_id": "66666666-6666-4666-8666-666666666666",
                "user_profile_id": "77777777-7777-4777-8777-777777777777",
                "delivery_fee": "4.99",
                "discount_amount": "1.00",
            }
        ],
    ),
)

ODD: tuple[Person, ...] = TEXTS + TIMES + HASHES + ROLES + EXTRAS
