"""The OpenAPI document, and every call of it with good and bad input, as each role.

Bounded here: four examples of each sort, a super_admin and one other role per call. `make schema`, or
`SCHEMA_EXAMPLES=50 pytest tests/config/api/test_schema.py`, looks longer, and as every role.
"""

import os
from collections.abc import Iterator, MutableMapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.core.cache import cache
from django.core.management import call_command
from django.db import transaction
from django.test import override_settings
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from pytest_django.plugin import DjangoDbBlocker
from rest_framework_simplejwt.tokens import AccessToken
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from accounts.models import User
from accounts.roles import Role
from config.wsgi import application
from orders.api.till_serializers import SALE
from orders.services import sales, till
from tests.api import one_connection
from tests.factories import OrderFactory, UserFactory, person

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "4"))
NOBODY = "nobody"
OTHERS = [Role.TENANT_ADMIN, Role.STORE_MANAGER, Role.STAFF, Role.CUSTOMER, NOBODY]
ROLES = [Role.SUPER_ADMIN, *OTHERS]

document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
schema = schemathesis.openapi.from_dict(document)
schema.app = application
# NUL characters are refused by the parser and the middleware, whatever the call says of its texts: see test_json.py.
schema.config.generation.update(allow_x00=False, with_security_parameters=False, allow_extra_parameters=False)
OPERATIONS = [found.ok() for found in schema.get_all_operations()]

# Rules that JSON Schema has no words for: what fits the document may still be refused, with 400.
MORE_RULES = {
    "analytics_sales": "start_date and end_date come together, in this order",
    "customers_create": "either name, or first_name, last_name and email",
    "customers_update": "nobody is born tomorrow",
    "customers_verify_age": "nobody is born tomorrow",
    "orders_create": "a total is below 10,000,000,000",
    "orders_create_at_create": "a total is below 10,000,000,000",
    "orders_change_status": "at least one field that is not null",
    "profiles_merge": "the choices are those of the columns",
    "profiles_merge_preview": "the choices are those of the columns",
    "profiles_me_update": "nobody is born tomorrow; a date of birth is written once",
    "profiles_update": "nobody is born tomorrow",
    "auth_register": "a password is not too common, nor like the address",
    "auth_password_change": "the present password, which nobody guesses",
    "auth_password_reset_confirm": "what a mail's link holds",
    "auth_email_verify": "what a mail's link holds",
    **dict.fromkeys(
        ("till_transactions_list", "older_till_transactions_get", "older_till_transactions_of_store_get"),
        "days in their order, of years that a shop has seen",
    ),
    **dict.fromkeys(
        (
            *("till_transactions_create", "older_till_transactions_post", "older_till_transactions_of_store_post"),
            *("till_transactions_park", "older_till_park_post"),
        ),
        "the sums are those of the lines",
    ),
    **dict.fromkeys(("till_transactions_refund", "older_till_refund_post"), "the lines are those of the sale"),
}
# The calls that clients have used for years: their bodies are read kindly, a number is taken where a text is meant.
KIND = ("customers_", "orders_", "till_", "older_till_")


def test_document_is_valid_and_raises_no_warning(tmp_path: Path) -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yml"))


def test_every_call_has_a_name_of_its_own_and_tells_its_problems() -> None:
    names = []
    for path, methods in document["paths"].items():
        assert path.endswith("/"), path
        for method, call in methods.items():
            names.append(call["operationId"])
            for status, answer in call["responses"].items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"], (method, path, status)
    assert len(names) == len(set(names)) > 60


@pytest.fixture(scope="module")
def tokens(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[dict[str, str]]:
    """One account per role, for all calls: each call's writes are taken back."""
    cheap = override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])
    with django_db_blocker.unblock(), cheap, one_connection(), transaction.atomic():
        found = {}
        for role in Role.values:
            token = AccessToken.for_user(UserFactory(role=role))
            token.set_exp(lifetime=timedelta(days=1))  # the long run
            found[role] = str(token)
        yield found
        transaction.set_rollback(True)


@pytest.fixture(scope="module")
def known(tokens: dict[str, str]) -> dict[str, Any]:
    """What is there, by the name of the parameter or the field that asks for it."""
    profile, other = person("known@example.com", first_name="Ada", loyalty_points=50), person()
    odd_rows()
    order = OrderFactory(user=profile.user, order_number="ORD-KNOWN", payment_status="pending", delivery_status=None)
    sale = till.sell(sales.parse(SALE | {"customer_id": str(profile.pk)}), by=UserFactory(role=Role.STAFF))
    return {
        "profile_id": str(profile.pk),
        "customer_id": str(profile.pk),
        "survivor_id": str(profile.pk),
        "other_id": str(other.pk),
        "user_id": str(profile.user_id),
        "order_id": str(order.pk),
        "order_number": order.order_number,
        "transaction_id": sale["id"],
        "store_id": "store_001",
        "If-Match": "*",
        "confirm": True,
    }


def odd_rows() -> None:
    """As the old application may have left them: lists show them, too."""
    odd = person(role=None, first_name=None, tags={"a": 1}, preferences=[], price_range=7, needs="text", notes=None)
    User.objects.filter(pk=odd.user_id).update(active=None, email=None, created_at=None)
    nothing = dict.fromkeys(("subtotal", "tax_amount", "total_amount", "payment_method", "payment_status"))
    for source in ("web", "pos"):
        for items in ([{"name": "Tea", "price": "10", "quantity": None}], {"a": 1}, ["Tea", 7, None], "Tea"):
            OrderFactory(
                user=odd.user, order_source=source, items=items, delivery_address=[1], payment_details="x", **nothing
            )


def roles_for(operation: Any) -> list[str]:
    if EXAMPLES > 10:
        return ROLES
    return [Role.SUPER_ADMIN, OTHERS[OPERATIONS.index(operation) % len(OTHERS)]]


@pytest.mark.django_db
@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_call_answers_as_documented(
    operation: Any, mode: GenerationMode, tokens: dict[str, str], known: dict[str, Any]
) -> None:
    name = operation.definition.raw["operationId"]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def each(case: schemathesis.Case) -> None:
        # What is asked by checks, and of these calls would be asked in vain.
        unasked = [positive_data_acceptance] if name in MORE_RULES else []
        if name.startswith(KIND) and operation.body:
            unasked.append(negative_data_rejection)
        if mode is GenerationMode.POSITIVE:
            for part in (case.path_parameters, case.headers, case.body):
                if isinstance(part, MutableMapping):
                    part.update({name: known[name] for name in part if name in known})
            case.query.pop("cursor", None)  # one that is made up is refused; the pages' own tests follow real ones
        elif "" in case.query.values():
            unasked.append(negative_data_rejection)  # of a query, blank is missing
        for role in roles_for(operation):
            cache.clear()  # throttles
            headers = {"Authorization": f"Bearer {tokens[role]}"} if role != NOBODY else {}
            with transaction.atomic():
                response = case.call(headers=headers)
                case.validate_response(response, headers=headers, excluded_checks=unasked)
                transaction.set_rollback(True)

    try:
        each()
    except Unsatisfiable:
        # It takes nothing, or any text: nothing can be wrong with it.
        assert mode is GenerationMode.NEGATIVE
