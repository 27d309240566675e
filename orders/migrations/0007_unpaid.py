"""The index of orders that nobody has paid, by which staff list those that wait, failed or were given back.

After the take-over. Locks: SHARE UPDATE EXCLUSIVE on orders, which holds up no writer. Resumes: an index that an interrupted
build left behind is dropped first. Reverses: drops it.
"""

from django.db import migrations, models

from config.indexes import built_as


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY

    dependencies = [("orders", "0006_protection")]

    operations = [
        built_as(
            "orders (payment_status, created_at, id) WHERE payment_status::text = ANY (ARRAY['pending', 'processing', 'failed', 'cancelled', 'refunded'])",
            migrations.AddIndex(
                model_name="order",
                index=models.Index(
                    condition=models.Q(
                        ("payment_status__in", ["pending", "processing", "failed", "cancelled", "refunded"])
                    ),
                    fields=["payment_status", "created_at", "id"],
                    name="orders_unpaid",
                ),
            ),
        ),
    ]
