"""The helper functions that the rules need.

Expand. Locks: none. Resumes: CREATE OR REPLACE. Reverses: drops them.
"""

from django.db import migrations

from config.run_step import RunStep
from legacy_customers.unification import functions


def forwards(apps, schema_editor):
    functions.install(schema_editor.connection)


def backwards(apps, schema_editor):
    functions.remove(schema_editor.connection)


class Migration(migrations.Migration):
    atomic = False  # each step commits for itself

    dependencies = [
        ("legacy_customers", "0001_initial"),
        ("accounts", "0001_initial"),
        ("profiles", "0003_search"),
        ("orders", "0001_initial"),
    ]

    operations = [RunStep(forwards, backwards)]
