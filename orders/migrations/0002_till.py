"""The till's keys: orders by tenant and by store, and one sale per receipt of a store.

After the take-over. Locks: SHARE UPDATE EXCLUSIVE on orders, which holds up no writer; an index that an interrupted build left behind is dropped first.
Resumes: run again. Reverses: drops them.
"""

import uuid

from django.db import migrations, models
from django.db.models.functions import Coalesce


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY

    dependencies = [("orders", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    [
                        "DROP INDEX CONCURRENTLY IF EXISTS orders_tenant",
                        "CREATE INDEX CONCURRENTLY orders_tenant ON orders (tenant_id, created_at)"
                        " WHERE tenant_id IS NOT NULL",
                    ],
                    ["DROP INDEX CONCURRENTLY IF EXISTS orders_tenant"],
                ),
                migrations.RunSQL(
                    [
                        "DROP INDEX CONCURRENTLY IF EXISTS orders_store",
                        "CREATE INDEX CONCURRENTLY orders_store ON orders (store_code, created_at)"
                        " WHERE store_code IS NOT NULL",
                    ],
                    ["DROP INDEX CONCURRENTLY IF EXISTS orders_store"],
                ),
                migrations.RunSQL(
                    [
                        "DROP INDEX CONCURRENTLY IF EXISTS orders_one_per_receipt",
                        "CREATE UNIQUE INDEX CONCURRENTLY orders_one_per_receipt ON orders (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid), store_code, receipt_number)"
                        " WHERE content_digest IS NOT NULL",
                    ],
                    ["DROP INDEX CONCURRENTLY IF EXISTS orders_one_per_receipt"],
                ),
            ],
            state_operations=[
                migrations.AddIndex(
                    model_name="order",
                    index=models.Index(
                        condition=models.Q(("tenant_id__isnull", False)),
                        fields=["tenant_id", "created_at"],
                        name="orders_tenant",
                    ),
                ),
                migrations.AddIndex(
                    model_name="order",
                    index=models.Index(
                        condition=models.Q(("store_code__isnull", False)),
                        fields=["store_code", "created_at"],
                        name="orders_store",
                    ),
                ),
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
            ],
        ),
    ]
