"""Who still reads or writes the old shapes, as far as the sync and the API do not tell: a log, counters, and samples of them.

Expand. Locks: SHARE ROW EXCLUSIVE on users and orders, ACCESS EXCLUSIVE on customers_view, each for an instant; backwards
ACCESS EXCLUSIVE. Resumes: each step commits for itself, and can be done again. Reverses: the evidence goes.
"""

from django.db import migrations

from config import protection
from config.run_step import RunStep
from legacy_customers.unification import evidence

TABLES = ("legacy_usage", "legacy_usage_counters")


def forwards(apps, schema_editor):
    evidence.install(schema_editor.connection)
    protection.install(schema_editor.connection, TABLES)


def backwards(apps, schema_editor):
    protection.remove(schema_editor.connection, TABLES)
    evidence.remove(schema_editor.connection)


class Migration(migrations.Migration):
    atomic = False  # each step commits for itself

    dependencies = [("legacy_customers", "0013_usage_tables")]

    operations = [RunStep(forwards, backwards)]
