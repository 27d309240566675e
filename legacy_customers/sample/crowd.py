"""Three hundred ordinary people of the shop, guests among them: the background of the named persons."""

from typing import Any

from legacy_customers.sample.persons import Person, customer, person, user

COUNT = 300

_FIRST = (
    "Ann",
    "Boris",
    "Chloé",
    "Dmitri",
    "Elif",
    "Farid",
    "Grace",
    "Hiro",
    "Inés",
    "Jamal",
    "Karin",
    "Liam",
    "Mei",
)
_LAST = (
    "Anderson",
    "Brown",
    "Castillo",
    "Dubois",
    "Eriksen",
    "Fischer",
    "García",
    "Hughes",
    "Ivanova",
    "Jansen",
    "Kim",
)
_CITIES = (
    ("Toronto", "ON", "Canada"),
    ("Montréal", "QC", "Canada"),
    ("Seattle", "WA", "USA"),
    ("Denver", "CO", "USA"),
)


def _ordinary(number: int) -> Person:
    """Person `number`: every fifth is a guest, every fourth shops as a guest too, the rest is plain."""
    name: dict[str, Any] = {
        "first_name": _FIRST[number % len(_FIRST)],
        "last_name": _LAST[number % len(_LAST)],
        "phone": f"+1416555{1000 + number}",
    }
    city, state, country = _CITIES[number % len(_CITIES)]
    row = name | {
        "address": f"{number} Queen Street",
        "city": city,
        "state": state,
        "country": country,
        "postal_code": f"{10000 + number * 37}",
        "loyalty_points": number * 3,
        "total_spent": f"{number}.{number % 90 + 10}",
        "order_count": number % 5,
        "tags": ["loyal"] if number % 3 else [],
        "is_verified": True,
        "customer_type": "vip" if number % 25 == 0 else "regular",
        "created_at": f"2023-{number % 12 + 1:02}-{number % 28 + 1:02} 10:00:00",
        "updated_at": f"2025-{number % 12 + 1:02}-{number % 28 + 1:02} 16:30:00",
    }
    key = f"ordinary_{number:03}"
    if number % 5 == 0:
        return person(key, "An ordinary guest.", customers=[row], orders=[{"customer_id": customer()}])
    return person(
        key,
        "An ordinary customer.",
        users=[name | {"email_verified": True, "terms_accepted": True, "last_login": "2025-06-01 12:00:00"}],
        customers=[row | {"user_id": user()}] + ([name | {"loyalty_points": 5}] if number % 4 == 0 else []),
        customer_profiles=[{"preferences": {"theme": "dark"}, "interaction_count": number}] if number % 3 == 0 else [],
        user_profiles=(
            [{"email": f"ordinary.{number:03}@example.com", "needs": ["sleep"], "interaction_count": 1}]
            if number % 30 == 1
            else []
        ),
        orders=[
            {"user_id": user() if turn != 1 else None, "customer_id": customer() if turn != 2 else None}
            for turn in range(1, number % 4 + 1)
        ],
    )


CROWD: tuple[Person, ...] = tuple(_ordinary(number) for number in range(1, COUNT + 1))
