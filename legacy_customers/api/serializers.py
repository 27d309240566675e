"""What clients of the old customer service send and get. Unknown fields are ignored; '' means none."""

import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

BIGINT = 2**63 - 1


class Text(serializers.CharField):
    """'' and white space alone are none."""

    def __init__(self, max_length: int | None = None, **kwargs: Any) -> None:
        super().__init__(max_length=max_length, required=False, allow_blank=True, allow_null=True, **kwargs)

    def to_internal_value(self, data: Any) -> str | None:
        return super().to_internal_value(data) or None

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """CharField answers '' for a blank without asking to_internal_value."""
        return super().run_validation(data) or None


@extend_schema_field(
    {"oneOf": [{"type": "string", "format": "date"}, {"type": "string", "maxLength": 0}], "nullable": True}
)
class BirthDate(serializers.Field):
    """YYYY-MM-DD, with or without a time behind it; '' is none. Nobody is born tomorrow."""

    default_error_messages = {
        "invalid": "{value!r} is no date. Write it as 1990-12-31, or '' where it is not known.",
        "future": "{value} is yet to come. Give the date of birth.",
    }

    def to_internal_value(self, data: Any) -> datetime.date | None:
        if not isinstance(data, str):
            self.fail("invalid", value=data if isinstance(data, int | float | bool) else type(data).__name__)
        text = data.strip()
        if not text:
            return None
        if len(text) > 10 and text[10] not in "T ":
            self.fail("invalid", value=text[:40])
        try:
            born = datetime.datetime.strptime(text[:10], "%Y-%m-%d").date()
        except ValueError:
            self.fail("invalid", value=text[:40])
        if born > timezone.localdate():
            self.fail("future", value=born)
        return born


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {
                    name: {"type": "string", "nullable": True}
                    for name in ("street", "city", "province", "postal_code", "country")
                },
            },
        ],
        "nullable": True,
    }
)
class Address(serializers.Field):
    """A text, or {street, city, province, postal_code, country}."""

    default_error_messages = {
        "invalid": "An address is a text, or an object of street, city, province, postal_code and country."
    }

    def to_internal_value(self, data: Any) -> str | dict[str, str | None] | None:
        if isinstance(data, str):
            return data.strip() or None
        if not isinstance(data, dict):
            self.fail("invalid")
        parts = AddressParts(data=data)
        parts.is_valid(raise_exception=True)
        return dict(parts.validated_data)


class AddressParts(serializers.Serializer):
    street = Text(2000)
    city = Text(100)
    province = Text(50)
    postal_code = Text(20)
    country = Text(100)


# Columns that cannot be empty: null says nothing of them.
NEVER_EMPTY = frozenset({"name", "loyalty_points", "customer_type", "tags", "is_active", "is_verified"}) | {
    "marketing_consent",
    "sms_consent",
}


class _CustomerFields(serializers.Serializer):
    """What both forms may hold, and a PUT as well."""

    email = Text(255)
    phone = Text(50)
    birth_date = BirthDate(required=False, allow_null=True)
    date_of_birth = BirthDate(required=False, allow_null=True)
    address = Address(required=False, allow_null=True)
    city = Text(100)
    state = Text(50)
    province = Text(50, help_text="Another name of state.")
    postal_code = Text(20)
    country = Text(100)
    customer_type = serializers.CharField(max_length=50, required=False, allow_null=True)
    preferred_payment_method = Text(50)
    marketing_consent = serializers.BooleanField(required=False, allow_null=True)
    sms_consent = serializers.BooleanField(required=False, allow_null=True)
    tags = serializers.ListField(required=False, allow_null=True)
    notes = Text()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "province" in attrs:
            province = attrs.pop("province")
            attrs.setdefault("state", province)
        return {name: value for name, value in attrs.items() if value is not None or name not in NEVER_EMPTY}


class NewCustomer(_CustomerFields):
    """Either first_name, last_name and email, or the till's short form with name."""

    first_name = Text(100)
    last_name = Text(100)
    name = serializers.CharField(
        max_length=201,
        required=False,
        allow_null=True,
        help_text="The till's short form: instead of first_name, last_name and email.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("name") is None:
            missing = [name for name in ("first_name", "last_name", "email") if name not in self.initial_data]
            if missing:
                raise serializers.ValidationError(
                    dict.fromkeys(missing, "This field is required, unless name is given instead of all three."),
                    "required",
                )
        return super().validate(attrs)


class ChangedCustomer(_CustomerFields):
    """Any of a customer's fields; what is left out stays. Fields that cannot be written are ignored."""

    first_name = Text(100)
    last_name = Text(100)
    name = serializers.CharField(max_length=201, required=False, allow_null=True)
    loyalty_points = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=-BIGINT,
        max_value=BIGINT,
        help_text="The balance that is to be; an entry in the ledger.",
    )
    is_active = serializers.BooleanField(required=False, allow_null=True)
    is_verified = serializers.BooleanField(required=False, allow_null=True)


# What customers may alter of themselves; staff may alter all.
OWN_FIELDS = frozenset(
    {
        "first_name",
        "last_name",
        "name",
        "email",
        "phone",
        "birth_date",
        "date_of_birth",
        "address",
        "city",
        "state",
        "province",
        "postal_code",
        "country",
        "preferred_payment_method",
        "marketing_consent",
        "sms_consent",
    }
)


