"""What was sold."""

import uuid
from decimal import Decimal

from django.conf import settings
from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from config.fields import UTCNow, UTCTimestampField

from .querysets import OrderQuerySet

NO_TENANT = uuid.UUID(int=0)


class PaymentMethod(models.TextChoices):
    CASH = "cash"
    CREDIT = "credit"
    DEBIT = "debit"
    ETRANSFER = "etransfer", "e-transfer"


class PaymentStatus(models.TextChoices):
    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    PAID = "paid"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


PAID = frozenset({PaymentStatus.PAID, PaymentStatus.COMPLETED})
UNPAID = [status.value for status in PaymentStatus if status not in PAID]


class DeliveryStatus(models.TextChoices):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    PREPARING = "preparing"
    READY = "ready"
    OUT_FOR_DELIVERY = "out_for_delivery"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


class Order(models.Model):
    """One sale, on the web or at the till.

    `user` is who bought; `customer_id` is the old customers id, kept until the old application is gone. The
    database does not enforce the choices, since the old application writes these columns too.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)
    order_number = models.CharField(
        max_length=100, unique=True, error_messages={"unique": "An order with this number already exists."}
    )
    cart_session_id = models.UUIDField(null=True, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="orders",
        db_index=False,
    )
    user_profile_id = models.UUIDField(null=True, blank=True)
    customer_id = models.UUIDField(null=True, blank=True)
    store_id = models.UUIDField(null=True, blank=True)
    items = models.JSONField(default=list, db_default=[], blank=True)
    subtotal = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True)
    tax_amount = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True)
    discount_amount = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True)
    delivery_fee = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True)
    total_amount = models.DecimalField(max_digits=12, decimal_places=2, null=True, blank=True)
    payment_method = models.CharField(max_length=50, null=True, blank=True, choices=PaymentMethod.choices)
    payment_status = models.CharField(max_length=50, null=True, blank=True, choices=PaymentStatus.choices)
    delivery_address = models.JSONField(null=True, blank=True)
    delivery_status = models.CharField(max_length=50, null=True, blank=True, choices=DeliveryStatus.choices)
    special_instructions = models.TextField(null=True, blank=True)
    order_source = models.CharField(max_length=20, default="web", db_default="web")
    order_status = models.CharField(max_length=50, null=True, blank=True)
    receipt_number = models.CharField(max_length=100, null=True, blank=True)
    cashier = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="sales",
        db_index=False,
    )
    payment_details = models.JSONField(null=True, blank=True)
    tenant_id = models.UUIDField(null=True, blank=True, help_text="Whose sale it is; NULL: the tenant of `user`.")
    store_code = models.CharField(max_length=100, null=True, blank=True, help_text="The store as the till names it.")
    cashier_code = models.CharField(
        max_length=100, null=True, blank=True, help_text="The cashier as the till names them."
    )
    customer_code = models.CharField(
        max_length=100, null=True, blank=True, help_text="The customer as the till named them: an id, or 'anonymous'."
    )
    refunded_amount = models.DecimalField(max_digits=12, decimal_places=2, default=Decimal(0), db_default=Decimal(0))
    counted_amount = models.DecimalField(
        max_digits=12, decimal_places=2, null=True, blank=True, help_text="What it adds to its person's total_spent."
    )
    counted_points = models.BigIntegerField(null=True, blank=True, help_text="What it adds to their loyalty_points.")
    content_digest = models.CharField(
        max_length=64, null=True, blank=True, help_text="SHA-256 of a till's request: the same receipt sells once."
    )
    created_at = UTCTimestampField(null=True, blank=True, default=timezone.now, db_default=UTCNow(), editable=False)
    updated_at = UTCTimestampField(null=True, blank=True, auto_now=True, db_default=UTCNow())

    objects = OrderQuerySet.as_manager()

    class Meta:
        db_table = "orders"
        indexes = (
            models.Index(fields=["user"], name="orders_user"),
            models.Index(fields=["created_at", "id"], name="orders_created_at"),
            models.Index(
                fields=["receipt_number"],
                condition=models.Q(receipt_number__isnull=False),
                name="orders_receipt_number",
            ),
            # Of the paid ones, which are most, the newest are found without.
            models.Index(
                fields=["payment_status", "created_at", "id"],
                condition=models.Q(payment_status__in=UNPAID),
                name="orders_unpaid",
            ),
            models.Index(
                fields=["store_code", "created_at"],
                condition=models.Q(store_code__isnull=False),
                name="orders_store",
            ),
            models.Index(
                fields=["tenant_id", "created_at"],
                condition=models.Q(tenant_id__isnull=False),
                name="orders_tenant",
            ),
        )
        constraints = (
            # A store's name is its tenant's own; who has no tenant is one of them.
            models.UniqueConstraint(
                Coalesce("tenant_id", models.Value(NO_TENANT)),
                "store_code",
                "receipt_number",
                condition=models.Q(content_digest__isnull=False),
                name="orders_one_per_receipt",
                violation_error_message="This store has a sale with this receipt number already.",
            ),
        )

    def __str__(self) -> str:
        return self.order_number


class OrderEvent(models.Model):
    """A step in an order's life, as its history tells it. An order of the old application has none before its first."""

    id = models.BigAutoField(primary_key=True)
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="events")
    status = models.CharField(max_length=50)
    notes = models.TextField(default="", blank=True, db_default="")
    changed_at = models.DateTimeField(db_default=Now())
    changed_by = models.UUIDField(null=True)
    via = models.CharField(max_length=63)

    class Meta:
        db_table = "order_events"

    def __str__(self) -> str:
        return f"{self.order_id}: {self.status}"


class Refund(models.Model):
    """Money given back for an order: whole, by line, or an amount. `points` were taken from the person for it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="refunds")
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    points = models.BigIntegerField(default=0, db_default=0)
    lines = models.JSONField(default=list, db_default=[], help_text="The lines given back: [{index, id, quantity}].")
    reason = models.TextField(default="", blank=True, db_default="")
    processed_by = models.CharField(max_length=100, default="", blank=True, db_default="")
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.UUIDField(null=True)

    class Meta:
        db_table = "refunds"
        constraints = (
            models.CheckConstraint(
                condition=models.Q(amount__gt=0),
                name="refunds_amount_positive",
                violation_error_message="A refund gives back more than nothing.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.amount} of {self.order_id}"


class IdempotencyKey(models.Model):
    """A request that was answered once: the same key of the same caller gets the same answer, and nothing is done twice."""

    id = models.BigAutoField(primary_key=True)
    caller = models.CharField(max_length=64, help_text="The user's id; '' for nobody.")
    key = models.CharField(max_length=200)
    digest = models.CharField(max_length=64, help_text="SHA-256 of method, path and body.")
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "idempotency_keys"
        constraints = (
            models.UniqueConstraint(
                fields=["caller", "key"],
                name="idempotency_keys_once",
                violation_error_message="This Idempotency-Key was used already.",
            ),
        )
        indexes = (models.Index(fields=["created_at"], name="idempotency_keys_created_at"),)

    def __str__(self) -> str:
        return self.key
