"""Whose value wins: names, addresses, types, sums and times, and every way in which their copies disagree."""

from psycopg.types.json import Jsonb

from legacy_customers.sample.persons import Person, Row, customer, person, seen
from legacy_customers.sample.shop_identity import LINKED, VERIFIED

# The newest of a person's guests, an older one, and the oldest.
NEWEST, OLDER, OLDEST = (seen(f"2024-0{month}-01 10:00:00") for month in (9, 6, 3))

FIRST: tuple[Person, ...] = (
    person(
        "names_disagree",
        "Linked row, user and two guests disagree on name and phone: the linked row's stand, each other is a conflict.",
        users=[VERIFIED | {"first_name": "Robert", "last_name": "Ray", "phone": "+14165550111"}],
        customers=[
            LINKED | {"first_name": "Bob", "last_name": "Ray", "phone": "+14165550112"},
            OLDER | {"first_name": "Rob", "last_name": "Rae", "phone": "+14165550113"},
            NEWEST | {"first_name": "Robbie", "last_name": "Ray", "phone": "+14165550114"},
        ],
    ),
    person(
        "names_differ_in_form",
        "Case, white space at the end and the unicode form are differences too: kept, not normalised.",
        users=[VERIFIED | {"first_name": "JOSÉ", "last_name": "Ortiz "}],
        customers=[LINKED | {"first_name": "José", "last_name": "Ortiz"}, {"first_name": "Jose\u0301"}],
    ),
    person(
        "linked_row_blank",
        "NULL, '' and blanks in the linked row: the user's values are taken, and nothing is in conflict.",
        users=[
            VERIFIED
            | {
                "first_name": "Una",
                "last_name": "User",
                "phone": "+14165550115",
                "date_of_birth": "1988-08-08",
            }
        ],
        customers=[LINKED | {"first_name": None, "last_name": "", "phone": "   "}],
    ),
    person(
        "user_and_linked_row_blank",
        "Only guests know anything: the newest guest that does is asked first.",
        users=[VERIFIED | {"first_name": "", "phone": "\t"}],
        customers=[
            LINKED | {"first_name": " "},
            OLDER | {"first_name": "Older", "phone": "+14165550116", "preferred_payment_method": "cash"},
            NEWEST | {"first_name": "Newest", "phone": "", "last_name": "\u00a0"},
        ],
    ),
    person(
        "name_is_null",
        "People are called Null; the word is a name.",
        users=[VERIFIED | {"first_name": "null", "last_name": "Null"}],
        customers=[LINKED | {"first_name": "null", "last_name": "NULL"}],
    ),
    person(
        "birth_dates_disagree",
        "User and linked row disagree on the birth date: the linked row's stands.",
        users=[VERIFIED | {"date_of_birth": "1980-01-01"}],
        customers=[LINKED | {"date_of_birth": "1980-10-01"}],
    ),
    person(
        "payment_methods_disagree",
        "Linked row and guests disagree on the payment method.",
        users=[VERIFIED],
        customers=[
            LINKED | {"preferred_payment_method": "credit"},
            NEWEST | {"preferred_payment_method": "debit"},
            OLDER | {"preferred_payment_method": "credit"},
        ],
    ),
    person(
        "sessions_disagree",
        "Two attached sessions disagree on everything that only sessions know: the newest stands.",
        users=[VERIFIED],
        customers=[LINKED],
        user_profiles=[
            OLDER
            | {
                "email": "sessions.disagree@example.com",
                "experience_level": "beginner",
                "language": "fr",
                "timezone": "Europe/Paris",
                "price_range": {"min": 1, "max": 9},
            },
            NEWEST
            | {
                "email": "sessions.disagree@example.com",
                "experience_level": "expert",
                "language": "en",
                "timezone": "America/Toronto",
                "price_range": {"min": 5, "max": 90},
            },
        ],
    ),
    person(
        "session_values_blank",
        "The newest session's values are blank in every way: the older one's are taken.",
        users=[VERIFIED],
        customers=[LINKED],
        user_profiles=[
            NEWEST
            | {
                "email": "session.values.blank@example.com",
                "experience_level": " ",
                "language": "",
                "timezone": None,
                "price_range": {},
            },
            OLDER
            | {
                "email": "session.values.blank@example.com",
                "experience_level": "expert",
                "language": "es",
                "timezone": "America/Lima",
                "price_range": {"min": 3, "max": 4},
            },
        ],
    ),
    person(
        "price_range_of_wrong_shape",
        "price_range is a list in one session and a number in another: both stay whole in conflicts, "
        "the third is taken.",
        users=[VERIFIED],
        customers=[LINKED],
        user_profiles=[
            NEWEST | {"email": "price.range.of.wrong.shape@example.com", "price_range": [10, 50]},
            OLDER | {"email": "price.range.of.wrong.shape@example.com", "price_range": Jsonb(25)},
            OLDEST | {"email": "price.range.of.wrong.shape@example.com", "price_range": {"min": 2, "max": 8}},
        ],
    ),
)

