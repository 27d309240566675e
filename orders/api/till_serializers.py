"""The till's shapes: queries, which are checked by them, and bodies, which orders/services reads, for the OpenAPI document."""

import datetime
import re
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from orders.services.sales import DISCOUNT_TYPES, MOST_LINES, PAYMENT_METHODS


def _words(*words: str) -> dict[str, Any]:
    """One of the words. Not as an enum: other calls have fields of the same name with other words."""
    return {"type": "string", "nullable": True, "pattern": f"^({'|'.join(map(re.escape, words))})$"}


NUMERAL = {"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,9})?$"}
POSITIVE_NUMERAL = {"type": "string", "pattern": r"^([1-9][0-9]{0,5}|0\.[0-9]{0,2}[1-9])$"}
TEXT = {"type": "string", "nullable": True, "maxLength": 100, "pattern": r"^[^\x00-\x1f\x7f]*$"}
SALE = {
    "store_id": "store_001",
    "cashier_id": "cashier_7",
    "customer_id": "anonymous",
    "items": [
        {"product": {"id": "p1", "sku": "TEA-1", "name": "Tea", "price": 12.5, "category": "Drinks"}, "quantity": 2},
        {
            "product": {"id": "p2", "name": "Cup", "price": 8.0},
            "quantity": 1,
            "discount": 10,
            "discount_type": "percentage",
        },
    ],
    "subtotal": 32.2,
    "discounts": 0.8,
    "tax": 4.19,
    "total": 36.39,
    "payment_method": "cash",
    "payment_details": {"cash_amount": 40, "change_given": 3.61},
    "status": "completed",
    "receipt_number": "R-1001",
}


@extend_schema_field(
    {"oneOf": [{"type": "number", "minimum": 0, "exclusiveMaximum": True, "maximum": 10**10}, NUMERAL]}
)
class Sum(serializers.Field):
    """A sum of money: rounded to cents, half up."""


@extend_schema_field(
    {
        "oneOf": [
            {"type": "number", "minimum": 0, "exclusiveMinimum": True, "exclusiveMaximum": True, "maximum": 10**10},
            POSITIVE_NUMERAL,
        ]
    }
)
class Quantity(serializers.Field):
    """More than 0."""


@extend_schema_field(TEXT)
class Code(serializers.Field):
    """A uuid, or a text of a till's own."""


@extend_schema_field({**TEXT, "nullable": False, "minLength": 1})
class StoreCode(serializers.Field):
    """A uuid, or a text of the shop's own; nothing where the address names the store."""


@extend_schema_field({"oneOf": [{"type": "string", "format": "date"}, {"type": "string", "maxLength": 0}]})
class Day(serializers.DateField):
    """A day of the shop's time zone; empty: any."""


@extend_schema_field(_words(*sorted(PAYMENT_METHODS)))
class PaymentMethodField(serializers.Field):
    """A way of paying, in any of its spellings."""


@extend_schema_field(_words("completed"))
class SaleStatus(serializers.Field):
    """What a sale is."""


@extend_schema_field(_words(*sorted(DISCOUNT_TYPES)))
class DiscountType(serializers.Field):
    """What a discount is; by default an amount."""


class TillProductSerializer(serializers.Serializer):
    """What was sold; other fields are kept with it."""

    id = serializers.CharField(required=False)
    sku = serializers.CharField(required=False)
    name = serializers.CharField(required=False)
    price = Sum()
    category = serializers.CharField(required=False)


class TillLineSerializer(serializers.Serializer):
    """A line; other fields (promotion, batch, …) are kept with it."""

    id = serializers.CharField(required=False, help_text="By which it can be given back; made where it is missing.")
    product = TillProductSerializer()
    quantity = Quantity()
    discount = Sum(required=False, allow_null=True, help_text="Off the whole line.")
    discount_type = DiscountType(required=False, allow_null=True)


class TillPaymentSerializer(serializers.Serializer):
    cash_amount = Sum(required=False, allow_null=True)
    card_amount = Sum(required=False, allow_null=True)
    change_given = Sum(required=False, allow_null=True)
    card_last_four = serializers.RegexField(
        r"^[0-9]{4}$", required=False, allow_null=True, help_text="Four digits: a whole card number is refused."
    )
    authorization_code = Code(required=False, allow_null=True)


class _Basket(serializers.Serializer):
    cashier_id = Code(required=False, allow_null=True)
    customer_id = Code(
        required=False,
        allow_null=True,
        help_text="A customers id, an alias, a users id; 'anonymous' or another text: nobody.",
    )
    items = TillLineSerializer(many=True, min_length=1, max_length=MOST_LINES)
    discounts = Sum(required=False, allow_null=True, help_text="All discounts together, for the record.")
    tax = Sum(required=False, allow_null=True)
    payment_details = TillPaymentSerializer(required=False, allow_null=True)
    notes = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=10_000)
    timestamp = serializers.DateTimeField(required=False, allow_null=True, help_text="When it was sold; now.")


