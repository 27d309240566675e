"""The roll-up of orders by day, and the triggers that say which of its days no longer hold.

After the take-over. Locks: SHARE ROW EXCLUSIVE on orders and users for an instant; backwards ACCESS EXCLUSIVE on both.
No order is read: `roll_up_sales` fills it, and a day that is not in it yet is answered from orders. Resumes: one
transaction. Reverses: drops it; it holds nothing that orders does not.
"""

from django.db import migrations

from config.run_step import RunStep
from orders.analytics import tables


def forwards(apps, schema_editor):
    tables.install(schema_editor.connection)


def backwards(apps, schema_editor):
    tables.uninstall(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("orders", "0003_life")]

    operations = [RunStep(forwards, backwards)]
