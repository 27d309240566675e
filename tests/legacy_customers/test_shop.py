"""The shop, unified: each of its people by name, everything against the model, and what is not ours untouched."""

from typing import Any, NamedTuple

import pytest
from django.db import connection, transaction
from psycopg import sql
from pytest_django.plugin import DjangoDbBlocker

from legacy_customers.sample.persons import row_id
from legacy_customers.sample.stories import load_story, named
from legacy_customers.unification import capture, orders, phases
from legacy_customers.unification.sources import columns_of, find_sources
from legacy_customers.unification.verify import verify
from tests.databases import temporary_database
from tests.legacy_customers.model import (
    Legacy,
    Outcome,
    database_lower,
    expect,
    frozen,
    read_legacy,
    read_outcome,
)


class Unified(NamedTuple):
    """The rows before, what the rules make of them, and what the database holds."""

    legacy: Legacy
    expected: Outcome
    found: Outcome


def _read(template: str, blocker: DjangoDbBlocker) -> Unified:
    with blocker.unblock(), temporary_database(template=template):
        legacy = read_legacy(connection)
        return Unified(legacy, expect(legacy, database_lower(connection, legacy)), read_outcome(connection))


@pytest.fixture(scope="module")
def unified(shop_template: str, django_db_blocker: DjangoDbBlocker) -> Unified:
    """The shop, read once."""
    return _read(shop_template, django_db_blocker)


@pytest.fixture(scope="module")
def older_unified(older_shop_template: str, django_db_blocker: DjangoDbBlocker) -> Unified:
    """The shop of an older installation, read once."""
    return _read(older_shop_template, django_db_blocker)


def key_of(person: str, table: str, position: int = 1) -> str:
    """The key of a named person's n-th row."""
    column = "customer_id" if table == "customer_profiles" else "id"
    return str(named(person).rows(table)[position - 1][column])


def who(person: str, name: str | None) -> str | None:
    """A person of the model in words: the n-th user of the scene, or who was made of its n-th customers row."""
    words = {key_of(person, "users", at): f"user {at}" for at, _ in enumerate(named(person).users, 1)}
    words |= {
        f"made:{key_of(person, 'customers', at)}": f"guest {at}" for at, _ in enumerate(named(person).customers, 1)
    }
    return words[name] if name else None


def name_of(person: str, words: str) -> str:
    """The reverse of `who`."""
    kind, position = words.split()
    if kind == "user":
        return key_of(person, "users", int(position))
    return f"made:{key_of(person, 'customers', int(position))}"


# --- everything against the model ---------------------------------------------------------------------------------


def test_shop_is_unified_by_the_rules(unified: Unified) -> None:
    assert unified.expected.differences(unified.found) == []


def test_older_shop_is_unified_by_the_rules(older_unified: Unified) -> None:
    assert older_unified.expected.differences(older_unified.found) == []