@extend_schema_serializer(examples=[OpenApiExample("Two lines, one at a discount", SALE, request_only=True)])
class TillSaleSerializer(_Basket):
    """A sale. Unknown fields are ignored."""

    store_id = StoreCode()
    subtotal = Sum(help_text="The sum of price × quantity less discount of all lines, to the cent.")
    total = Sum(help_text="At most subtotal and tax.")
    payment_method = PaymentMethodField()
    status = SaleStatus(required=False, allow_null=True)
    receipt_number = Code(required=False, allow_null=True, help_text="Once per store; made where it is missing.")


class TillSaleToParkSerializer(_Basket):
    """A sale to be held: sums and payment may be missing."""

    store_id = StoreCode()
    subtotal = Sum(required=False, allow_null=True)
    total = Sum(required=False, allow_null=True)
    payment_method = PaymentMethodField(required=False, allow_null=True)
    receipt_number = Code(required=False, allow_null=True)


class TillSoldSerializer(serializers.Serializer):
    """The sale as it was sent, in cents, with id and timestamp."""

    id = serializers.UUIDField()
    order_number = serializers.CharField()
    receipt_number = serializers.CharField(allow_null=True)
    store_id = serializers.CharField(allow_null=True)
    cashier_id = serializers.CharField(allow_null=True)
    customer_id = serializers.CharField(allow_null=True)
    items = TillLineSerializer(many=True)
    subtotal = serializers.FloatField()
    discounts = serializers.FloatField()
    tax = serializers.FloatField()
    total = serializers.FloatField()
    payment_method = serializers.CharField(allow_null=True)
    payment_details = TillPaymentSerializer(allow_null=True)
    status = serializers.CharField(help_text="completed, partial_refund, refunded, parked, resumed or cancelled.")
    notes = serializers.CharField(allow_null=True)
    timestamp = serializers.DateTimeField(allow_null=True)


@extend_schema_field({"description": "As the till sent it; what an old application kept may be any JSON."})
class StoredField(serializers.JSONField):
    """As it is stored."""


class TillTransactionSerializer(TillSoldSerializer):
    """A sale as it stands. customer_id is the customers id of whom it is attached to, else what the till named."""

    items = StoredField()
    payment_details = StoredField(allow_null=True)
    status = serializers.CharField(
        allow_null=True, help_text="completed, partial_refund, refunded, parked, resumed or cancelled."
    )
    customer_name = serializers.CharField(allow_null=True)
    customer_email = serializers.CharField(allow_null=True)
    refunded_amount = serializers.FloatField()


class TillDoneSerializer(serializers.Serializer):
    success = serializers.BooleanField()
    message = serializers.CharField()


class TillMailSerializer(serializers.Serializer):
    email = serializers.EmailField(max_length=254)


class ParkedQuerySerializer(serializers.Serializer):
    store_id = serializers.CharField(required=False, allow_blank=True, max_length=100)


class TransactionsQuerySerializer(ParkedQuerySerializer):
    status = serializers.CharField(required=False, allow_blank=True, max_length=50)
    date = Day(required=False, allow_null=True, help_text="A day of the shop's time zone.")
    start_date = Day(required=False, allow_null=True)
    end_date = Day(required=False, allow_null=True, help_text="Included.")
    limit = serializers.IntegerField(required=False, default=100, min_value=1, max_value=1000)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """first_day and last_day; `date` is both."""
        for name in ("date", "start_date", "end_date"):
            if (day := attrs.get(name)) and not datetime.date(1900, 1, 1) <= day <= datetime.date(9000, 1, 1):
                raise serializers.ValidationError({name: "Give a day between the years 1900 and 9000."})
        first, last = attrs.get("start_date"), attrs.get("end_date")
        if day := attrs.get("date"):
            if first or last:
                raise serializers.ValidationError({"date": "Give one day, or start_date and end_date, not both."})
            first = last = day
        if first and last and first > last:
            raise serializers.ValidationError({"end_date": f"{last} is before start_date, {first}."})
        return {**attrs, "first_day": first, "last_day": last}


# The two shapes of a refund's body.
REFUND = {
    "oneOf": [
        {
            "type": "object",
            "properties": {
                "amount": {
                    "type": "number",
                    "minimum": 0,
                    "exclusiveMinimum": True,
                    "nullable": True,
                    "description": "What to give back; else what the lines are worth, else all that is left.",
                },
                "reason": {"type": "string", "nullable": True, "maxLength": 1000},
                "processed_by": TEXT,
                "items": {
                    "type": "array",
                    "nullable": True,
                    "maxItems": MOST_LINES,
                    "items": {
                        "oneOf": [
                            {"type": "string", "description": "The line's id; its product's id or sku will do."},
                            {
                                "type": "object",
                                "properties": {
                                    "id": {"type": "string"},
                                    "index": {"type": "integer", "minimum": 0, "description": "The first line is 0."},
                                    "quantity": {"type": "number", "description": "Else what is left of the line."},
                                },
                            },
                        ]
                    },
                },
            },
        },
        {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "description": "Line ids, as older clients send.",
        },
    ]
}
