"""The till's keys: orders by tenant and by store, and one sale per receipt of a store.

After the take-over. Locks: SHARE UPDATE EXCLUSIVE on orders, which holds up no writer; an index that an interrupted build left behind is dropped first.
Resumes: run again. Reverses: drops them.
"""

import uuid

from django.db import migrations, models
from django.db.models.functions import Coalesce

from config.indexes import built_as
from orders.till_indexes import DEFINITIONS, UNIQUE


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY

    dependencies = [("orders", "0001_initial")]

    operations = [
        built_as(
            DEFINITIONS["orders_tenant"],
            migrations.AddIndex(
                model_name="order",
                index=models.Index(
                    condition=models.Q(("tenant_id__isnull", False)),
                    fields=["tenant_id", "created_at"],
                    name="orders_tenant",
                ),
            ),
        ),
        built_as(
            DEFINITIONS["orders_store"],
            migrations.AddIndex(
                model_name="order",
                index=models.Index(
                    condition=models.Q(("store_code__isnull", False)),
                    fields=["store_code", "created_at"],
                    name="orders_store",
                ),
            ),
        ),
        built_as(
            DEFINITIONS[UNIQUE],
            migrations.AddConstraint(
                model_name="order",
                constraint=models.UniqueConstraint(
                    Coalesce("tenant_id", models.Value(uuid.UUID(int=0))),
                    models.F("store_code"),
                    models.F("receipt_number"),
                    condition=models.Q(("content_digest__isnull", False)),
                    name="orders_one_per_receipt",
                    violation_error_message="This store has a sale with this receipt number already.",
                ),
            ),
        ),
    ]