@pytest.mark.parametrize("story", ["shop", "older_shop"])
def test_verification_passes(story: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(story)
    report = verify(connection)
    assert {name: check.samples for name, check in report.checks.items() if not check.passed} == {}
    assert report.passed


# --- whose row is whose -------------------------------------------------------------------------------------------

# For each customers row of the scene: the case, and whose it is. "guest 2" is a person made of the second row.
L1, M1 = "linked user 1", "matched user 1"
ROWS: dict[str, list[str]] = {
    "linked": [L1],
    "linked_row_with_a_neighbours_login": [L1, "linked user 2"],
    "guest_of_a_contact_address": [L1, "new_user guest 2"],
    "user_without_customers_row": [],
    "user_with_malformed_address": [L1, "separate guest 2"],
    "guest_of_verified_user": [L1, M1],
    "guests_in_other_spellings_of_verified_user": [L1, *[M1] * 5],
    "guest_of_verified_user_without_row": [M1, M1],
    "guest_of_inactive_verified_user": [L1, M1],
    "guest_with_the_same_birth_date": [L1, M1, M1],
    "guest_fills_unknown_birth_date": [L1, M1],
    "guests_who_contradict_each_other": [L1, "separate guest 2", M1, M1, M1],
    "guests_contradict_newest_unknown": [L1, M1, M1, "separate guest 4"],
    "guest_contradicts_user": [L1, "separate guest 2"],
    "guest_contradicts_linked_row": [L1, "separate guest 2"],
    "guest_agrees_with_one_of_two": [L1, "separate guest 2"],
    "guest_of_unverified_user": [L1, "separate guest 2"],
    "guests_of_unverified_user": [L1, "separate guest 2", "separate guest 3"],
    "guest_of_phone_verified_user": [L1, "separate guest 2"],
    "guest_of_user_with_unknown_verification": [L1, "separate guest 2"],
    "users_who_differ_in_case": [L1, "linked user 2", "separate guest 3"],
    "users_who_differ_in_white_space": [L1, "separate guest 2"],
    "guests_without_address": [f"separate guest {at}" for at in range(1, 5)],
    "guests_with_malformed_addresses": [f"separate guest {at}" for at in range(1, 11)],
    "guests_with_one_malformed_address": ["separate guest 1", "separate guest 2"],
    "guest_with_255_character_address": ["separate guest 1"],
    "guest_with_254_character_address": ["new_user guest 1"],
    "guest_alone": ["new_user guest 1"],
    "guests_who_share_an_address": ["new_user guest 5"] * 5,
    "guests_share_an_address_but_not_a_birth_date": [
        "new_user guest 1",
        "separate guest 2",
        "new_user guest 1",
    ],
    "guests_newest_without_birth_date": ["new_user guest 1", "new_user guest 1", "separate guest 3"],
    "guests_equally_new": ["new_user guest 2"] * 2,
    "guests_newest_by_creation": ["new_user guest 1"] * 2,
    "guests_without_times": ["new_user guest 2"] * 2,
    "guest_inactive": ["new_user guest 1"] * 2,
    "guests_with_addresses_in_many_scripts": [f"new_user guest {at}" for at in range(1, 8)],
    "guests_composed_and_decomposed": ["new_user guest 1", "new_user guest 2"],
    "guests_with_invisible_characters": [f"new_user guest {at}" for at in range(1, 4)],
}
OLDER_ROWS = {
    "dangling_customer": ["new_user guest 1"],
    "dangling_customer_of_verified_user": [L1, M1],
    "dangling_customer_of_unverified_user": [L1, "separate guest 2"],
}


def rows_of(outcome: Outcome, person: str) -> list[str]:
    found = []
    for at, _ in enumerate(named(person).customers, 1):
        identity = outcome.identities[key_of(person, "customers", at)]
        found.append(f"{identity.case} {who(person, identity.person)}")
    return found


@pytest.mark.parametrize("person", ROWS)
def test_customers_rows_belong_to_whom_they_should(person: str, unified: Unified) -> None:
    assert rows_of(unified.found, person) == ROWS[person]


@pytest.mark.parametrize("person", OLDER_ROWS)
def test_dangling_customers_are_guests_of_an_older_shop(person: str, older_unified: Unified) -> None:
    assert rows_of(older_unified.found, person) == OLDER_ROWS[person]


@pytest.mark.parametrize(
    ("person", "profile", "row"),
    [
        ("linked", "user 1", 1),
        ("guest_of_verified_user", "user 1", 1),
        ("guest_of_verified_user_without_row", "user 1", 2),
        ("guests_who_share_an_address", "guest 5", 5),
        ("guests_equally_new", "guest 2", 2),
        ("guest_contradicts_user", "guest 2", 2),
        ("user_without_customers_row", "user 1", None),
    ],
)
def test_profile_has_the_id_of_its_primary_row(person: str, profile: str, row: int | None, unified: Unified) -> None:
    expected = key_of(person, "customers", row) if row else None
    assert unified.found.profile_ids[name_of(person, profile)] == expected


def test_every_old_customers_id_leads_to_its_person_by_id_or_alias(unified: Unified) -> None:
    found = unified.found
    by_id = {key: person for person, key in found.profile_ids.items() if key}
    assert by_id.keys().isdisjoint(found.aliases)
    assert {row["id"] for row in unified.legacy["customers"]} == by_id.keys() | found.aliases.keys()
    assert {**by_id, **found.aliases} == {key: one.person for key, one in found.identities.items()}


@pytest.mark.parametrize(
    ("person", "suggested"),
    [
        ("guest_of_verified_user", set()),
        ("guests_without_address", set()),
        ("guests_with_one_malformed_address", set()),
        ("guest_contradicts_user", {("guest 2", "user 1", "birth_date")}),
        ("guest_agrees_with_one_of_two", {("guest 2", "user 1", "birth_date")}),
        ("guests_who_contradict_each_other", {("guest 2", "user 1", "birth_date")}),
        ("guests_share_an_address_but_not_a_birth_date", {("guest 2", "guest 1", "birth_date")}),
        ("guests_newest_without_birth_date", {("guest 3", "guest 1", "birth_date")}),
        (
            "guests_of_unverified_user",
            {("guest 2", "user 1", "unverified_address"), ("guest 3", "user 1", "unverified_address")},
        ),
        ("guest_of_user_with_unknown_verification", {("guest 2", "user 1", "unverified_address")}),
    ],
)
def test_pairs_who_may_be_one_person_are_suggested(
    person: str, suggested: set[tuple[str, str, str]], unified: Unified
) -> None:
    mine = {name_of(person, f"user {at}") for at, _ in enumerate(named(person).users, 1)}
    mine |= {name_of(person, f"guest {at}") for at, _ in enumerate(named(person).customers, 1)}
    found = {one for one in unified.found.suggestions if one[0] in mine or one[1] in mine}
    assert {(who(person, one), who(person, other), reason) for one, other, reason in found} == suggested


@pytest.mark.parametrize(("person", "users"), [("users_who_differ_in_case", 2), ("users_who_differ_in_white_space", 3)])
def test_logins_that_differ_in_form_are_suggested_once_and_the_guest_with_each(
    person: str, users: int, unified: Unified
) -> None:
    ids = sorted(key_of(person, "users", at) for at in range(1, users + 1))
    guest = name_of(person, f"guest {len(named(person).customers)}")
    found = {one for one in unified.found.suggestions if one[0] in (*ids, guest)}
    assert found == {(other, ids[0], "same_login") for other in ids[1:]} | {
        (guest, other, "shared_address") for other in ids
    }


@pytest.mark.parametrize(
    ("person", "guest", "email", "active"),
    [
        ("guest_alone", "guest 1", "guest.alone@example.com", True),
        ("guests_who_share_an_address", "guest 5", "Shared@Example.com", True),
        ("guest_inactive", "guest 1", "guest.inactive@example.com", False),
        ("guest_of_unverified_user", "guest 2", None, True),
        ("guests_without_address", "guest 4", None, True),
    ],
)
def test_guests_get_a_login_of_their_own(
    person: str, guest: str, email: str | None, active: bool, unified: Unified
) -> None:
    assert unified.found.made_users[name_of(person, guest)] == (email, active)


def test_made_logins_open_no_door(shop: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), count(DISTINCT password_hash), bool_and(password_hash LIKE '!%%'),"
            " bool_or(email_verified OR phone_verified OR age_verified OR terms_accepted),"
            " array_agg(DISTINCT role::text), count(last_login), count(session_id)"
            " FROM users WHERE id NOT IN (SELECT id FROM backup_users)"
        )
        count, *rest = cursor.fetchone()
    assert count > 50
    assert rest == [count, True, False, ["customer"], 0, 0]


