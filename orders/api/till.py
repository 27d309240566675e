"""/api/pos/transactions: what the tills call."""

import uuid
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.access import Access, allows, caller
from accounts.api.authentication import bearer
from config.api import json
from config.api.hot import Headers, HotPost
from config.api.json import Made
from config.api.problems import not_found
from orders import till_selectors
from orders.services import receipts, refunds, sales, till
from orders.services.idempotency import once

from . import till_serializers as shapes

TAGS = ["Till"]
KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    OpenApiParameter.HEADER,
    description="The same key with the same body is done once, and answered as the first time.",
)
SOLD_EXAMPLE = OpenApiExample(
    "Sold",
    {
        "id": "6f1d2c3b-4a59-4e6f-8a7b-0c1d2e3f4a5b",
        "order_number": "POS-20261123-7KQ2M9XT",
        **shapes.SALE,
        "notes": None,
        "timestamp": "2026-11-23T14:05:00+00:00",
    },
    response_only=True,
    status_codes=["201"],
)
REFUND_EXAMPLES = [
    OpenApiExample("All that is left", {"reason": "Changed their mind"}, request_only=True),
    OpenApiExample(
        "One cup of two lines", {"items": [{"id": "2", "quantity": 1}], "reason": "Cracked"}, request_only=True
    ),
    OpenApiExample("An amount", {"amount": 5.0, "processed_by": "cashier_7"}, request_only=True),
    OpenApiExample("Lines, as older clients name them", ["1", "2"], request_only=True),
    OpenApiExample(
        "Given back",
        {"success": True, "message": "8.14 was given back for sale POS-20261123-7KQ2M9XT; 28.25 is left."},
        response_only=True,
        status_codes=["200"],
    ),
]


def order_id(text: str) -> uuid.UUID:
    """The id in the address. Problem 404 for what is no uuid, since nothing has it."""
    found = sales.as_uuid(text)
    if found is None:
        raise not_found("transaction", text)
    return found


class TransactionsView(HotPost, APIView):
    access = {"GET": Access("orders.view_order"), "POST": Access("orders.add_order")}
    problems = {"POST": (404,)}

    def hot_post(self, authorization: str, body: bytes) -> tuple[Made, Headers] | None:
        try:
            found = bearer(authorization.encode("latin-1"))
            if found is None or not allows(self.access["POST"], found[0]):
                return None
            sale = sales.parse(json.read(body))
            # Without a number of its own it could be sold a second time.
            return (json.written(till.sell(sale, by=found[0])), []) if sale.receipt_number else None
        except APIException:
            return None

    @extend_schema(
        operation_id="till_transactions_list",
        tags=TAGS,
        parameters=[shapes.TransactionsQuerySerializer],
        responses=shapes.TillTransactionSerializer(many=True),
    )
    def get(self, request: Request, store_id: str = "") -> Response:
        """Sales and parked sales, newest first."""
        query = _query(shapes.TransactionsQuerySerializer, request)
        found = till_selectors.transactions(
            caller(request),
            store_id=store_id or query.get("store_id"),
            status=query.get("status"),
            first_day=query["first_day"],
            last_day=query["last_day"],
            limit=query["limit"],
        )
        return Response(found)

    @extend_schema(
        operation_id="till_transactions_create",
        tags=TAGS,
        parameters=[KEY],
        request=shapes.TillSaleSerializer,
        responses={201: shapes.TillSoldSerializer},
        examples=[OpenApiExample("Two lines, one at a discount", shapes.SALE, request_only=True), SOLD_EXAMPLE],
    )
    def post(self, request: Request, store_id: str = "") -> Response:
        """Sell. The same receipt_number in the same store sells once, and is answered as the first time."""
        by = caller(request)

        def act() -> tuple[int, Any]:
            return 201, till.sell(sales.parse(request.data, store_id=store_id), by=by)

        status, body = once(request, act, by=by)
        return Response(body, status=status)


