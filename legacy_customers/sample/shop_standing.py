"""Whose value wins: consents, verification, activity and roles; and whose the orders are."""

from legacy_customers.sample.persons import Person, customer, person, user
from legacy_customers.sample.shop_identity import LINKED, VERIFIED
from legacy_customers.sample.shop_values import NEWEST, OLDER


def _consents(key: str, why: str, user_says: bool | None, *rows_say: bool | None) -> Person:
    """The user's answer, then the linked row's, then the guests'; sms_consent is the customers' alone."""
    linked, *guests = rows_say
    return person(
        key,
        why,
        users=[VERIFIED | {"marketing_consent": user_says}],
        customers=[
            LINKED | {"marketing_consent": linked, "sms_consent": linked},
            *({"marketing_consent": guest, "sms_consent": guest} for guest in guests),
        ],
    )


CONSENTS: tuple[Person, ...] = (
    _consents("consent_everywhere", "Every copy says yes.", True, True, True),
    _consents("consent_only_of_user", "The user says yes, the linked row no: no.", True, False),
    _consents("consent_only_of_linked_row", "The linked row says yes, the user no: no.", False, True),
    _consents("consent_not_of_guest", "User and linked row say yes, the guest no: no.", True, True, False),
    _consents("consent_only_of_guest", "The guest alone says yes: no.", False, False, True),
    _consents("consent_unknown", "NULL is no yes.", None, True, None),
    _consents("consent_nowhere", "Nobody says yes: no conflict.", False, False, False),
    person(
        "consents_of_guests",
        "Guests without a user disagree.",
        customers=[
            NEWEST | {"marketing_consent": True, "sms_consent": True},
            OLDER | {"marketing_consent": False, "sms_consent": True},
        ],
    ),
)

STANDING: tuple[Person, ...] = (
    person(
        "verified_by_linked_row",
        "The linked row is verified, the guest is not: verified.",
        users=[VERIFIED],
        customers=[LINKED | {"is_verified": True}, {"is_verified": False}],
    ),
    person(
        "not_verified_by_linked_row",
        "The linked row is not verified, though user and guest are: not verified.",
        users=[VERIFIED],
        customers=[LINKED | {"is_verified": False}, {"is_verified": True}],
    ),
    person(
        "verified_unknown_in_linked_row",
        "is_verified is NULL: not verified.",
        users=[VERIFIED],
        customers=[LINKED | {"is_verified": None}],
    ),
    person(
        "guests_all_verified",
        "All say so: verified.",
        customers=[{"is_verified": True}, {"is_verified": True}],
    ),
    person(
        "guests_not_all_verified",
        "One does not know: not verified.",
        customers=[NEWEST | {"is_verified": True}, OLDER | {"is_verified": None}],
    ),
    person(
        "active_user_inactive_customer",
        "users.active stands, the linked row's is_active is a conflict.",
        users=[VERIFIED],
        customers=[LINKED | {"is_active": False}],
    ),
    person(
        "inactive_user_active_customer",
        "The same the other way round: nobody is made active by a merge.",
        users=[VERIFIED | {"active": False}],
        customers=[LINKED | {"is_active": True}],
    ),
    person(
        "activity_unknown",
        "NULL in both, and in a guest.",
        users=[VERIFIED | {"active": None}],
        customers=[LINKED | {"is_active": None}, {"is_active": None}],
    ),
    person(
        "staff_member_who_shops",
        "A guest's row merged into staff raises and lowers nothing.",
        users=[VERIFIED | {"role": "staff"}],
        customers=[LINKED, {"customer_type": "wholesale"}],
    ),
)

ORDERS: tuple[Person, ...] = (
    person(
        "orders_of_every_kind",
        "Only the customer, only the user, both, neither.",
        users=[VERIFIED],
        customers=[LINKED],
        orders=[
            {"customer_id": customer()},
            {"user_id": user()},
            {"user_id": user(), "customer_id": customer()},
            {"user_id": None, "customer_id": None},
        ],
    ),
    person(
        "orders_that_disagree",
        "user_id and customer_id name two people: user_id stays, a conflict is recorded. Once the customer is a guest.",
        users=[VERIFIED, VERIFIED | {"email": "orders.other@example.com"}],
        customers=[
            LINKED,
            {"user_id": user(2), "email": "orders.other@example.com"},
            {"email": "orders.guest@example.com"},
        ],
        orders=[
            {"user_id": user(), "customer_id": customer(2)},
            {"user_id": user(2), "customer_id": customer(3)},
        ],
    ),
    person(
        "order_of_user_and_own_guest_row",
        "The order names the user and a guest row that merges into the same user: they agree.",
        users=[VERIFIED],
        customers=[LINKED, {}],
        orders=[{"user_id": user(), "customer_id": customer(2)}],
    ),
    person(
        "orders_with_odd_values",
        "Amounts unknown, at the limit, refunded; items empty; a delivery address; updated before created.",
        users=[VERIFIED],
        customers=[LINKED],
        orders=[
            {
                "customer_id": customer(),
                "subtotal": None,
                "tax_amount": None,
                "total_amount": None,
                "items": [],
            },
            {"customer_id": customer(), "total_amount": "9999999999.99", "payment_status": "pending"},
            {"user_id": user(), "total_amount": "-11.30", "payment_status": "refunded", "items": {}},
            {
                "customer_id": customer(),
                "delivery_address": {"street": "5 Harbour Road"},
                "special_instructions": "Läuten & warten 🔔",
                "payment_method": None,
                "created_at": "2024-02-02 00:00:00",
                "updated_at": "2024-02-01 00:00:00",
            },
            {
                "user_id": user(),
                "created_at": None,
                "updated_at": None,
                "delivery_status": "out_for_delivery",
            },
        ],
    ),
)

PEOPLE_AND_ORDERS: tuple[Person, ...] = CONSENTS + STANDING + ORDERS