@pytest.mark.parametrize(
    ("person", "table", "whose"),
    [
        ("customer_profile_spellings", "customer_profiles", ["user 1"] * 6),
        ("customer_profile_of_nobody", "customer_profiles", ["no_customer"] * 7),
        ("customer_profiles_of_merged_guests", "customer_profiles", ["user 1", "user 1"]),
        ("guest_of_unverified_user", "customer_profiles", ["guest 2"]),
        ("session_of_one_user", "user_profiles", ["user 1"]),
        ("sessions_by_verified_address", "user_profiles", ["user 1", "user 1"]),
        ("session_by_unverified_address", "user_profiles", ["unverified"]),
        ("session_of_two_users", "user_profiles", ["several"]),
        ("session_of_twin_addresses", "user_profiles", ["several"]),
        ("session_of_a_guest_address", "user_profiles", ["nobody"]),
        ("session_empty", "user_profiles", ["nobody"]),
        ("session_of_nobody", "user_profiles", ["nobody"] * 3),
    ],
)
def test_recommendations_and_sessions_attach_to_one_person_or_are_archived(
    person: str, table: str, whose: list[str], unified: Unified
) -> None:
    found = [unified.found.attachments[table, key_of(person, table, at)] for at in range(1, len(whose) + 1)]
    assert [who(person, name) or reason for name, reason in found] == whose


# --- whose value wins ---------------------------------------------------------------------------------------------

