"""The index of orders that nobody has paid, by which staff list those that wait, failed or were given back.

After the take-over. Locks: SHARE UPDATE EXCLUSIVE on orders, which holds up no writer. Resumes: an index that an interrupted
build left behind is dropped first. Reverses: drops it.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY

    dependencies = [("orders", "0006_protection")]

    operations = [
        migrations.RunSQL(
            [
                "DROP INDEX CONCURRENTLY IF EXISTS orders_unpaid",
                "CREATE INDEX CONCURRENTLY orders_unpaid ON orders (payment_status, created_at, id)"
                " WHERE payment_status::text = ANY (ARRAY['pending', 'processing', 'failed', 'cancelled', 'refunded'])",
            ],
            ["DROP INDEX CONCURRENTLY IF EXISTS orders_unpaid"],
            state_operations=[
                migrations.AddIndex(
                    model_name="order",
                    index=models.Index(
                        condition=models.Q(
                            ("payment_status__in", ["pending", "processing", "failed", "cancelled", "refunded"])
                        ),
                        fields=["payment_status", "created_at", "id"],
                        name="orders_unpaid",
                    ),
                )
            ],
        ),
    ]
