"""Whose row is whose: one person for every case of the identity rules, and for their edges."""

from typing import Any

from legacy_customers.sample.persons import Person, customer, person, seen, user

VERIFIED: dict[str, Any] = {"email_verified": True}
LINKED: dict[str, Any] = {"user_id": user()}

LINKED_ROWS: tuple[Person, ...] = (
    person(
        "linked",
        "The plain case: a user and the row that the trigger made.",
        users=[VERIFIED | {"first_name": "Lena", "last_name": "Linked", "phone": "+14165550100"}],
        customers=[
            LINKED | {"first_name": "Lena", "last_name": "Linked", "phone": "+14165550100", "is_verified": True}
        ],
        customer_profiles=[{"preferences": {"theme": "dark"}, "interaction_count": 4}],
        orders=[{"user_id": user(), "customer_id": customer()}],
    ),
    person(
        "linked_row_with_another_address",
        "The linked row's address is not the login: it becomes contact_email.",
        users=[VERIFIED],
        customers=[LINKED | {"email": "where.to.write@example.com"}],
    ),
    person(
        "linked_row_spelled_differently",
        "The linked row's address differs from the login in case and white space only: no contact_email.",
        users=[VERIFIED | {"email": "spelled@example.com"}],
        customers=[LINKED | {"email": " Spelled@Example.COM"}],
    ),
    person(
        "linked_row_without_address",
        "The linked row's address is empty: nothing to write to but the login.",
        users=[VERIFIED],
        customers=[LINKED | {"email": ""}],
    ),
    person(
        "linked_row_with_a_neighbours_login",
        "Two users; the linked row of the first holds the login of the second. Linked wins over the address.",
        users=[VERIFIED, VERIFIED | {"email": "neighbour@example.com"}],
        customers=[
            LINKED | {"email": "neighbour@example.com"},
            {"user_id": user(2), "email": "neighbour@example.com"},
        ],
    ),
    person(
        "guest_of_a_contact_address",
        "A guest uses the address in a linked row that is nobody's login: still a new user.",
        users=[VERIFIED],
        customers=[LINKED | {"email": "contact.only@example.com"}, {"email": "contact.only@example.com"}],
    ),
    person(
        "user_without_customers_row",
        "A user whose customers row was deleted: a profile with a new id, verified by mail.",
        users=[VERIFIED | {"first_name": "Uma", "phone": "+14165550101", "marketing_consent": True}],
        orders=[{"user_id": user()}],
    ),
    person(
        "user_without_row_phone_verified",
        "No customers row, verified by phone alone: the profile is verified.",
        users=[{"phone_verified": True}],
    ),
    person("user_without_row_unverified", "No customers row and nothing verified.", users=[{}]),
    person(
        "user_with_malformed_address",
        "A login that is no address (and a guest with the same text, who stays separate).",
        users=[VERIFIED | {"email": "front desk"}],
        customers=[LINKED | {"email": "front desk"}, {"email": "front desk"}],
    ),
    person("user_with_empty_address", "users.email is '': it may exist once.", users=[{"email": ""}]),
)