NO_ADDRESS = {"address": None, "city": None, "state": None, "postal_code": None}
VALUES: list[tuple[str, str, dict[str, Any]]] = [
    # contact_email
    ("linked", "user 1", {"contact_email": None, "first_name": "Lena", "interaction_count": 4}),
    ("linked_row_with_another_address", "user 1", {"contact_email": "where.to.write@example.com"}),
    ("linked_row_spelled_differently", "user 1", {"contact_email": None}),
    ("linked_row_without_address", "user 1", {"contact_email": None}),
    ("linked_row_with_a_neighbours_login", "user 1", {"contact_email": "neighbour@example.com"}),
    ("linked_row_with_a_neighbours_login", "user 2", {"contact_email": None}),
    ("guest_of_unverified_user", "guest 2", {"contact_email": "guest.of.unverified.user@example.com"}),
    ("guests_without_address", "guest 4", {"contact_email": "\u00a0\t"}),
    ("guests_who_share_an_address", "guest 5", {"contact_email": None}),
    # nothing but a login
    (
        "user_without_customers_row",
        "user 1",
        NO_ADDRESS
        | {
            "first_name": "Uma",
            "country": "USA",
            "is_verified": True,
            "marketing_consent": True,
            "sms_consent": False,
        },
    ),
    ("user_without_row_phone_verified", "user 1", {"is_verified": True}),
    ("user_without_row_unverified", "user 1", {"is_verified": False}),
    # first
    ("names_disagree", "user 1", {"first_name": "Bob", "last_name": "Ray", "phone": "+14165550112"}),
    (
        "linked_row_blank",
        "user 1",
        {"first_name": "Una", "last_name": "User", "phone": "+14165550115", "date_of_birth": "1988-08-08"},
    ),
    (
        "user_and_linked_row_blank",
        "user 1",
        {
            "first_name": "Newest",
            "phone": "+14165550116",
            "last_name": None,
            "preferred_payment_method": "cash",
        },
    ),
    ("name_is_null", "user 1", {"first_name": "null", "last_name": "NULL"}),
    ("birth_dates_disagree", "user 1", {"date_of_birth": "1980-10-01"}),
    ("guest_fills_unknown_birth_date", "user 1", {"date_of_birth": "1977-07-07"}),
    (
        "sessions_disagree",
        "user 1",
        {
            "experience_level": "expert",
            "language": "en",
            "timezone": "America/Toronto",
            "price_range": {"min": 5, "max": 90},
        },
    ),
    (
        "session_values_blank",
        "user 1",
        {
            "experience_level": "expert",
            "language": "es",
            "timezone": "America/Lima",
            "price_range": {"min": 3, "max": 4},
        },
    ),
    ("price_range_of_wrong_shape", "user 1", {"price_range": {"min": 2, "max": 8}}),
    ("unicode_zero_width", "user 1", {"first_name": "\u200b", "last_name": "\u200d\u2060"}),
    ("unicode_white_space", "user 1", {"first_name": None, "last_name": None}),
    # block
    (
        "addresses_disagree",
        "user 1",
        {
            "address": "12 Maple Street",
            "city": "Ottawa",
            "state": "ON",
            "postal_code": "K1A 0B1",
            "country": "Canada",
        },
    ),
    ("address_partly_in_linked_row", "user 1", NO_ADDRESS | {"city": "Halifax", "country": "USA"}),
    (
        "address_only_in_guests",
        "user 1",
        {"address": "12 Maple Street", "city": "Ottawa", "country": "Canada"},
    ),
    ("address_is_a_foreign_country", "user 1", NO_ADDRESS | {"country": "Canada"}),
    ("address_countries_disagree", "user 1", {"city": "Ottawa", "country": "USA"}),
    ("address_without_country", "user 1", NO_ADDRESS | {"city": "Boise", "country": None}),
    (
        "address_json",
        "user 1",
        {"city": "Vancouver", "state": "BC", "postal_code": "V6B 1A1", "country": "Canada"},
    ),
    (
        "address_json_with_columns",
        "user 1",
        {"city": "Burnaby", "state": "B.C.", "postal_code": None, "country": "Kanada"},
    ),
    ("address_json_part_too_long", "user 1", {"city": "Québec", "state": "QC", "postal_code": None}),
    (
        "address_json_odd_parts",
        "user 1",
        {"city": None, "state": None, "postal_code": "98101", "country": "USA"},
    ),
    ("address_json_list", "user 1", NO_ADDRESS | {"address": '["1 List Lane", "Boise"]'}),
    ("address_json_broken", "user 1", {"address": '{"street": "1 Broken Bridge", "city": ', "city": None}),
    *(
        (f"address_text_{blank}", "user 1", NO_ADDRESS | {"country": "USA"})
        for blank in ("null", "empty_object", "empty_list", "empty_string")
    ),
    ("address_blank_json_then_guest", "user 1", {"address": "12 Maple Street", "country": "Canada"}),
    # customer_type, sums, times
    ("customer_types", "user 1", {"customer_type": "vip"}),
    ("customer_type_of_session", "user 1", {"customer_type": "medical"}),
    ("customer_type_unknown", "user 1", {"customer_type": "Großhandel"}),
    (
        "sums_outgrow_the_columns",
        "user 1",
        {
            "loyalty_points": 4294967294,
            "total_spent": 19999999999.98,
            "order_count": 4294967294,
            "interaction_count": 4294967294,
        },
    ),
    (
        "sums_of_nothing",
        "user 1",
        {"loyalty_points": 5, "total_spent": 0, "order_count": 0, "interaction_count": 0},
    ),
    (
        "sums_below_zero",
        "user 1",
        {"loyalty_points": -2147483638, "total_spent": -12.49, "order_count": -1},
    ),
    ("guests_who_share_an_address", "guest 5", {"loyalty_points": 31, "first_name": "First", "phone": "1"}),
    ("customer_profile_spellings", "user 1", {"interaction_count": 63}),
    (
        "times_over_all_tables",
        "user 1",
        {
            "created_at": "2021-12-31T23:59:59",
            "updated_at": "2025-12-31T23:59:59.999999",
            "last_order_date": "2022-07-31T12:00:00.123456",
        },
    ),
    (
        "times_infinite",
        "user 1",
        {"created_at": "-infinity", "updated_at": "infinity", "last_order_date": "infinity"},
    ),
    (
        "times_before_christ",
        "user 1",
        {"created_at": "0044-03-15T12:00:00 BC", "updated_at": "12345-06-07T00:00:00"},
    ),
    ("times_unknown", "user 1", {"created_at": None, "updated_at": None}),
    ("birth_date_bc", "user 1", {"date_of_birth": "0044-03-15 BC"}),
    ("birth_date_five_digits", "user 1", {"date_of_birth": "12345-06-07"}),
    ("birth_date_infinite", "user 1", {"date_of_birth": "infinity"}),
    # merge, union, notes
    (
        "preferences_merge",
        "user 1",
        {
            "preferences": {
                "theme": "light",
                "mail": {"weekly": True, "hour": 18, "tone": "formal"},
                "old": 1,
                "new": [1],
            }
        },
    ),
    (
        "preferences_shapes_disagree",
        "user 1",
        {"preferences": {"mail": "never", "a.b": 4, "a": {"b": 2}, "": 5}},
    ),
    ("preferences_are_a_list", "user 1", {"preferences": {"theme": "dark"}}),
    ("preferences_blank", "user 1", {"preferences": {}, "purchase_history": []}),
    (
        "tags_union",
        "user 1",
        {"tags": ["b", "a", 1, "c", {"x": 1, "y": 2}, "1", "A", None, "", [1], True]},
    ),
    ("tags_are_an_object", "user 1", {"tags": ["real"]}),
    ("tags_blank", "user 1", {"tags": []}),
    (
        "session_lists_union",
        "user 1",
        {
            "needs": ["sleep", "focus", "rest"],
            "medical_conditions": ["migraine"],
            "preferred_categories": ["edibles"],
            "preferred_effects": ["calm"],
        },
    ),
    (
        "purchase_history_joined",
        "user 1",
        {
            "purchase_history": [
                {"sku": "A", "qty": 1},
                {"sku": "B", "qty": 2},
                {"sku": "C", "qty": 3},
                {"sku": "D"},
            ]
        },
    ),
    ("purchase_history_is_an_object", "user 1", {"purchase_history": [{"sku": "B"}]}),
    ("notes_joined", "user 1", {"notes": "First,\n\nin two paragraphs.\n\nSecond.\n\nThird."}),
    ("json_numbers", "user 1", {"tags": [12345678901234567890123, 0.1, 100000]}),
    # consents and standing
    ("consent_everywhere", "user 1", {"marketing_consent": True, "sms_consent": True}),
    ("consent_only_of_user", "user 1", {"marketing_consent": False, "sms_consent": False}),
    ("consent_only_of_linked_row", "user 1", {"marketing_consent": False, "sms_consent": True}),
    ("consent_not_of_guest", "user 1", {"marketing_consent": False, "sms_consent": False}),
    ("consent_unknown", "user 1", {"marketing_consent": False, "sms_consent": False}),
    ("consents_of_guests", "guest 1", {"marketing_consent": False, "sms_consent": True}),
    ("verified_by_linked_row", "user 1", {"is_verified": True}),
    ("not_verified_by_linked_row", "user 1", {"is_verified": False}),
    ("verified_unknown_in_linked_row", "user 1", {"is_verified": False}),
    ("guests_all_verified", "guest 1", {"is_verified": True}),
    ("guests_not_all_verified", "guest 1", {"is_verified": False}),
    # every column NULL, or blank
    (
        "everything_null",
        "user 1",
        NO_ADDRESS
        | {
            "first_name": None,
            "country": None,
            "customer_type": "regular",
            "loyalty_points": 0,
            "total_spent": 0,
            "preferences": {},
            "tags": [],
            "notes": None,
            "marketing_consent": False,
            "is_verified": False,
            "created_at": None,
        },
    ),
    (
        "everything_blank",
        "user 1",
        NO_ADDRESS
        | {
            "first_name": None,
            "country": None,
            "customer_type": "regular",
            "preferred_payment_method": None,
            "needs": [],
            "price_range": None,
            "language": None,
            "preferences": {},
        },
    ),
]


