"""Orders as the shop, the app and the dashboard call them."""

import uuid
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.access import PUBLIC, Access, caller
from accounts.models import User
from config.api.problems import not_found
from orders import selectors
from orders.models import Order
from orders.services import orders as service
from orders.services.idempotency import once
from profiles.models import Profile
from profiles.selectors import as_uuid

from .order_serializers import (
    CancelSerializer,
    NewOrderSerializer,
    NewStatusSerializer,
    OrderCreatedSerializer,
    OrderHistorySerializer,
    OrderMovedSerializer,
    OrderPageQuerySerializer,
    OrderPageSerializer,
    OrderQuerySerializer,
    OrderSerializer,
    OrderStandingSerializer,
    TrackedOrderSerializer,
    TrackQuerySerializer,
)
from .till import KEY

READ = Access("orders.view_order", own=True)
TAGS = ["Orders"]
VIA = "api"
ORDER_EXAMPLES = [
    OpenApiExample(
        "Three teas, delivered",
        {
            "items": [{"product_id": "tea-1", "name": "Tea", "quantity": 3, "price": 12.5}],
            "payment_method": "etransfer",
            "delivery_info": {"type": "delivery"},
            "delivery_address": {"street": "1 Elm", "city": "Ottawa", "postal_code": "K1A 0B1"},
        },
        request_only=True,
    ),
    OpenApiExample(
        "Staff, for somebody who calls",
        {
            "items": [{"product_id": "tea-1", "name": "Tea", "quantity": 1, "price": 12.5}],
            "payment_method": "cash",
            "delivery_info": {"type": "pickup"},
            "customer_info": {"name": "Ann Lee", "phone": "613 555-0142"},
        },
        request_only=True,
    ),
    OpenApiExample(
        "Ordered",
        {
            "success": True,
            "order_id": "6f1d2c3b-4a59-4e6f-8a7b-0c1d2e3f4a5b",
            "order_number": "ORD-20261123-7KQ2M9XT",
            "created_at": "2026-11-23T14:05:00+00:00",
        },
        response_only=True,
        status_codes=["201"],
    ),
]


def _wanted(user: User, order_id: str) -> dict[str, Any]:
    """The order of that id, as it is told; 404 where it is not the caller's to see."""
    wanted = as_uuid(order_id)
    found = selectors.one(Order.objects.visible_to(user).filter(pk=wanted)) if wanted else None
    if found is None:
        raise not_found("order", order_id)
    return found


def _id(order_id: str) -> uuid.UUID:
    wanted = as_uuid(order_id)
    if wanted is None:
        raise not_found("order", order_id)
    return wanted


def _page(orders: Any, *, limit: int, offset: int) -> Response:
    page = selectors.page(orders, limit=limit, offset=offset)
    return Response({"orders": page.orders, "data": page.orders, "total": page.total})


def _moved(user: User, order_id: uuid.UUID, message: str) -> dict[str, Any]:
    order = _wanted(user, str(order_id))
    return {
        "success": True,
        "message": message.format(number=order["order_number"]),
        **selectors.status_of(order),
        "order_status": order["order_status"],
        "delivery_status": order["delivery_status"],
    }


def _create(request: Request) -> Response:
    asked = NewOrderSerializer(data=request.data)
    asked.is_valid(raise_exception=True)
    draft, user = asked.draft(), caller(request)

    def act() -> tuple[int, Any]:
        order = service.create(draft, by=user, via=VIA)
        return 201, {
            "success": True,
            "order_id": str(order.pk),
            "order_number": order.order_number,
            "created_at": selectors.moment(order.created_at),
        }

    status, body = once(request, act, by=user)
    return Response(body, status=status)


class OrdersView(APIView):
    access = {"GET": READ, "POST": Access("orders.add_order", own=True)}
    problems = {"POST": (404,)}

    @extend_schema(
        operation_id="orders_list", tags=TAGS, parameters=[OrderQuerySerializer], responses=OrderPageSerializer
    )
    def get(self, request: Request) -> Response:
        """Orders, newest first; a customer's own, staff's tenant's."""
        query = OrderQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = dict(query.validated_data)
        limit, offset = asked.pop("limit"), asked.pop("offset")
        return _page(selectors.matching(Order.objects.visible_to(caller(request)), **asked), limit=limit, offset=offset)

    @extend_schema(
        operation_id="orders_create",
        tags=TAGS,
        examples=ORDER_EXAMPLES,
        parameters=[KEY],
        request=NewOrderSerializer,
        responses={201: OrderCreatedSerializer},
    )
    def post(self, request: Request) -> Response:
        """Order something. Prices are the lines' own; the server computes the sums."""
        return _create(request)


class OrderCreateView(APIView):
    access = {"POST": Access("orders.add_order", own=True)}
    problems = {"POST": (404,)}

    @extend_schema(
        operation_id="orders_create_at_create",
        tags=TAGS,
        examples=ORDER_EXAMPLES,
        parameters=[KEY],
        request=NewOrderSerializer,
        responses={201: OrderCreatedSerializer},
    )
    def post(self, request: Request) -> Response:
        """The same as POST /api/orders/."""
        return _create(request)


class OrderView(APIView):
    access = {"GET": READ}

    @extend_schema(operation_id="orders_retrieve", tags=TAGS, responses=OrderSerializer)
    def get(self, request: Request, order_id: str) -> Response:
        """One order."""
        return Response(_wanted(caller(request), order_id))


