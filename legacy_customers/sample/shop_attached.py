"""Whose row is whose: profiles and sessions that attach to somebody or nobody, and keys that name nobody."""

from legacy_customers.sample.persons import Person, customer, person, seen, user
from legacy_customers.sample.shop_identity import LINKED, VERIFIED

# The current schema's foreign keys make these impossible.
DANGLING: tuple[Person, ...] = (
    person(
        "dangling_customer",
        "user_id names a user who is gone: a guest, and the address is nobody's.",
        customers=[{"user_id": user(9), "first_name": "Dana"}],
        orders=[{"customer_id": customer()}],
        older_only=True,
    ),
    person(
        "dangling_customer_of_verified_user",
        "user_id names a user who is gone; the address is a verified user's: matched.",
        users=[VERIFIED],
        customers=[LINKED, {"user_id": user(9)}],
        older_only=True,
    ),
    person(
        "dangling_customer_of_unverified_user",
        "user_id names a user who is gone; the address is an unverified user's: separate.",
        users=[{}],
        customers=[LINKED, {"user_id": user(9)}],
        older_only=True,
    ),
    person(
        "order_of_a_user_who_is_gone",
        "The order's user_id counts as NULL: the customer's user owns it. The second one has nobody.",
        users=[VERIFIED],
        customers=[LINKED],
        orders=[{"user_id": user(9), "customer_id": customer()}, {"user_id": user(9)}],
        older_only=True,
    ),
)

ATTACHED: tuple[Person, ...] = (
    person(
        "customer_profile_spellings",
        "customer_id in every spelling that PostgreSQL reads as the uuid: all attach to the one customer.",
        users=[VERIFIED],
        customers=[LINKED],
        customer_profiles=[
            {"customer_id": customer(), "interaction_count": 1},
            {"customer_id": customer(spelling=lambda i: str(i).upper()), "interaction_count": 2},
            {"customer_id": customer(spelling=lambda i: f"{{{i}}}"), "interaction_count": 4},
            {"customer_id": customer(spelling=lambda i: i.hex), "interaction_count": 8},
            {"customer_id": customer(spelling=lambda i: f"{{{i.hex.upper()}}}"), "interaction_count": 16},
            {
                "customer_id": customer(spelling=lambda i: "-".join(i.hex[at : at + 4] for at in range(0, 32, 4))),
                "interaction_count": 32,
            },
        ],
    ),
    person(
        "customer_profile_of_nobody",
        "Chat ids, a uuid of no customer, a user's id, spellings that are no uuid: archived, and counted by name.",
        users=[VERIFIED],
        customers=[LINKED],
        customer_profiles=[
            {"customer_id": "chat-4711", "preferences": {"asked": "opening hours"}},
            {"customer_id": "", "preferences": {"asked": "nothing"}},
            {"customer_id": "00000000-0000-4000-8000-00000000dead"},
            {"customer_id": customer(spelling=lambda i: f"urn:uuid:{i}")},
            {"customer_id": customer(spelling=lambda i: f" {i}")},
            {"customer_id": customer(spelling=lambda i: str(i)[:-1])},
            {"customer_id": user()},
        ],
    ),
    person(
        "customer_profiles_of_merged_guests",
        "Linked row and guest both have one: both attach to the same person.",
        users=[VERIFIED],
        customers=[LINKED, {}],
        customer_profiles=[
            {"customer_id": customer(), "interaction_count": 5, "preferences": {"a": 1}} | seen("2024-01-01 00:00:00"),
            {
                "customer_id": customer(2, spelling=lambda i: str(i).upper()),
                "interaction_count": 7,
                "preferences": {"b": 2},
            }
            | seen("2024-02-01 00:00:00"),
        ],
    ),
    person(
        "session_of_one_user",
        "Attached by the session, though the address is somebody else's; email, phone, age go to the archive.",
        users=[{"session_id": "session-one-user"}, VERIFIED | {"email": "bystander@example.com"}],
        customers=[LINKED, {"user_id": user(2), "email": "bystander@example.com"}],
        user_profiles=[
            {
                "session_id": "session-one-user",
                "email": "bystander@example.com",
                "phone": "+14165550102",
                "age_verified": True,
                "needs": ["sleep"],
                "medical_conditions": ["insomnia"],
                "preferred_categories": ["oils"],
                "preferred_effects": ["calm"],
                "experience_level": "beginner",
                "price_range": {"min": 10, "max": 50},
                "interaction_count": 9,
                "language": "fr",
                "timezone": "America/Montreal",
            }
        ],
    ),
    person(
        "sessions_by_verified_address",
        "No user carries the sessions, one verified user has the address (in another spelling): both attach.",
        users=[VERIFIED | {"email": "by.address@example.com"}],
        customers=[LINKED | {"email": "by.address@example.com"}],
        user_profiles=[
            {"email": "by.address@example.com", "needs": ["focus"], "interaction_count": 1},
            {"email": " BY.ADDRESS@example.com", "needs": ["sleep", "focus"], "interaction_count": 2}
            | seen("2025-06-01 00:00:00"),
        ],
    ),
    person(
        "session_by_unverified_address",
        "The user's address is not verified: archived.",
        users=[{}],
        customers=[LINKED],
        user_profiles=[{"email": "session.by.unverified.address@example.com", "medical_conditions": ["migraine"]}],
    ),
    person(
        "session_of_two_users",
        "Two users carry the session: archived.",
        users=[
            {"session_id": "session-shared"},
            {"email": "second@example.com", "session_id": "session-shared"},
        ],
        customers=[LINKED, {"user_id": user(2), "email": "second@example.com"}],
        user_profiles=[{"session_id": "session-shared", "needs": ["energy"]}],
    ),
    person(
        "session_of_twin_addresses",
        "The address is that of two users who differ in case: archived.",
        users=[
            VERIFIED | {"email": "session.twin@example.com"},
            VERIFIED | {"email": "Session.Twin@example.com"},
        ],
        user_profiles=[{"email": "session.twin@example.com", "needs": ["energy"]}],
    ),
    person(
        "session_of_a_guest_address",
        "The address is a guest's, who becomes a new user and is not verified: archived.",
        customers=[{}],
        user_profiles=[{"email": "session.of.a.guest.address@example.com", "needs": ["rest"]}],
    ),
    person(
        "session_empty",
        "An empty session_id is carried by nobody, though one user's is empty too: archived.",
        users=[VERIFIED | {"session_id": ""}],
        customers=[LINKED],
        user_profiles=[{"session_id": "", "needs": ["rest"]}],
    ),
    person(
        "session_of_nobody",
        "Anonymous visitors, with no address, a blank one, and a text that is none.",
        user_profiles=[{"needs": ["rest"]}, {"email": "  "}, {"email": "not an address"}],
    ),
)

ATTACHED_OR_NOT: tuple[Person, ...] = DANGLING + ATTACHED