@pytest.mark.parametrize(
    ("person", "profile", "values"), VALUES, ids=[f"{person}-{profile}" for person, profile, _ in VALUES]
)
def test_profile_has_the_winning_values(person: str, profile: str, values: dict[str, Any], unified: Unified) -> None:
    found = unified.found.profiles[_made(unified, person, profile)]
    assert {column: found[column] for column in values} == {column: frozen(value) for column, value in values.items()}


def _made(unified: Unified, person: str, profile: str) -> str:
    """The name, where "guest 1" may be told of any of the equally old rows that became one person."""
    if profile.startswith("user"):
        return name_of(person, profile)
    return unified.found.identities[key_of(person, "customers", int(profile.split()[1]))].person


# Field and path, rule, chosen value, losing value, table and position of the row that lost.
Lost = tuple[str, str, Any, Any, str]
CONFLICTS: dict[str, list[Lost]] = {
    "linked": [],
    "linked_row_blank": [],
    "consent_nowhere": [],
    "preferences_blank": [],
    "tags_blank": [],
    "everything_null": [],
    "everything_blank": [],
    "names_disagree": [
        ("first_name", "first", "Bob", "Robert", "users 1"),
        ("first_name", "first", "Bob", "Rob", "customers 2"),
        ("first_name", "first", "Bob", "Robbie", "customers 3"),
        ("last_name", "first", "Ray", "Rae", "customers 2"),
        ("phone", "first", "+14165550112", "+14165550111", "users 1"),
        ("phone", "first", "+14165550112", "+14165550113", "customers 2"),
        ("phone", "first", "+14165550112", "+14165550114", "customers 3"),
    ],
    "names_differ_in_form": [
        ("first_name", "first", "José", "JOSÉ", "users 1"),
        ("first_name", "first", "José", "Jose\u0301", "customers 2"),
        ("last_name", "first", "Ortiz", "Ortiz ", "users 1"),
    ],
    "birth_dates_disagree": [("date_of_birth", "first", "1980-10-01", "1980-01-01", "users 1")],
    "payment_methods_disagree": [("preferred_payment_method", "first", "credit", "debit", "customers 2")],
    "price_range_of_wrong_shape": [
        ("price_range", "shape", {"min": 2, "max": 8}, [10, 50], "user_profiles 1"),
        ("price_range", "shape", {"min": 2, "max": 8}, 25, "user_profiles 2"),
    ],
    "addresses_disagree": [
        ("address", "block", "12 Maple Street", "99 Pine Road", "customers 2"),
        ("city", "block", "Ottawa", "Denver", "customers 2"),
        ("state", "block", "ON", "CO", "customers 2"),
        ("postal_code", "block", "K1A 0B1", "80202", "customers 2"),
    ],
    "address_partly_in_linked_row": [
        ("address", "block", None, "12 Maple Street", "customers 2"),
        ("city", "block", "Halifax", "Ottawa", "customers 2"),
        ("state", "block", None, "ON", "customers 2"),
        ("postal_code", "block", None, "K1A 0B1", "customers 2"),
        ("country", "block", "USA", "Canada", "customers 2"),
    ],
    "address_countries_disagree": [("country", "block", "USA", "Canada", "customers 2")],
    "address_json_with_columns": [],
    "customer_types": [("customer_type", "first", "vip", "medical", "customers 3")],
    "preferences_merge": [
        ("preferences/theme", "merge", "light", "dark", "customer_profiles 1"),
        ("preferences/mail/hour", "merge", 18, 9, "customer_profiles 1"),
        ("preferences/theme", "merge", "light", "blue", "customer_profiles 2"),
        ("preferences/mail/hour", "merge", 18, 7, "customer_profiles 2"),
    ],
    "preferences_shapes_disagree": [
        ("preferences/mail", "merge", "never", {"hour": 9}, "customer_profiles 1"),
        ("preferences/a.b", "merge", 4, 1, "customer_profiles 1"),
        ("preferences/", "merge", 5, 3, "customer_profiles 1"),
    ],
    "preferences_are_a_list": [
        ("preferences", "shape", {"theme": "dark"}, "dark please", "customer_profiles 1"),
        ("preferences", "shape", {"theme": "dark"}, ["dark", "large"], "user_profiles 1"),
    ],
    "tags_are_an_object": [
        ("tags", "shape", ["real"], {"vip": True}, "customers 1"),
        ("tags", "shape", ["real"], "vip", "customers 2"),
        ("tags", "shape", ["real"], 7, "customers 3"),
    ],
    "consent_only_of_user": [("marketing_consent", "consent", False, True, "users 1")],
    "consent_only_of_linked_row": [("marketing_consent", "consent", False, True, "customers 1")],
    "consent_not_of_guest": [
        ("marketing_consent", "consent", False, True, "users 1"),
        ("marketing_consent", "consent", False, True, "customers 1"),
        ("sms_consent", "consent", False, True, "customers 1"),
    ],
    "not_verified_by_linked_row": [("is_verified", "consent", False, True, "customers 2")],
    "active_user_inactive_customer": [("users.active", "login", True, False, "customers 1")],
    "inactive_user_active_customer": [("users.active", "login", False, True, "customers 1")],
    "activity_unknown": [],
    "guest_inactive": [("users.active", "login", False, True, "customers 2")],
    "order_of_user_and_own_guest_row": [],
}


