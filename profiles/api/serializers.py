"""What the calls on profiles take and give."""

import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.api.serializers import Body, Email, Text
from profiles.models import ConflictDecision
from profiles.pages import LISTING, NEWEST
from profiles.services.points import MOST_POINTS

BIGINT = 2**63 - 1
MOST_MONEY = Decimal(10) ** 12


class Flag(serializers.BooleanField):
    """true or false, and nothing that may be meant by it."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=str(data)[:40])
        return data


class Whole(serializers.IntegerField):
    """A whole number that a bigint holds."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"min_value": -BIGINT - 1, "max_value": BIGINT, **kwargs})

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class BirthDate(serializers.DateField):
    default_error_messages = {"future": "{value} is yet to come. Give the date of birth."}

    def to_internal_value(self, data: Any) -> datetime.date:
        born: datetime.date = super().to_internal_value(data if isinstance(data, str) else None)
        if born > timezone.localdate():
            self.fail("future", value=born)
        return born


@extend_schema_field({"type": "array", "items": {}})
class List(serializers.ListField):
    """A JSON list of anything."""


@extend_schema_field({"type": "object", "additionalProperties": {}})
class Object(serializers.DictField):
    """A JSON object of anything."""


def optional(max_length: int | None = None) -> Text:
    return Text(max_length=max_length, required=False, allow_null=True, allow_blank=True)


class OwnProfileChanges(Body):
    """What people write of themselves."""

    first_name = optional(100)
    last_name = optional(100)
    phone = optional(50)
    date_of_birth = BirthDate(required=False, allow_null=True, help_text="Once: staff correct it afterwards.")
    address = optional(10_000)
    city = optional(100)
    state = optional(50)
    postal_code = optional(20)
    country = optional(100)
    preferred_payment_method = optional(50)
    preferences = Object(required=False)
    preferred_categories = List(required=False)
    preferred_effects = List(required=False)
    price_range = Object(required=False, allow_null=True)
    language = optional(10)
    timezone = optional(50)
    marketing_consent = Flag(required=False)
    sms_consent = Flag(required=False)


class ProfileChanges(OwnProfileChanges):
    """What staff write. medical_conditions take a permission of their own; points and totals have calls of their own."""

    date_of_birth = BirthDate(required=False, allow_null=True)
    contact_email = Email(max_length=255, required=False, allow_null=True, allow_blank=True)
    customer_type = Text(max_length=50, required=False)
    needs = List(required=False)
    experience_level = optional(50)
    medical_conditions = List(required=False)
    tags = List(required=False)
    notes = optional(100_000)
    is_verified = Flag(required=False)
    is_active = Flag(required=False, help_text="Of the login: nobody shuts out who ranks as high as they do.")


class ProfileSerializer(serializers.Serializer):
    """A profile. People themselves see no notes and no tags; medical_conditions take a permission of their own."""

    id = serializers.UUIDField()
    user_id = serializers.UUIDField()
    email = serializers.CharField(allow_null=True, help_text="Where to write, else the login.")
    first_name = serializers.CharField(allow_null=True)
    last_name = serializers.CharField(allow_null=True)
    name = serializers.CharField()
    phone = serializers.CharField(allow_null=True)
    date_of_birth = serializers.CharField(allow_null=True, help_text="1990-12-31, or as PostgreSQL writes odd ones.")
    address = serializers.CharField(allow_null=True)
    city = serializers.CharField(allow_null=True)
    state = serializers.CharField(allow_null=True)
    postal_code = serializers.CharField(allow_null=True)
    country = serializers.CharField(allow_null=True)
    loyalty_points = serializers.IntegerField()
    total_spent = serializers.FloatField()
    order_count = serializers.IntegerField()
    last_order_date = serializers.CharField(allow_null=True, help_text="ISO 8601 with an offset.")
    customer_type = serializers.CharField()
    preferred_payment_method = serializers.CharField(allow_null=True)
    marketing_consent = serializers.BooleanField()
    sms_consent = serializers.BooleanField()
    tags = serializers.JSONField(required=False)
    notes = serializers.CharField(required=False, allow_null=True)
    is_active = serializers.BooleanField(allow_null=True)
    is_verified = serializers.BooleanField()
    created_at = serializers.CharField(allow_null=True)
    updated_at = serializers.CharField(allow_null=True)
    tenant_id = serializers.UUIDField(allow_null=True)
    contact_email = serializers.CharField(allow_null=True)
    preferences = serializers.JSONField()
    needs = serializers.JSONField()
    experience_level = serializers.CharField(allow_null=True)
    medical_conditions = serializers.JSONField(required=False)
    preferred_categories = serializers.JSONField()
    preferred_effects = serializers.JSONField()
    price_range = serializers.JSONField(allow_null=True)
    purchase_history = serializers.JSONField()
    interaction_count = serializers.IntegerField()
    language = serializers.CharField(allow_null=True)
    timezone = serializers.CharField(allow_null=True)