FULL_ADDRESS: Row = {
    "address": "12 Maple Street",
    "city": "Ottawa",
    "state": "ON",
    "postal_code": "K1A 0B1",
    "country": "Canada",
}
OTHER_ADDRESS: Row = {
    "address": "99 Pine Road",
    "city": "Denver",
    "state": "CO",
    "postal_code": "80202",
    "country": "USA",
}


def _addressed(key: str, why: str, address: object, **columns: object) -> Person:
    """A linked customer with the text (or JSON) in `address`."""
    return person(key, why, users=[VERIFIED], customers=[LINKED | {"address": address} | columns])


ADDRESSES: tuple[Person, ...] = (
    person(
        "addresses_disagree",
        "Linked row and guest both have a whole address: one block stands, the other's parts are "
        "conflicts, never mixed.",
        users=[VERIFIED],
        customers=[LINKED | FULL_ADDRESS, OTHER_ADDRESS],
    ),
    person(
        "address_partly_in_linked_row",
        "The linked row has only a city, the guest a whole address: the city's block stands alone.",
        users=[VERIFIED],
        customers=[LINKED | {"city": "Halifax"}, FULL_ADDRESS],
    ),
    person(
        "address_only_in_guests",
        "The linked row has the default country alone: the newest guest with an address gives the block.",
        users=[VERIFIED],
        customers=[LINKED, OLDER | FULL_ADDRESS, NEWEST | {"address": "  ", "city": ""}],
    ),
    person(
        "address_is_a_foreign_country",
        "A country other than the default is an address.",
        users=[VERIFIED],
        customers=[LINKED | {"country": "Canada"}, OTHER_ADDRESS],
    ),
    person(
        "address_countries_disagree",
        "Equal but for the country, which is the default in the linked row.",
        users=[VERIFIED],
        customers=[LINKED | FULL_ADDRESS | {"country": "USA"}, FULL_ADDRESS],
    ),
    person(
        "address_without_country",
        "country is NULL or '': blank.",
        users=[VERIFIED],
        customers=[LINKED | {"country": None}, {"country": "", "city": "Boise"}],
    ),
    _addressed(
        "address_json",
        "JSON as text: it stays as text, its parts fill the blank columns, its country replaces the default one.",
        '{"street": "5 Harbour Road", "city": "Vancouver", "province": "BC",'
        ' "postal_code": "V6B 1A1", "country": "Canada"}',
    ),
    _addressed(
        "address_json_with_columns",
        "JSON as text beside filled columns: the columns stand.",
        '{"street": "5 Harbour Road", "city": "Vancouver", "province": "BC", "country": "Canada"}',
        city="Burnaby",
        state="B.C.",
        country="Kanada",
    ),
    _addressed(
        "address_json_part_too_long",
        "The postal code is longer than its column: it stays in the text alone, the others are taken.",
        '{"street": "1 Long Lane", "city": "Québec", "province": "QC",'
        ' "postal_code": "G1R 2B5, by the back door, please"}',
    ),
    _addressed(
        "address_json_odd_parts",
        "Parts that are numbers, null, lists and objects.",
        '{"street": ["1", "Side St"], "city": null, "province": {"code": "WA"}, "postal_code": 98101, "country": ""}',
    ),
    _addressed("address_json_list", "JSON of another shape: text and no more.", '["1 List Lane", "Boise"]'),
    _addressed("address_json_broken", "It looks like JSON and is not.", '{"street": "1 Broken Bridge", "city": '),
    _addressed("address_text_null", "The text null is blank in an address.", "null"),
    _addressed("address_text_empty_object", "The text {} is blank in an address.", "{}"),
    _addressed("address_text_empty_list", "The text [] is blank in an address.", "[]"),
    _addressed("address_text_empty_string", 'The text "" (two quotes) is blank in an address.', '""'),
    _addressed("address_with_lines", "Several lines, quotes, a backslash.", '12 "The Mews"\nFlat 3\\4\n\nOttawa'),
    person(
        "address_blank_json_then_guest",
        "The linked row's address is the text {}: the guest's block is taken.",
        users=[VERIFIED],
        customers=[LINKED | {"address": "{}"}, FULL_ADDRESS],
    ),
)