@pytest.mark.parametrize("person", CONFLICTS)
def test_every_value_that_lost_is_a_conflict(person: str, unified: Unified) -> None:
    keys = {
        (table, key_of(person, table, at)): f"{table} {at}"
        for table in ("users", "customers", "customer_profiles", "user_profiles")
        for at, _ in enumerate(named(person).rows(table), 1)
    }
    found = [
        (one.field + one.path, one.rule, one.chosen, one.other, keys[one.other_table, one.other_row])
        for one in unified.found.conflicts
        if (one.other_table, one.other_row) in keys
    ]
    expected = [
        (where, rule, frozen(chosen), frozen(other), row) for where, rule, chosen, other, row in CONFLICTS[person]
    ]
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_refusal_of_a_guest_is_the_source_of_the_chosen_consent(unified: Unified) -> None:
    (conflict,) = (
        one for one in unified.found.conflicts if one.other_row == key_of("consents_of_guests", "customers", 1)
    )
    assert conflict.chosen_source == ("customers", key_of("consents_of_guests", "customers", 2))


# --- orders -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("person", "whose"),
    [
        ("guest_of_verified_user", ["user 1"] * 3),
        ("guest_of_unverified_user", ["guest 2"]),
        ("guests_who_contradict_each_other", ["guest 2", "user 1", "user 1", "user 1"]),
        ("guests_who_share_an_address", ["guest 5"] * 5),
        ("guests_without_address", ["guest 1", "guest 2", "guest 3", "guest 4"]),
        ("users_who_differ_in_case", ["guest 3"]),
        ("orders_of_every_kind", ["user 1", "user 1", "user 1", None]),
        ("orders_that_disagree", ["user 1", "user 2"]),
        ("order_of_user_and_own_guest_row", ["user 1"]),
    ],
)
def test_orders_point_at_their_persons_user(person: str, whose: list[str | None], unified: Unified) -> None:
    found = [unified.found.orders[key_of(person, "orders", at)] for at in range(1, len(whose) + 1)]
    assert [who(person, name) for name in found] == whose


