"""customers_view, readable and writable.

Expand. Locks: ACCESS SHARE on users for an instant. Resumes: one transaction. Reverses: drops it.
"""

from django.db import migrations

from config.run_step import RunStep
from legacy_customers.unification import view
from legacy_customers.unification.sources import find_sources


def forwards(apps, schema_editor):
    connection = schema_editor.connection
    view.create(connection, find_sources(connection))


def backwards(apps, schema_editor):
    view.drop(schema_editor.connection)


class Migration(migrations.Migration):
    atomic = False  # each step commits for itself

    dependencies = [("legacy_customers", "0008_orders")]
    # What the services keep comes after the take-over, and goes before the way back.
    run_before = [("accounts", "0002_api_keys"), ("profiles", "0004_loyalty"), ("orders", "0002_till")]

    operations = [RunStep(forwards, backwards)]