class Customer(serializers.Serializer):
    """A row of customers_view, with name and birth_date. Customers do not see tags and notes."""

    id = serializers.UUIDField()
    user_id = serializers.UUIDField()
    email = serializers.CharField(allow_null=True)
    first_name = serializers.CharField(allow_null=True)
    last_name = serializers.CharField(allow_null=True)
    phone = serializers.CharField(allow_null=True)
    date_of_birth = serializers.CharField(
        allow_null=True, help_text="A date; dates beyond the calendar as PostgreSQL writes them."
    )
    address = serializers.CharField(allow_null=True)
    city = serializers.CharField(allow_null=True)
    state = serializers.CharField(allow_null=True)
    postal_code = serializers.CharField(allow_null=True)
    country = serializers.CharField(allow_null=True)
    loyalty_points = serializers.IntegerField()
    total_spent = serializers.FloatField()
    order_count = serializers.IntegerField()
    last_order_date = serializers.CharField(allow_null=True, help_text="A time with its offset.")
    customer_type = serializers.CharField()
    preferred_payment_method = serializers.CharField(allow_null=True)
    marketing_consent = serializers.BooleanField()
    sms_consent = serializers.BooleanField()
    tags = serializers.JSONField(required=False)
    notes = serializers.CharField(allow_null=True, required=False)
    is_active = serializers.BooleanField(allow_null=True)
    is_verified = serializers.BooleanField()
    created_at = serializers.CharField(allow_null=True)
    updated_at = serializers.CharField(allow_null=True)
    tenant_id = serializers.UUIDField(allow_null=True)
    name = serializers.CharField()
    birth_date = serializers.CharField(allow_null=True)


class CustomersQuery(serializers.Serializer):
    search = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=200, help_text="Part of a name, an email or a phone."
    )
    tenant_id = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=100, help_text="Within what the caller may see."
    )
    is_active = serializers.BooleanField(required=False, allow_null=True, default=None)
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=200)
    offset = serializers.IntegerField(required=False, default=0, min_value=0, max_value=2**31 - 1)


class OrdersQuery(serializers.Serializer):
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=200)


class Buyer(serializers.Serializer):
    first_name = serializers.CharField(allow_null=True)
    last_name = serializers.CharField(allow_null=True)
    email = serializers.CharField(allow_null=True)
    phone = serializers.CharField(allow_null=True)
    customer_type = serializers.CharField(allow_null=True)


class CustomerOrder(serializers.Serializer):
    """An order as /api/orders tells it."""

    id = serializers.UUIDField()
    order_number = serializers.CharField()
    user_id = serializers.UUIDField(allow_null=True)
    customer = Buyer()
    status = serializers.CharField()
    order_status = serializers.CharField(allow_null=True)
    payment_status = serializers.CharField(allow_null=True)
    delivery_status = serializers.CharField(allow_null=True)
    order_type = serializers.CharField()
    items = serializers.ListField(child=serializers.DictField())
    subtotal = serializers.FloatField()
    tax = serializers.FloatField()
    tax_amount = serializers.FloatField()
    discount_amount = serializers.FloatField()
    delivery_fee = serializers.FloatField()
    total = serializers.FloatField()
    total_amount = serializers.FloatField()
    delivery_info = serializers.DictField()
    delivery_address = serializers.JSONField(allow_null=True)
    created_at = serializers.CharField(allow_null=True)
    updated_at = serializers.CharField(allow_null=True)


class SearchQuery(serializers.Serializer):
    q = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)
    customer_type = serializers.CharField(required=False, allow_blank=True, default="", max_length=50)


class FoundCustomer(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    email = serializers.CharField(allow_null=True)
    phone = serializers.CharField(allow_null=True)
    loyalty_points = serializers.IntegerField()
    birth_date = serializers.CharField(allow_null=True)
    is_verified = serializers.BooleanField(help_text="Old enough, by the birth date and the province.")
    customer_type = serializers.CharField()
    total_spent = serializers.FloatField()
    order_count = serializers.IntegerField()
    marketing_consent = serializers.BooleanField()


class FoundCustomers(serializers.Serializer):
    customers = FoundCustomer(many=True)


class PointsToAdd(serializers.Serializer):
    points = serializers.IntegerField(min_value=-BIGINT, max_value=BIGINT, help_text="Negative ones are taken.")


class Points(serializers.Serializer):
    loyalty_points = serializers.IntegerField()


class CustomerStats(serializers.Serializer):
    loyalty_points = serializers.IntegerField()
    total_spent = serializers.FloatField()
    total_orders = serializers.IntegerField()
    recent_orders = serializers.IntegerField(help_text="Of the last 30 days.")
    recent_spent = serializers.FloatField()
    member_since = serializers.CharField(allow_null=True)


class Deactivated(serializers.Serializer):
    success = serializers.BooleanField()
    message = serializers.CharField()


class AgeToVerify(serializers.Serializer):
    birth_date = BirthDate()
    province = Text(50, help_text="A province's or state's name or abbreviation, where the legal age is another.")


class VerifiedAge(serializers.Serializer):
    is_valid = serializers.BooleanField()
    age = serializers.IntegerField()
    message = serializers.CharField()