def test_orders_of_a_user_who_is_gone_go_to_the_customers_user(older_unified: Unified) -> None:
    person = "order_of_a_user_who_is_gone"
    found = [older_unified.found.orders[key_of(person, "orders", at)] for at in (1, 2)]
    assert [who(person, name) for name in found] == ["user 1", None]


def test_orders_that_disagree_keep_their_user_and_record_the_other(unified: Unified) -> None:
    person = "orders_that_disagree"
    users = [key_of(person, "users", at) for at in (1, 2)]
    found = {one for one in unified.found.conflicts if one.person in users}
    assert {
        (one.person, one.field, one.rule, one.chosen, one.chosen_source, one.other, one.other_row) for one in found
    } == {
        (owner, "orders.user_id", "order", frozen(owner), ("orders", order), frozen(other), order)
        for owner, other, order in (
            (users[0], users[1], key_of(person, "orders", 1)),
            (users[1], name_of(person, "guest 3"), key_of(person, "orders", 2)),
        )
    }


# --- what is not ours ---------------------------------------------------------------------------------------------

FOREIGN = ("reviews", "carts", "sessions", "active_customers")


def contents(relation: str, leave_out: tuple[str, ...] = ()) -> dict[str, str]:
    """Every row as text under its key, without some columns."""
    key = "customer_id" if relation == "customer_profiles" else "id"
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("SELECT {}::text, (to_jsonb(t) - %s::text[])::text FROM {} AS t").format(
                sql.Identifier(key), sql.Identifier(relation)
            ),
            [list(leave_out)],
        )
        return dict(cursor.fetchall())


