"""The index of receipt numbers, by which staff find who bought.

After the take-over. Locks: SHARE UPDATE EXCLUSIVE on orders, which holds up no writer. Resumes: an index that an interrupted
build left behind is dropped first. Reverses: drops it.
"""

from django.db import migrations, models

from config.indexes import built_as
from orders.till_indexes import DEFINITIONS


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY

    dependencies = [("orders", "0004_sales_days")]

    operations = [
        built_as(
            DEFINITIONS["orders_receipt_number"],
            migrations.AddIndex(
                model_name="order",
                index=models.Index(
                    condition=models.Q(("receipt_number__isnull", False)),
                    fields=["receipt_number"],
                    name="orders_receipt_number",
                ),
            ),
        ),
    ]