MATCHED: tuple[Person, ...] = (
    person(
        "guest_of_verified_user",
        "A guest with a verified user's address merges into that user.",
        users=[VERIFIED | {"first_name": "Vera"}],
        customers=[
            LINKED | {"first_name": "Vera", "loyalty_points": 100, "total_spent": "20.50", "order_count": 2},
            {"first_name": "Vera", "loyalty_points": 11, "total_spent": "5.25", "order_count": 1},
        ],
        orders=[{"customer_id": customer()}, {"customer_id": customer(2)}, {"user_id": user()}],
    ),
    person(
        "guests_in_other_spellings_of_verified_user",
        "Capitals, blanks, a no-break space, a tab and an ideographic space around the address do not matter.",
        users=[VERIFIED | {"email": "spellings@example.com"}],
        customers=[
            LINKED | {"email": "spellings@example.com"},
            {"email": "SPELLINGS@EXAMPLE.COM"},
            {"email": "  spellings@example.com "},
            {"email": "\u00a0spellings@example.com"},
            {"email": "\tSpellings@example.com\n"},
            {"email": "spellings@example.com\u3000"},
        ],
    ),
    person(
        "guest_of_verified_user_without_row",
        "The user has no customers row: the newest guest's row is the primary one.",
        users=[VERIFIED],
        customers=[
            seen("2024-01-01 10:00:00", "2024-02-01 10:00:00") | {"first_name": "Older"},
            seen("2023-01-01 10:00:00", "2024-06-01 10:00:00") | {"first_name": "Newest"},
        ],
        orders=[{"customer_id": customer()}, {"customer_id": customer(2)}],
    ),
    person(
        "guest_of_inactive_verified_user",
        "The user is not active; the guest merges and the user stays so.",
        users=[VERIFIED | {"active": False}],
        customers=[LINKED | {"is_active": False}, {"is_active": True}],
    ),
    person(
        "guest_with_the_same_birth_date",
        "Equal birth dates do not contradict, nor does an unknown one.",
        users=[VERIFIED | {"date_of_birth": "1980-02-29"}],
        customers=[
            LINKED | {"date_of_birth": "1980-02-29"},
            {"date_of_birth": "1980-02-29"},
            {"date_of_birth": None},
        ],
    ),
    person(
        "guest_fills_unknown_birth_date",
        "Neither the user nor the linked row knows a birth date; the guest does.",
        users=[VERIFIED],
        customers=[LINKED, {"date_of_birth": "1977-07-07"}],
    ),
    person(
        "guests_who_contradict_each_other",
        "The newest guest and those who agree with it merge; the one with another birth date stays separate.",
        users=[VERIFIED],
        customers=[
            LINKED,
            seen("2024-01-01 10:00:00") | {"first_name": "Newest-but-one", "date_of_birth": "1990-09-09"},
            seen("2024-05-01 10:00:00") | {"first_name": "Newest", "date_of_birth": "1985-05-05"},
            seen("2023-01-01 10:00:00") | {"first_name": "Agrees", "date_of_birth": "1985-05-05"},
            seen("2022-01-01 10:00:00") | {"first_name": "Unknown", "date_of_birth": None},
        ],
        orders=[{"customer_id": customer(position)} for position in (2, 3, 4, 5)],
    ),
    person(
        "guests_contradict_newest_unknown",
        "The newest guest has no birth date and the two older ones contradict each other: the newest "
        "known date decides.",
        users=[VERIFIED],
        customers=[
            LINKED,
            seen("2024-05-01 10:00:00") | {"date_of_birth": None},
            seen("2024-04-01 10:00:00") | {"date_of_birth": "1970-01-02"},
            seen("2024-03-01 10:00:00") | {"date_of_birth": "1971-01-02"},
        ],
    ),
)

