"""Orders on the wire."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from orders.models import DeliveryStatus, PaymentStatus
from orders.services.orders import PAYMENT_METHODS, Draft
from orders.services.transitions import SETTABLE

_LINE = {
    "type": "object",
    "properties": {
        "product_id": {"description": "As it was sent."},
        "name": {"description": "As it was sent."},
        "quantity": {"type": "number"},
        "price": {"type": "number"},
        "subtotal": {"type": "number"},
    },
    "required": ["quantity", "price", "subtotal"],
    "additionalProperties": True,
}
_ID_OR_TEXT = {"oneOf": [{"type": "string", "pattern": r"\S"}, {"type": "integer"}]}
_NEW_LINE = {
    "type": "object",
    "properties": {
        "product_id": _ID_OR_TEXT,
        "product": {"description": "The product's id, or an object with its id, name and price."},
        "name": {"type": "string"},
        "quantity": {"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 1_000_000},
        "price": {"type": "number", "minimum": 0, "maximum": 9_999_999_999},
    },
    "required": ["product_id", "quantity", "price"],
    "additionalProperties": True,
    "example": {"product_id": "tea-1", "name": "Tea", "quantity": 2, "price": 4.5},
}
_OBJECT = {"type": "object", "additionalProperties": True}
_DELIVERY = {**_OBJECT, "properties": {"type": {"type": "string"}}, "required": ["type"]}


@extend_schema_field(_LINE)
class LineField(serializers.JSONField):
    """A line as it was sold, with numbers for quantity, price and subtotal."""


@extend_schema_field({"type": "array", "items": _NEW_LINE, "minItems": 1, "maxItems": 500})
class NewLinesField(serializers.JSONField):
    """Read by the service, which names the line that is wrong."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, list):
            raise serializers.ValidationError("items is a list of {product_id, name, quantity, price}.")
        return data


@extend_schema_field(_DELIVERY)
class DeliveryInfoField(serializers.JSONField):
    """An object with a type."""


@extend_schema_field(_OBJECT)
class ObjectField(serializers.JSONField):
    """Any JSON object."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("It is an object.")
        return data


@extend_schema_field({"oneOf": [{"type": "string", "maxLength": 1000}, _OBJECT]})
class AddressField(serializers.JSONField):
    """A text, or an object."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) or (isinstance(data, str) and len(data) <= 1000):
            return data
        raise serializers.ValidationError("An address is a text of at most 1,000 characters, or an object.")


@extend_schema_field({"description": "A text or an object as a rule; what the old application kept may be any JSON."})
class StoredAddressField(serializers.JSONField):
    """As it was sent, or as the old application kept it."""


class OrderCustomerSerializer(serializers.Serializer):
    first_name = serializers.CharField(allow_null=True)
    last_name = serializers.CharField(allow_null=True)
    email = serializers.CharField(allow_null=True)
    phone = serializers.CharField(allow_null=True)
    customer_type = serializers.CharField(allow_null=True)


class OrderSerializer(serializers.Serializer):
    """An order. Sums are numbers; `status` says how it stands as a whole."""

    id = serializers.UUIDField()
    order_number = serializers.CharField()
    user_id = serializers.UUIDField(allow_null=True)
    customer = OrderCustomerSerializer()
    status = serializers.CharField()
    order_status = serializers.CharField(allow_null=True)
    payment_status = serializers.CharField(allow_null=True)
    delivery_status = serializers.CharField(allow_null=True)
    order_type = serializers.CharField(help_text="delivery, pickup, or in_store.")
    items = serializers.ListField(child=LineField())
    subtotal = serializers.FloatField()
    tax = serializers.FloatField()
    tax_amount = serializers.FloatField()
    discount_amount = serializers.FloatField()
    delivery_fee = serializers.FloatField()
    total = serializers.FloatField()
    total_amount = serializers.FloatField()
    delivery_info = DeliveryInfoField()
    delivery_address = StoredAddressField(allow_null=True)
    created_at = serializers.DateTimeField(allow_null=True)
    updated_at = serializers.DateTimeField(allow_null=True)


class OrderPageSerializer(serializers.Serializer):
    orders = OrderSerializer(many=True)
    data = OrderSerializer(many=True, help_text="The same list.")
    total = serializers.IntegerField()


