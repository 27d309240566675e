"""The old trigger, which makes a customers row for every user, passes over the accounts that are made for guests.

It goes when the sync comes. Expand. Locks: ACCESS EXCLUSIVE on users for an instant. Resumes: one transaction. Reverses:
makes it again as it was.
"""

from django.db import migrations

from config.run_step import RunStep
from legacy_customers.unification import old_trigger
from legacy_customers.unification.sources import find_sources


def forwards(apps, schema_editor):
    connection = schema_editor.connection
    if find_sources(connection):
        old_trigger.guard(connection)


def backwards(apps, schema_editor):
    connection = schema_editor.connection
    if find_sources(connection):
        old_trigger.restore(connection)


class Migration(migrations.Migration):
    atomic = False  # each step commits for itself

    dependencies = [("legacy_customers", "0003_backup")]

    operations = [RunStep(forwards, backwards)]