SEPARATE: tuple[Person, ...] = (
    person(
        "guest_contradicts_user",
        "The guest's birth date is not the user's: a separate person, with a suggestion.",
        users=[VERIFIED | {"date_of_birth": "1980-01-01"}],
        customers=[LINKED, {"date_of_birth": "1999-12-31", "loyalty_points": 7}],
        orders=[{"customer_id": customer(2)}],
    ),
    person(
        "guest_contradicts_linked_row",
        "The user's own birth date is unknown, the linked row's contradicts the guest's.",
        users=[VERIFIED],
        customers=[LINKED | {"date_of_birth": "1980-01-01"}, {"date_of_birth": "1999-12-31"}],
    ),
    person(
        "guest_agrees_with_one_of_two",
        "User and linked row disagree on the birth date; the guest agrees with the user only, and stays separate.",
        users=[VERIFIED | {"date_of_birth": "1980-01-01"}],
        customers=[LINKED | {"date_of_birth": "1981-01-01"}, {"date_of_birth": "1980-01-01"}],
    ),
    person(
        "guest_of_unverified_user",
        "Anybody can register with somebody else's address: nothing is handed over, a suggestion is made.",
        users=[{"first_name": "Claims"}],
        customers=[
            LINKED | {"first_name": "Claims"},
            {"first_name": "Was here first", "notes": "Medical order."},
        ],
        customer_profiles=[{"customer_id": customer(2), "preferences": {"private": "yes"}}],
        orders=[{"customer_id": customer(2)}],
    ),
    person(
        "guests_of_unverified_user",
        "Two guests with one unverified user's address: two separate persons.",
        users=[{}],
        customers=[LINKED, {"first_name": "One"}, {"first_name": "Two"}],
    ),
    person(
        "guest_of_phone_verified_user",
        "A verified phone says nothing about the address.",
        users=[{"phone_verified": True}],
        customers=[LINKED | {"is_verified": True}, {}],
    ),
    person(
        "guest_of_user_with_unknown_verification",
        "email_verified is NULL: not verified.",
        users=[{"email_verified": None}],
        customers=[LINKED, {}],
    ),
    person(
        "users_who_differ_in_case",
        "Two verified logins differ in case only: both stay, with a suggestion; the guest belongs to neither.",
        users=[VERIFIED | {"email": "twin@example.com"}, VERIFIED | {"email": "Twin@Example.com"}],
        customers=[
            LINKED | {"email": "twin@example.com"},
            {"user_id": user(2), "email": "Twin@Example.com"},
            {"email": "TWIN@example.com"},
        ],
        orders=[{"customer_id": customer(3)}],
    ),
    person(
        "users_who_differ_in_white_space",
        "The same with a blank, a tab and a no-break space around the login; three users.",
        users=[
            VERIFIED | {"email": "spaced@example.com"},
            VERIFIED | {"email": " spaced@example.com\t"},
            VERIFIED | {"email": "spaced@example.com\u00a0"},
        ],
        customers=[LINKED | {"email": "spaced@example.com"}, {"email": "spaced@example.com"}],
    ),
    person(
        "guests_without_address",
        "Empty and blank addresses: each guest is separate, and no suggestion is made.",
        customers=[{"email": ""}, {"email": ""}, {"email": "   "}, {"email": "\u00a0\t"}],
        orders=[{"customer_id": customer(position)} for position in (1, 2, 3, 4)],
    ),
    person(
        "guests_with_malformed_addresses",
        "None of these is usable; each guest is separate and the text is kept as it was.",
        customers=[
            {"email": text}
            for text in (
                "none",
                "someone@localhost",
                "two words@example.com",
                "two@@example.com",
                "a@b@example.com",
                "@example.com",
                "someone@",
                "N/A",
                "in\u00a0side@example.com",
                "null",
            )
        ],
    ),
    person(
        "guests_with_one_malformed_address",
        "Two guests share an unusable address: they stay two.",
        customers=[{"email": "cash customer"}, {"email": "cash customer"}],
    ),
    person(
        "guest_with_255_character_address",
        "As long as the column, one longer than an address may be: unusable.",
        customers=[{"email": "l" * 243 + "@example.com"}],
    ),
)

