"""What happens to an order: its steps, its refunds, and the keys of requests that are sent again.

After the take-over. Locks: SHARE ROW EXCLUSIVE on orders for an instant, for the foreign keys; backwards ACCESS EXCLUSIVE.
Resumes: one transaction. Reverses: drops them.
"""

import uuid

import django.contrib.postgres.functions
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0002_till"),
    ]

    operations = [
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("caller", models.CharField(help_text="The user's id; '' for nobody.", max_length=64)),
                ("key", models.CharField(max_length=200)),
                ("digest", models.CharField(help_text="SHA-256 of method, path and body.", max_length=64)),
                ("status", models.PositiveSmallIntegerField(null=True)),
                ("answer", models.JSONField(null=True)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "db_table": "idempotency_keys",
                "indexes": [models.Index(fields=["created_at"], name="idempotency_keys_created_at")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("caller", "key"),
                        name="idempotency_keys_once",
                        violation_error_message="This Idempotency-Key was used already.",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="OrderEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("status", models.CharField(max_length=50)),
                ("notes", models.TextField(blank=True, db_default="", default="")),
                ("changed_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("changed_by", models.UUIDField(null=True)),
                ("via", models.CharField(max_length=63)),
                (
                    "order",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="events", to="orders.order"
                    ),
                ),
            ],
            options={
                "db_table": "order_events",
            },
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=django.contrib.postgres.functions.RandomUUID(),
                        default=uuid.uuid4,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=2, max_digits=12)),
                ("points", models.BigIntegerField(db_default=0, default=0)),
                (
                    "lines",
                    models.JSONField(
                        db_default=[], default=list, help_text="The lines given back: [{index, id, quantity}]."
                    ),
                ),
                ("reason", models.TextField(blank=True, db_default="", default="")),
                ("processed_by", models.CharField(blank=True, db_default="", default="", max_length=100)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("created_by", models.UUIDField(null=True)),
                (
                    "order",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="refunds", to="orders.order"
                    ),
                ),
            ],
            options={
                "db_table": "refunds",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("amount__gt", 0)),
                        name="refunds_amount_positive",
                        violation_error_message="A refund gives back more than nothing.",
                    )
                ],
            },
        ),
    ]