class OrderStandingSerializer(serializers.Serializer):
    order_id = serializers.UUIDField()
    order_number = serializers.CharField()
    status = serializers.CharField()
    payment_status = serializers.CharField(allow_null=True)
    updated_at = serializers.DateTimeField(allow_null=True)
    status_message = serializers.CharField()
    estimated_delivery = serializers.CharField(allow_null=True)


class TrackedOrderSerializer(OrderStandingSerializer):
    """What whoever knows the number and the address may see: how it stands, nothing of whom or what."""

    delivery_status = serializers.CharField(allow_null=True)
    order_type = serializers.CharField()
    created_at = serializers.DateTimeField(allow_null=True)


class OrderMovedSerializer(OrderStandingSerializer):
    success = serializers.BooleanField()
    message = serializers.CharField()
    order_status = serializers.CharField(allow_null=True)
    delivery_status = serializers.CharField(allow_null=True)


class OrderCreatedSerializer(serializers.Serializer):
    success = serializers.BooleanField()
    order_id = serializers.UUIDField()
    order_number = serializers.CharField()
    created_at = serializers.DateTimeField()


class OrderEventSerializer(serializers.Serializer):
    status = serializers.CharField()
    notes = serializers.CharField(allow_blank=True)
    changed_at = serializers.DateTimeField(allow_null=True)


class OrderHistorySerializer(serializers.Serializer):
    order_id = serializers.UUIDField()
    history = OrderEventSerializer(many=True)


class OrderPageQuerySerializer(serializers.Serializer):
    limit = serializers.IntegerField(min_value=1, max_value=200, default=50)
    offset = serializers.IntegerField(min_value=0, max_value=1_000_000_000, default=0)


class OrderQuerySerializer(OrderPageQuerySerializer):
    user_id = serializers.CharField(
        required=False, allow_blank=True, max_length=100, help_text="A customers id, an alias, or a users.id."
    )
    payment_status = serializers.CharField(required=False, allow_blank=True, max_length=50)
    delivery_status = serializers.CharField(required=False, allow_blank=True, max_length=50)
    status = serializers.CharField(required=False, allow_blank=True, max_length=50)
    store_id = serializers.CharField(required=False, allow_blank=True, max_length=100)


class TrackQuerySerializer(serializers.Serializer):
    order_number = serializers.CharField(max_length=100)
    email = serializers.CharField(max_length=255)


class ContactSerializer(serializers.Serializer):
    """Whom staff order for, or whom to reach about the order."""

    first_name = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=100)
    last_name = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=100)
    name = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=200)
    email = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=255)
    phone = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=50)
    customer_id = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=100)
    user_id = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=100)
    id = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=100)


class NewOrderSerializer(serializers.Serializer):
    """What a client sends; other fields are ignored, sums too: the server computes them."""

    cart_session_id = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=100)
    store_id = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=100)
    items = NewLinesField()
    payment_method = serializers.ChoiceField(choices=PAYMENT_METHODS)
    delivery_info = ObjectField(required=False, allow_null=True)
    delivery_address = AddressField(required=False, allow_null=True)
    customer_info = ContactSerializer(required=False, allow_null=True)
    user_id = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=100)
    customer_id = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=100)
    special_instructions = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=5000)

    def draft(self) -> Draft:
        found = self.validated_data
        contact = dict(found.get("customer_info") or {})
        ids = [contact.pop(name, None) for name in ("customer_id", "user_id", "id")]
        named = next((value for value in (found.get("customer_id"), found.get("user_id"), *ids) if value), "")
        return Draft(
            items=found["items"],
            payment_method=found["payment_method"],
            customer=named,
            contact=contact or None,
            cart_session_id=found.get("cart_session_id") or "",
            store_id=found.get("store_id") or "",
            delivery_info=found.get("delivery_info"),
            delivery_address=found.get("delivery_address"),
            special_instructions=found.get("special_instructions"),
        )


class NewStatusSerializer(serializers.Serializer):
    payment_status = serializers.ChoiceField(choices=PaymentStatus.values, required=False, allow_null=True)
    delivery_status = serializers.ChoiceField(choices=DeliveryStatus.values, required=False, allow_null=True)
    status = serializers.ChoiceField(choices=[str(value) for value in SETTABLE], required=False, allow_null=True)
    notes = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=5000)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not any(attrs.values()):
            raise serializers.ValidationError("Send payment_status, delivery_status, status or notes.")
        return attrs


class CancelSerializer(serializers.Serializer):
    reason = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=5000)