class ParkView(APIView):
    access = {"POST": Access("orders.add_order")}
    problems = {"POST": (404,)}

    @extend_schema(
        operation_id="till_transactions_park",
        tags=TAGS,
        parameters=[KEY],
        request=shapes.TillSaleToParkSerializer,
        responses={201: shapes.TillSoldSerializer},
    )
    def post(self, request: Request, store_id: str = "") -> Response:
        """Hold a sale. It brings neither points nor revenue."""
        by = caller(request)

        def act() -> tuple[int, Any]:
            return 201, till.park(sales.parse(request.data, store_id=store_id, parked=True), by=by)

        status, body = once(request, act, by=by)
        return Response(body, status=status)


class ParkedView(APIView):
    access = {"GET": Access("orders.view_order")}

    @extend_schema(
        operation_id="till_transactions_parked",
        tags=TAGS,
        parameters=[shapes.ParkedQuerySerializer],
        responses=shapes.TillTransactionSerializer(many=True),
    )
    def get(self, request: Request, store_id: str = "") -> Response:
        """Sales on hold, newest first."""
        query = _query(shapes.ParkedQuerySerializer, request)
        return Response(
            till_selectors.transactions(
                caller(request), store_id=store_id or query.get("store_id"), status="parked", limit=1000
            )
        )


class TransactionView(APIView):
    access = {"GET": Access("orders.view_order")}

    @extend_schema(operation_id="till_transactions_retrieve", tags=TAGS, responses=shapes.TillTransactionSerializer)
    def get(self, request: Request, transaction_id: str) -> Response:
        """One sale."""
        return Response(till_selectors.transaction(caller(request), order_id(transaction_id)))


class ResumeView(APIView):
    access = {"PUT": Access("orders.change_order")}

    @extend_schema(
        operation_id="till_transactions_resume", tags=TAGS, request=None, responses=shapes.TillTransactionSerializer
    )
    def put(self, request: Request, transaction_id: str) -> Response:
        """Take a parked sale up again, once: all of it. The till then sells under a new number."""
        by = caller(request)
        found = order_id(transaction_id)
        till.resume(found, by=by)
        return Response(till_selectors.transaction(by, found))


class RefundView(APIView):
    access = {"POST": Access("orders.refund_order")}

    @extend_schema(
        operation_id="till_transactions_refund",
        tags=TAGS,
        parameters=[KEY],
        request={"application/json": shapes.REFUND},
        responses=shapes.TillDoneSerializer,
        examples=REFUND_EXAMPLES,
    )
    def post(self, request: Request, transaction_id: str) -> Response:
        """Give back all that is left, lines, or an amount; points and totals go back in proportion."""
        by = caller(request)

        def act() -> tuple[int, Any]:
            done = refunds.refund(order_id(transaction_id), refunds.parse(request.data), by=by)
            return 200, {"success": True, "message": done}

        status, body = once(request, act, by=by)
        return Response(body, status=status)


class PrintReceiptView(APIView):
    access = {"POST": Access("orders.view_order")}

    @extend_schema(operation_id="till_receipt_print", tags=TAGS, request=None, responses=shapes.TillDoneSerializer)
    def post(self, request: Request, transaction_id: str) -> Response:
        """Whether there is a receipt to print; the till prints it."""
        done = receipts.print_receipt(order_id(transaction_id), by=caller(request))
        return Response({"success": True, "message": done})


class MailReceiptView(APIView):
    access = {"POST": Access("orders.view_order")}

    @extend_schema(
        operation_id="till_receipt_email",
        tags=TAGS,
        request=shapes.TillMailSerializer,
        responses=shapes.TillDoneSerializer,
    )
    def post(self, request: Request, transaction_id: str) -> Response:
        """Mail the receipt. 503 where the mail server does not take it."""
        body = shapes.TillMailSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        done = receipts.email_receipt(order_id(transaction_id), body.validated_data["email"], by=caller(request))
        return Response({"success": True, "message": done})


def _query(serializer: type[shapes.ParkedQuerySerializer], request: Request) -> dict[str, Any]:
    query = serializer(data=request.query_params)
    query.is_valid(raise_exception=True)
    return dict(query.validated_data)