class OrderByNumberView(APIView):
    access = {"GET": READ}

    @extend_schema(operation_id="orders_by_number", tags=TAGS, responses=OrderSerializer)
    def get(self, request: Request, order_number: str) -> Response:
        """One order, by its number."""
        return Response(_numbered(caller(request), order_number))


class OrderTrackView(OrderByNumberView):
    @extend_schema(operation_id="orders_track_own", tags=TAGS, responses=OrderSerializer)
    def get(self, request: Request, order_number: str) -> Response:
        """One order by its number, for whose it is and for staff."""
        return Response(_numbered(caller(request), order_number))


def _numbered(user: User, order_number: str) -> dict[str, Any]:
    found = selectors.one(Order.objects.visible_to(user).filter(order_number=order_number))
    if found is None:
        raise not_found("order", order_number)
    return found


class TrackView(APIView):
    authentication_classes = ()  # a token that has ended must not keep anybody from asking
    access = {"GET": PUBLIC}
    problems = {"GET": (404,)}
    throttle_scope = "track"

    @extend_schema(
        operation_id="orders_track", tags=TAGS, parameters=[TrackQuerySerializer], responses=TrackedOrderSerializer
    )
    def get(self, request: Request) -> Response:
        """How an order stands, without a login: number and email must both fit. A wrong pair is answered as an unknown number is."""
        query = TrackQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        number = query.validated_data["order_number"]
        order = selectors.tracked(number, query.validated_data["email"])
        if order is None:
            raise not_found("order with this email and the number", number)
        return Response(
            {
                **selectors.status_of(order),
                **{name: order[name] for name in ("delivery_status", "order_type", "created_at")},
            }
        )


class OrderStatusView(APIView):
    access = {"GET": READ, "PUT": Access("orders.change_order")}

    @extend_schema(operation_id="orders_status", tags=TAGS, responses=OrderStandingSerializer)
    def get(self, request: Request, order_id: str) -> Response:
        """How an order stands."""
        return Response(selectors.status_of(_wanted(caller(request), order_id)))

    @extend_schema(
        operation_id="orders_change_status",
        tags=TAGS,
        request=NewStatusSerializer,
        responses=OrderMovedSerializer,
        examples=[
            OpenApiExample("The money has come", {"payment_status": "paid", "status": "confirmed"}, request_only=True),
            OpenApiExample("On its way", {"delivery_status": "out_for_delivery"}, request_only=True),
        ],
    )
    def put(self, request: Request, order_id: str) -> Response:
        """Move an order on, by legal steps alone: 409 names from, to, and what is possible."""
        wanted, user = _id(order_id), caller(request)
        asked = NewStatusSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        found = asked.validated_data
        service.change_status(
            wanted,
            payment_status=found.get("payment_status"),
            delivery_status=found.get("delivery_status"),
            status=found.get("status"),
            notes=found.get("notes") or "",
            by=user,
            via=VIA,
        )
        return Response(_moved(user, wanted, "Order {number} was changed."))


class OrderCancelView(APIView):
    access = {"POST": Access("orders.change_order", own=True)}

    @extend_schema(
        operation_id="orders_cancel",
        tags=TAGS,
        parameters=[KEY],
        request=CancelSerializer,
        responses=OrderMovedSerializer,
        examples=[OpenApiExample("With a reason", {"reason": "Ordered twice"}, request_only=True)],
    )
    def post(self, request: Request, order_id: str) -> Response:
        """Cancel an order before it is delivered; points and totals that it gave are taken back."""
        wanted, user = _id(order_id), caller(request)
        asked = CancelSerializer(data=request.data or {})
        asked.is_valid(raise_exception=True)
        reason = asked.validated_data.get("reason") or ""

        def act() -> tuple[int, Any]:
            service.cancel(wanted, reason=reason, by=user, via=VIA)
            return 200, _moved(user, wanted, "Order {number} was cancelled.")

        status, body = once(request, act, by=user)
        return Response(body, status=status)


class OrderHistoryView(APIView):
    access = {"GET": READ}

    @extend_schema(operation_id="orders_history", tags=TAGS, responses=OrderHistorySerializer)
    def get(self, request: Request, order_id: str) -> Response:
        """What happened to an order, oldest first."""
        orders = Order.objects.visible_to(caller(request)).only("id", "order_source", "created_at")
        order = orders.filter(pk=_id(order_id)).first()
        if order is None:
            raise not_found("order", order_id)
        return Response({"order_id": str(order.pk), "history": selectors.history(order)})


class CustomerOrdersView(APIView):
    access = {"GET": READ}

    @extend_schema(
        operation_id="orders_of_customer",
        tags=TAGS,
        parameters=[OrderPageQuerySerializer],
        responses=OrderPageSerializer,
    )
    def get(self, request: Request, customer_id: str) -> Response:
        """Orders of a customer, newest first. The id is a customers id, an alias or a users.id."""
        query = OrderPageQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        user, person = caller(request), selectors.user_behind(customer_id)
        if person is None or not Profile.objects.visible_to(user).filter(user_id=person).exists():
            raise not_found("customer", customer_id)
        return _page(Order.objects.visible_to(user).filter(user_id=person), **query.validated_data)