class ProfilePages(serializers.Serializer):
    next = serializers.CharField(allow_null=True, help_text="The address of the next page.")
    previous = serializers.CharField(allow_null=True)


class ProfilePage(ProfilePages):
    results = ProfileSerializer(many=True)


class LoyaltyEntrySerializer(serializers.Serializer):
    id = serializers.IntegerField(allow_null=True, help_text="null: the balance that a profile came with.")
    delta = serializers.IntegerField()
    balance = serializers.IntegerField(help_text="After the change.")
    reason = serializers.CharField()
    source = serializers.CharField(help_text="api, admin, till, sql, …")
    order_id = serializers.UUIDField(allow_null=True)
    created_at = serializers.CharField(allow_null=True)
    created_by = serializers.UUIDField(allow_null=True, required=False)


class LoyaltyPage(ProfilePages):
    balance = serializers.IntegerField()
    results = LoyaltyEntrySerializer(many=True)


@extend_schema_field({"type": "integer", "minimum": -MOST_POINTS, "maximum": MOST_POINTS, "not": {"enum": [0]}})
class Points(Whole):
    pass


class PointsAdjustment(Body):
    delta = Points(
        min_value=-MOST_POINTS,
        max_value=MOST_POINTS,
        help_text="Points to add; negative ones are taken, never below zero.",
    )
    reason = Text(max_length=1000)

    def validate_delta(self, delta: int) -> int:
        if delta == 0:
            raise serializers.ValidationError("0 changes nothing. Give the points to add or to take.", "zero")
        return delta


class ProfileOrderSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    order_number = serializers.CharField()
    order_source = serializers.CharField()
    status = serializers.CharField()
    order_status = serializers.CharField(allow_null=True)
    payment_status = serializers.CharField(allow_null=True)
    delivery_status = serializers.CharField(allow_null=True)
    payment_method = serializers.CharField(allow_null=True)
    receipt_number = serializers.CharField(allow_null=True)
    items = serializers.JSONField()
    subtotal = serializers.FloatField(allow_null=True)
    tax_amount = serializers.FloatField(allow_null=True)
    discount_amount = serializers.FloatField(allow_null=True)
    delivery_fee = serializers.FloatField(allow_null=True)
    total_amount = serializers.FloatField(allow_null=True)
    refunded_amount = serializers.FloatField()
    created_at = serializers.CharField(allow_null=True)
    updated_at = serializers.CharField(allow_null=True)


class ProfileOrderPage(ProfilePages):
    results = ProfileOrderSerializer(many=True)


class ProfileMonth(serializers.Serializer):
    month = serializers.CharField(help_text="2026-11, in the shop's time zone.")
    orders = serializers.IntegerField()
    spent = serializers.FloatField()


class AnalyticsSerializer(serializers.Serializer):
    """`total_spent` and `order_count` are kept by the profile; `orders_…` are what the orders here say."""

    profile_id = serializers.UUIDField()
    user_id = serializers.UUIDField()
    loyalty_points = serializers.IntegerField()
    total_spent = serializers.FloatField()
    order_count = serializers.IntegerField()
    average_order_value = serializers.FloatField(allow_null=True)
    last_order_date = serializers.CharField(allow_null=True)
    member_since = serializers.CharField(allow_null=True)
    orders_found = serializers.IntegerField()
    orders_total = serializers.FloatField()
    first_order_at = serializers.CharField(allow_null=True)
    last_order_at = serializers.CharField(allow_null=True)
    recent_orders = serializers.IntegerField(help_text="Of the last 30 days.")
    recent_spent = serializers.FloatField()
    by_month = ProfileMonth(many=True, help_text="Of the last twelve months.")
    by_channel = serializers.DictField(child=serializers.IntegerField())