NEW_USERS: tuple[Person, ...] = (
    person(
        "guest_alone",
        "A guest with an address that is no user's: a new user who cannot log in until the password is reset.",
        customers=[{"first_name": "Gus", "loyalty_points": 3, "marketing_consent": True}],
        customer_profiles=[{"preferences": {"channel": "sms"}}],
        orders=[{"customer_id": customer()}],
    ),
    person(
        "guests_who_share_an_address",
        "Spelled in five ways (case, blank, no-break space, tab): one new user, the newest row is the primary one.",
        customers=[
            seen("2023-01-01 10:00:00") | {"email": "shared@example.com", "loyalty_points": 1, "first_name": "First"},
            seen("2023-02-01 10:00:00") | {"email": "SHARED@example.com", "loyalty_points": 2},
            seen("2023-03-01 10:00:00") | {"email": " shared@example.com", "loyalty_points": 4},
            seen("2023-04-01 10:00:00") | {"email": "shared@example.com\u00a0", "loyalty_points": 8},
            seen("2023-05-01 10:00:00") | {"email": "\tShared@Example.com\t", "loyalty_points": 16, "phone": "1"},
        ],
        customer_profiles=[
            {"customer_id": customer(2), "interaction_count": 3},
            {"customer_id": customer(5)},
        ],
        orders=[{"customer_id": customer(position)} for position in (1, 2, 3, 4, 5)],
    ),
    person(
        "guests_share_an_address_but_not_a_birth_date",
        "The one whose birth date contradicts the newest row's is a separate person, with a suggestion.",
        customers=[
            seen("2024-03-01 10:00:00") | {"first_name": "Newest", "date_of_birth": "1960-06-06"},
            seen("2024-02-01 10:00:00") | {"first_name": "Child", "date_of_birth": "1990-06-06"},
            seen("2024-01-01 10:00:00") | {"first_name": "Unknown", "date_of_birth": None},
        ],
        orders=[{"customer_id": customer(2)}],
    ),
    person(
        "guests_newest_without_birth_date",
        "The newest row has no birth date, so none contradicts it; the two older ones contradict each other.",
        customers=[
            seen("2024-03-01 10:00:00") | {"date_of_birth": None},
            seen("2024-02-01 10:00:00") | {"date_of_birth": "1990-06-06"},
            seen("2024-01-01 10:00:00") | {"date_of_birth": "1960-06-06"},
        ],
    ),
    person(
        "guests_equally_new",
        "Same time: the lowest id is the primary row.",
        customers=[
            {"id": "bbbbbbbb-0000-4000-8000-000000000002", "first_name": "Second"},
            {"id": "bbbbbbbb-0000-4000-8000-000000000001", "first_name": "Lowest"},
        ],
    ),
    person(
        "guests_newest_by_creation",
        "updated_at is NULL in one row: its created_at counts.",
        customers=[
            {"created_at": "2024-06-01 10:00:00", "updated_at": None, "first_name": "Newest"},
            {"created_at": "2023-01-01 10:00:00", "updated_at": "2024-05-01 10:00:00", "first_name": "Older"},
        ],
    ),
    person(
        "guests_without_times",
        "One row has neither time: it is the oldest.",
        customers=[
            {"created_at": None, "updated_at": None, "first_name": "No times"},
            {"created_at": "2020-01-01 10:00:00", "updated_at": None, "first_name": "Newest"},
        ],
    ),
    person(
        "guest_inactive",
        "The primary row is not active: neither is the new user.",
        customers=[
            seen("2024-03-01 10:00:00") | {"is_active": False},
            seen("2024-01-01 10:00:00") | {"is_active": True},
        ],
    ),
    person(
        "guest_with_254_character_address",
        "The longest address there is: usable.",
        customers=[{"email": "m" * 242 + "@example.com"}],
    ),
    person(
        "guests_with_addresses_in_many_scripts",
        "Greek, Cyrillic, Han, Arabic, an emoji, a punycode domain: all usable, all different persons.",
        customers=[
            {"email": text}
            for text in (
                "δοκιμή@παράδειγμα.δοκιμή",
                "почта@пример.рф",
                "用户@例子.公司",
                "مثال@موقع.عرب",
                "😀@example.com",
                "kontakt@xn--bcher-kva.example",
                "kontakt@bücher.example",
            )
        ],
    ),
    person(
        "guests_whose_case_is_not_plain",
        "Greek sigmas, sharp s and the Turkish dotted I: what is equal is what PostgreSQL's lower() makes equal.",
        customers=[
            {"email": text}
            for text in (
                "ΟΔΟΣ@example.com",
                "οδοσ@example.com",
                "οδος@example.com",
                "STRASSE@example.com",
                "straße@example.com",
                "İstanbul@example.com",
                "istanbul@example.com",
                "ÉLAN@example.com",
                "élan@example.com",
            )
        ],
    ),
    person(
        "guests_composed_and_decomposed",
        "One address in the forms NFC and NFD: two different texts, two persons.",
        customers=[{"email": "caf\u00e9@example.com"}, {"email": "cafe\u0301@example.com"}],
    ),
    person(
        "guests_with_invisible_characters",
        "A zero-width space and a byte-order mark are no white space: three addresses.",
        customers=[
            {"email": "invisible@example.com"},
            {"email": "invisible\u200b@example.com"},
            {"email": "\ufeffinvisible@example.com"},
        ],
    ),
)

IDENTITY: tuple[Person, ...] = LINKED_ROWS + MATCHED + SEPARATE + NEW_USERS