NUMBERS: tuple[Person, ...] = (
    person(
        "customer_types",
        "The linked row is 'regular', the guests are not: the newest guest's is taken, the other is a conflict.",
        users=[VERIFIED],
        customers=[LINKED, NEWEST | {"customer_type": "vip"}, OLDER | {"customer_type": "medical"}],
    ),
    person(
        "customer_type_of_session",
        "Only the session knows the type.",
        users=[VERIFIED],
        customers=[LINKED | {"customer_type": ""}],
        user_profiles=[{"email": "customer.type.of.session@example.com", "customer_type": "medical"}],
    ),
    person(
        "customer_type_unknown",
        "A type of nobody's list, and a NULL.",
        users=[VERIFIED],
        customers=[LINKED | {"customer_type": None}, {"customer_type": "Großhandel"}],
    ),
    person(
        "sums_outgrow_the_columns",
        "Every sum is larger than its old column.",
        users=[VERIFIED],
        customers=[
            LINKED | {"loyalty_points": 2147483647, "total_spent": "9999999999.99", "order_count": 2147483647},
            {"loyalty_points": 2147483647, "total_spent": "9999999999.99", "order_count": 2147483647},
        ],
        customer_profiles=[
            {"interaction_count": 2147483647},
            {"customer_id": customer(2), "interaction_count": 2147483647},
        ],
    ),
    person(
        "sums_of_nothing",
        "NULL counts as 0.",
        users=[VERIFIED],
        customers=[
            LINKED | {"loyalty_points": None, "total_spent": None, "order_count": None},
            {"loyalty_points": 5},
        ],
        customer_profiles=[{"interaction_count": None}],
        user_profiles=[{"email": "sums.of.nothing@example.com", "interaction_count": None}],
    ),
    person(
        "sums_below_zero",
        "Points and money were taken back.",
        users=[VERIFIED],
        customers=[
            LINKED | {"loyalty_points": -2147483648, "total_spent": "-12.50", "order_count": -1},
            {"loyalty_points": 10, "total_spent": "0.01"},
        ],
    ),
    person(
        "times_over_all_tables",
        "The first created_at is the session's, the last updated_at the customer_profiles row's; the "
        "last order a guest's.",
        users=[VERIFIED | seen("2022-01-01 00:00:00", "2022-06-01 00:00:00")],
        customers=[
            LINKED | seen("2022-02-01 00:00:00", "2022-07-01 00:00:00") | {"last_order_date": "2022-06-30 12:00:00"},
            seen("2022-03-01 00:00:00", "2022-08-01 00:00:00") | {"last_order_date": "2022-07-31 12:00:00.123456"},
        ],
        customer_profiles=[seen("2022-04-01 00:00:00", "2025-12-31 23:59:59.999999")],
        user_profiles=[
            seen("2021-12-31 23:59:59", "2022-09-01 00:00:00") | {"email": "times.over.all.tables@example.com"}
        ],
    ),
)

VALUES: tuple[Person, ...] = FIRST + ADDRESSES + NUMBERS
