"""/api/customers as the old service answered it. What it reads and writes goes through ProfileService's parts."""

import uuid
from typing import Any

import orjson
from django.db.models import F
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.access import OWN, Access, caller
from accounts.models import User
from config.api.json import Made
from config.api.problems import not_found
from config.postgresql.odd_dates import OddDate
from orders.models import Order
from orders.selectors import told
from profiles import pages, selectors
from profiles.models import Profile
from profiles.services import profile_service

from . import age, points, serializers
from .superseded import Superseded

TAGS = ["Customers (superseded)"]
FOUND, FOUND_WITHOUT_QUESTION = 10, 50

STORE = OpenApiParameter(
    "X-Store-ID", str, OpenApiParameter.HEADER, description="The store that asks. Customers are not kept by store."
)


class CustomersView(Superseded):
    """All customers that the caller may see."""

    successor = "/api/profiles/"
    access = {"GET": Access("profiles.view_profile", own=True), "POST": Access("profiles.add_profile")}

    @extend_schema(
        operation_id="customers_list",
        tags=TAGS,
        deprecated=True,
        parameters=[serializers.CustomersQuery],
        responses=serializers.Customer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Customers, newest first."""
        query = _query(serializers.CustomersQuery, request)
        filters = {"is_active": query["is_active"], "tenant_id": selectors.as_uuid(query["tenant_id"])}
        if query["tenant_id"] and filters["tenant_id"] is None:
            return Response([])  # a tenant's id is a uuid: nobody is in this one
        found = pages.customers_json(
            viewer=caller(request), text=query["search"], limit=query["limit"], offset=query["offset"], filters=filters
        )
        return Response(found)

    @extend_schema(
        operation_id="customers_create",
        tags=TAGS,
        deprecated=True,
        request=serializers.NewCustomer,
        responses={201: serializers.Customer},
    )
    def post(self, request: Request) -> Response:
        """A new customer, in the long form or the till's short one. The same address may come again."""
        body = serializers.NewCustomer(data=_object(request))
        body.is_valid(raise_exception=True)
        made = profile_service.create_customer(body.validated_data, by=caller(request), via="api")
        return Response(_customer(made["id"], caller(request)), status=201)


class CustomerView(Superseded):
    """One customer, by a customers id, an alias, or a users id."""

    successor = "/api/profiles/{customer_id}/"
    access = {
        "GET": Access("profiles.view_profile", own=True),
        "PUT": Access("profiles.change_profile", own=True),
        "DELETE": Access("profiles.deactivate_profile"),
    }

    @extend_schema(operation_id="customers_retrieve", tags=TAGS, deprecated=True, responses=serializers.Customer)
    def get(self, request: Request, customer_id: str) -> Response:
        """One customer."""
        return Response(_customer(customer_id, caller(request)))

    @extend_schema(
        operation_id="customers_update",
        tags=TAGS,
        deprecated=True,
        request=serializers.ChangedCustomer,
        responses=serializers.Customer,
    )
    def put(self, request: Request, customer_id: str) -> Response:
        """Change what is sent and differs from what the customer is; what is echoed or cannot be written is ignored."""
        by = caller(request)
        before: dict[str, Any] = orjson.loads(bytes(_customer(customer_id, by)))
        may_all = by.has_perm("profiles.change_profile")
        changes = {
            name: value
            for name, value in _object(request).items()
            if (may_all or name in serializers.OWN_FIELDS) and (name not in before or before[name] != value)
        }
        body = serializers.ChangedCustomer(data=changes)
        body.is_valid(raise_exception=True)
        if body.validated_data:
            profile_service.update_customer(before["id"], body.validated_data, by=by, via="api")
        return Response(_customer(before["id"], by))

    @extend_schema(
        operation_id="customers_deactivate", tags=TAGS, deprecated=True, responses={200: serializers.Deactivated}
    )
    def delete(self, request: Request, customer_id: str) -> Response:
        """Deactivate a customer, who can no longer log in. Nothing is deleted."""
        by = caller(request)
        profile_service.delete_customer(_user_id(customer_id, by), by=by, via="api")
        return Response({"success": True, "message": f"Customer {customer_id} is deactivated."})


class CustomerOrdersView(Superseded):
    successor = "/api/profiles/{customer_id}/orders/"
    access = {"GET": Access("profiles.view_profile", own=True)}

    @extend_schema(
        operation_id="customers_orders",
        tags=TAGS,
        deprecated=True,
        parameters=[serializers.OrdersQuery],
        responses=serializers.CustomerOrder(many=True),
    )
    def get(self, request: Request, customer_id: str) -> Response:
        """What a customer bought, newest first; orders of an unknown date come last."""
        query = _query(serializers.OrdersQuery, request)
        user_id = _user_id(customer_id, caller(request))
        orders = Order.objects.visible_to(caller(request)).filter(user_id=user_id)
        return Response(told(orders.order_by(F("created_at").desc(nulls_last=True), "-id")[: query["limit"]]))


class CustomerLoyaltyView(Superseded):
    successor = "/api/profiles/{customer_id}/loyalty/"
    access = {"PATCH": Access("profiles.adjust_points")}

    @extend_schema(
        operation_id="customers_loyalty",
        tags=TAGS,
        deprecated=True,
        request=serializers.PointsToAdd,
        responses=serializers.Points,
    )
    def patch(self, request: Request, customer_id: str) -> Response:
        """Add points, or take them: at most those that are there, the balance never falls below 0."""
        body = serializers.PointsToAdd(data=_object(request))
        body.is_valid(raise_exception=True)
        by = caller(request)
        balance = points.add(_user_id(customer_id, by), body.validated_data["points"], by=by, via="api")
        return Response({"loyalty_points": balance})


class CustomerStatsView(Superseded):
    successor = "/api/profiles/{customer_id}/analytics/"
    access = {"GET": Access("profiles.view_profile", own=True)}

    @extend_schema(operation_id="customers_stats", tags=TAGS, deprecated=True, responses=serializers.CustomerStats)
    def get(self, request: Request, customer_id: str) -> Response:
        """A customer's points and purchases, those of the last 30 days apart."""
        found = selectors.customer_stats(customer_id, viewer=caller(request))
        if found is None:
            raise not_found("customer", customer_id)
        return Response(found)


class CustomerSearchView(Superseded):
    successor = "/api/profiles/"
    access = {"GET": Access("profiles.view_profile", own=True)}

    @extend_schema(
        operation_id="customers_search",
        tags=TAGS,
        deprecated=True,
        parameters=[serializers.SearchQuery, STORE],
        responses=serializers.FoundCustomers,
    )
    def get(self, request: Request) -> Response:
        """The till's search: the first 10 who fit, the newest 50 where nothing is asked for."""
        query = _query(serializers.SearchQuery, request)
        found = profile_service.search_profiles(
            query["q"],
            limit=FOUND if query["q"] else FOUND_WITHOUT_QUESTION,
            visible_to=caller(request),
            customer_type=query["customer_type"] or None,
        )
        return Response({"customers": [_found(profile) for profile in found]})


class VerifyAgeView(Superseded):
    successor = "/api/profiles/"
    access = {"POST": OWN}

    @extend_schema(
        operation_id="customers_verify_age",
        tags=TAGS,
        deprecated=True,
        request=serializers.AgeToVerify,
        responses=serializers.VerifiedAge,
    )
    def post(self, request: Request) -> Response:
        """Whether somebody is old enough to buy; writes nothing."""
        body = serializers.AgeToVerify(data=_object(request))
        body.is_valid(raise_exception=True)
        born = body.validated_data["birth_date"]
        if born is None:
            raise ValidationError({"birth_date": "Give the date of birth, as 1990-12-31."}, "required")
        years = age.age(born)
        legal = age.legal_age(body.validated_data.get("province"))
        verdict = "old enough" if years >= legal else "too young"
        message = f"{years} years is {verdict}: the legal age is {legal}."
        return Response({"is_valid": years >= legal, "age": years, "message": message})


def _customer(customer_id: object, viewer: User) -> Made:
    found = selectors.customer_json(customer_id, viewer=viewer)
    if found is None:
        raise not_found("customer", customer_id)
    return found[0]


def _user_id(customer_id: str, viewer: User) -> uuid.UUID:
    found = selectors.user_id_of(customer_id, viewer=viewer)
    if found is None:
        raise not_found("customer", customer_id)
    return found


def _object(request: Request) -> dict[str, Any]:
    if not isinstance(request.data, dict):
        raise ValidationError("The body is a JSON object.", "invalid")
    return request.data


def _query(serializer: Any, request: Request) -> dict[str, Any]:
    """The query's parameters; of one that comes twice, the last."""
    parsed = serializer(data=request.query_params.dict())
    parsed.is_valid(raise_exception=True)
    validated: dict[str, Any] = parsed.validated_data
    return validated


def _found(profile: Profile) -> dict[str, Any]:
    born = profile.date_of_birth
    return {
        "id": profile.pk,
        "name": " ".join(filter(None, (profile.first_name, profile.last_name))).strip(),
        "email": profile.contact_email if profile.contact_email is not None else profile.user.email,
        "phone": profile.phone,
        "loyalty_points": profile.loyalty_points,
        "birth_date": str(born) if isinstance(born, OddDate) else born,
        "is_verified": age.old_enough(born, profile.state),
        "customer_type": profile.customer_type,
        "total_spent": profile.total_spent,
        "order_count": profile.order_count,
        "marketing_consent": profile.marketing_consent,
    }