def added_columns(table: str) -> tuple[str, ...]:
    """The columns that the legacy table did not have."""
    had = columns_of(connection, f"backup_{table}")
    return tuple(name for name in columns_of(connection, table) if name not in had)


@pytest.fixture(scope="module")
def before(django_db_blocker: DjangoDbBlocker) -> dict[str, dict[str, str]]:
    """The shop's rows as they were, from a database that was never migrated."""
    with django_db_blocker.unblock(), temporary_database():
        load_story(connection, "shop")
        found = {name: contents(name) for name in ("customers", "customer_profiles", "user_profiles", *FOREIGN)}
        found["orders"] = contents("orders", ("user_id",))
        found["users"] = contents("users")
        connection.close()
    return found


def test_foreign_tables_and_views_are_untouched(shop: str, before: dict[str, dict[str, str]]) -> None:
    for name in FOREIGN:
        assert contents(name) == before[name]
        assert before[name]


@pytest.mark.parametrize("table", ["customers", "customer_profiles", "user_profiles"])
def test_legacy_rows_are_untouched(table: str, shop: str, before: dict[str, dict[str, str]]) -> None:
    assert contents(table) == before[table]


def test_users_are_untouched_with_the_columns_that_we_do_not_know(shop: str, before: dict[str, dict[str, str]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT referral_code FROM users WHERE id = %s", [row_id("columns_we_do_not_know", "users")])
        assert cursor.fetchone() == ("FRIEND-7",)
    after = contents("users", added_columns("users"))
    assert {key: after[key] for key in before["users"]} == before["users"]


def test_orders_keep_every_cell_but_the_user_and_their_time_of_change(
    shop: str, before: dict[str, dict[str, str]]
) -> None:
    assert contents("orders", ("user_id", *added_columns("orders"))) == before["orders"]


def test_orders_repointed_by_an_ordinary_role_keep_their_time_of_change_too(
    shop: str, before: dict[str, dict[str, str]], unified: Unified, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE orders SET user_id = b.user_id FROM backup_orders AS b WHERE b.id = orders.id")
        cursor.execute(capture.TABLES)
    phases.forget(connection, orders.PHASE)
    sources = find_sources(connection)
    assert sources
    monkeypatch.setattr(orders, "MAY_GO_WITHOUT", "SELECT false")
    orders.repoint(connection, sources)
    assert read_outcome(connection).orders == unified.expected.orders
    assert contents("orders", ("user_id", *added_columns("orders"))) == before["orders"]