class HistorySerializer(serializers.Serializer):
    id = serializers.IntegerField()
    changed_at = serializers.CharField()
    changed_by = serializers.UUIDField(allow_null=True)
    via = serializers.CharField()
    changes = serializers.DictField(help_text='{"column": {"old": …, "new": …}}; {} where the values are not shown.')


class HistoryPage(ProfilePages):
    results = HistorySerializer(many=True)


class ConflictSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    field = serializers.CharField()
    path = serializers.CharField()
    rule = serializers.CharField()
    chosen_value = serializers.JSONField(allow_null=True)
    chosen_table = serializers.CharField(allow_null=True)
    chosen_row = serializers.CharField(allow_null=True)
    other_value = serializers.JSONField(allow_null=True)
    other_table = serializers.CharField()
    other_row = serializers.CharField()
    created_at = serializers.CharField()
    resolved_by = serializers.UUIDField(allow_null=True)
    resolved_at = serializers.CharField(allow_null=True)


class ConflictPage(ProfilePages):
    results = ConflictSerializer(many=True)


class Money(serializers.DecimalField):
    def __init__(self, **kwargs: Any) -> None:
        bounds = {"min_value": -MOST_MONEY, "max_value": MOST_MONEY}
        super().__init__(max_digits=None, decimal_places=None, **bounds, **kwargs)


@extend_schema_field({"type": "string", "maxLength": 1000, "pattern": "^[A-Za-z0-9_-]+$"})
class CursorField(serializers.CharField):
    """Whatever it is, keyset.Cursor judges it."""


class PageQuery(Body):
    cursor = CursorField(required=False, max_length=1000, help_text="From next or previous.")
    page_size = serializers.IntegerField(required=False, min_value=1, max_value=200, default=50)


class ConflictQuery(PageQuery):
    resolved = serializers.BooleanField(required=False, allow_null=True, default=None)


class ConflictVerdict(Body):
    verdict = serializers.ChoiceField(
        [str(verdict) for verdict in ConflictDecision.Verdict],
        help_text="keep: the profile's value stands. take: the other one is written to the profile, an address as a whole.",
    )


class ConflictDecisionSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    field = serializers.CharField()
    path = serializers.CharField(allow_blank=True)
    verdict = serializers.ChoiceField([str(verdict) for verdict in ConflictDecision.Verdict])
    before = serializers.JSONField(help_text="What was written over; empty where the value was kept.")
    after = serializers.JSONField()
    decided_at = serializers.DateTimeField()
    decided_by = serializers.UUIDField(allow_null=True)


class ProfileQuery(PageQuery):
    """Filters hold together. Times are ISO 8601; …_after includes its moment, …_before does not."""

    search = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=200,
        default="",
        help_text="Any part of a name, an email or a phone number, or a whole id, old ones too.",
    )
    ordering = serializers.ChoiceField(
        choices=[sign + name for name in LISTING.orders for sign in ("", "-")], required=False, default=NEWEST
    )
    customer_type = serializers.CharField(required=False, max_length=50)
    is_active = serializers.BooleanField(required=False, allow_null=True, default=None)
    is_verified = serializers.BooleanField(required=False, allow_null=True, default=None)
    marketing_consent = serializers.BooleanField(required=False, allow_null=True, default=None)
    tag = serializers.CharField(required=False, max_length=200, help_text="One of the tags, whole.")
    min_points = serializers.IntegerField(required=False, min_value=-BIGINT - 1, max_value=BIGINT)
    max_points = serializers.IntegerField(required=False, min_value=-BIGINT - 1, max_value=BIGINT)
    min_spent = Money(required=False)
    max_spent = Money(required=False)
    created_after = serializers.DateTimeField(required=False)
    created_before = serializers.DateTimeField(required=False)
    last_order_after = serializers.DateTimeField(required=False)
    last_order_before = serializers.DateTimeField(required=False)
    tenant_id = serializers.UUIDField(required=False)
    has_conflicts = serializers.BooleanField(
        required=False,
        allow_null=True,
        default=None,
        help_text="Whether a conflict of the take-over waits for a decision.",
    )
