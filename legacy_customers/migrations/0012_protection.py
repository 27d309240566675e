"""The legacy tables, the backups and the books of the take-over are protected, as profiles and orders are.

Expand. Locks: SHARE ROW EXCLUSIVE on each table in its turn, for an instant; backwards ACCESS EXCLUSIVE. Resumes: each table
commits for itself, and can be done again. Reverses: they are protected no more.
"""

from django.db import migrations

from config import protection
from config.run_step import RunStep
from legacy_customers.unification import protect


def forwards(apps, schema_editor):
    protection.install(schema_editor.connection, protect.TABLES)


def backwards(apps, schema_editor):
    protection.remove(schema_editor.connection, protect.TABLES)


class Migration(migrations.Migration):
    atomic = False  # each step commits for itself

    dependencies = [("legacy_customers", "0011_sync"), ("orders", "0006_protection")]

    operations = [RunStep(forwards, backwards)]
