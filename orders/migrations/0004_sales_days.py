"""The roll-up of orders by day, and the triggers that say which of its days no longer hold.

After the take-over. Locks: SHARE ROW EXCLUSIVE on orders and users for an instant, each try under a short lock_timeout.
No order is read: `roll_up_sales` fills it, and a day that is not in it yet is answered from orders. Resumes: one
transaction. Reverses: drops it; it holds nothing that orders does not.
"""

import time

from django.conf import settings
from django.db import OperationalError, migrations, transaction
from psycopg import errors

from config.adoption import PAUSES
from orders.analytics import tables


def patiently(work, connection):
    """Run `work`; where a lock does not come in time, a few more tries, ever further apart."""
    for pause in (*PAUSES, None):
        try:
            # A savepoint per try: after a refused lock the transaction is usable and holds none.
            with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
                cursor.execute(
                    "SELECT set_config('lock_timeout', %s, true)", [f"{settings.UNIFICATION_LOCK_TIMEOUT_MS}ms"]
                )
                return work(connection)
        except OperationalError as error:
            if pause is None or not isinstance(error.__cause__, errors.LockNotAvailable | errors.DeadlockDetected):
                raise
            time.sleep(pause)


def forwards(apps, schema_editor):
    patiently(tables.install, schema_editor.connection)


def backwards(apps, schema_editor):
    patiently(tables.uninstall, schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("orders", "0003_life")]

    operations = [migrations.RunPython(forwards, backwards)]
