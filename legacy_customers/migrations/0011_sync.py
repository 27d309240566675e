"""Two-way sync comes on, and the old trigger goes, in one transaction.

Expand. Locks: SHARE ROW EXCLUSIVE on profiles and the legacy tables, ACCESS EXCLUSIVE on users, for an instant; the indexes
are built concurrently; ROW SHARE on users while foreign keys are checked. Resumes: one transaction; an index that was broken
off is built anew. Reverses: the sync goes and the old trigger comes back, in one transaction; profiles refuse writes from
then on.
"""

from django.db import migrations

from config.run_step import RunStep
from legacy_customers.unification import rollback, sync
from legacy_customers.unification.sources import find_sources


def forwards(apps, schema_editor):
    connection = schema_editor.connection
    if sources := find_sources(connection):
        sync.turn_on(connection, sources)


def backwards(apps, schema_editor):
    connection = schema_editor.connection
    if sources := find_sources(connection):
        rollback.begin(connection, sources)


class Migration(migrations.Migration):
    atomic = False  # each step commits for itself

    dependencies = [
        ("legacy_customers", "0010_api_usage"),
        ("profiles", "0006_login_search"),
        ("orders", "0004_sales_days"),
    ]
    # What cannot be lost any more comes last, and lets the way back begin.
    run_before = [("orders", "0006_protection")]

    operations = [RunStep(forwards, backwards)]
