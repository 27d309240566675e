"""What was sold."""

import uuid

from django.conf import settings
from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.utils import timezone

from config.fields import UTCNow, UTCTimestampField


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
    created_at = UTCTimestampField(null=True, blank=True, default=timezone.now, db_default=UTCNow(), editable=False)
    updated_at = UTCTimestampField(null=True, blank=True, auto_now=True, db_default=UTCNow())

    class Meta:
        db_table = "orders"
        indexes = (
            models.Index(fields=["user"], name="orders_user"),
            models.Index(fields=["created_at", "id"], name="orders_created_at"),
        )

    def __str__(self) -> str:
        return self.order_number
