"""The tables of people, logins and orders cannot be lost by accident any more: see config/protection.py.

After the take-over. Locks: SHARE ROW EXCLUSIVE on each table in its turn, for an instant; backwards ACCESS EXCLUSIVE.
Resumes: each table commits for itself, and can be done again. Reverses: the protection goes, and the log of releases with it.
"""

from django.db import migrations

from config import protection
from config.run_step import RunStep
from orders.protection import TABLES


def forwards(apps, schema_editor):
    protection.install(schema_editor.connection, TABLES)


def backwards(apps, schema_editor):
    protection.remove(schema_editor.connection)


class Migration(migrations.Migration):
    atomic = False  # each step commits for itself

    dependencies = [("orders", "0005_receipt_numbers"), ("profiles", "0007_sync_choices")]

    operations = [RunStep(forwards, backwards)]
