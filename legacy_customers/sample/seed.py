"""The seed's own numbers: 8 users, 10 customers, 1 customer_profiles row, no user_profiles, 12 orders."""

from legacy_customers.sample.logins import LOGINS
from legacy_customers.sample.persons import Person, customer, person, seen, user

# Role, first and last name; the first five have the addresses of the sample logins.
_USERS = (
    ("super_admin", "Ada", "Admin"),
    ("tenant_admin", "Theo", "Tenant"),
    ("store_manager", "Mona", "Manager"),
    ("staff", "Stan", "Staff"),
    ("customer", "Cora", "Customer"),
    ("customer", "Dirk", "Dean"),
    ("customer", "Erin", "Ellis"),
    ("customer", "Finn", "Fox"),
)
_ADDRESSES = [login.email for login in LOGINS] + [f"{first.lower()}@example.com" for _, first, _ in _USERS[5:]]


def _user(number: int) -> Person:
    role, first_name, last_name = _USERS[number]
    common = {"email": _ADDRESSES[number], "first_name": first_name, "last_name": last_name}
    times = seen(f"2025-08-{number + 1:02} 09:00:00")
    # Twelve orders: the four customers have three each, by customer, by user and by both.
    orders = [
        {"customer_id": customer()},
        {"user_id": user()},
        {"customer_id": customer(), "user_id": user()},
    ]
    return person(
        f"seed_user_{number + 1}",
        "A user and the row that the trigger made.",
        users=[common | times | {"role": role, "email_verified": number != 7}],
        customers=[common | times | {"user_id": user(), "is_verified": number != 7}],
        customer_profiles=[{"preferences": {"theme": "dark"}, "interaction_count": 2}] if number == 4 else [],
        orders=orders if role == "customer" else [],
    )


def _guest(number: int, address: str) -> Person:
    return person(
        f"seed_guest_{number}",
        "A customers row without a user.",
        customers=[seen(f"2025-09-1{number} 10:00:00") | {"email": address, "first_name": "Test", "last_name": "User"}],
    )


SEED: tuple[Person, ...] = (
    *(_user(number) for number in range(len(_USERS))),
    _guest(1, "testuser1757646101@example.com"),
    _guest(2, "verify1757646592@example.com"),
)
