"""Orders get their customer's user.

Expand. Locks: row locks, range by range; on orders for an instant SHARE ROW EXCLUSIVE for the helper trigger and ACCESS
EXCLUSIVE where it goes, SHARE UPDATE EXCLUSIVE (no writer's) while indexes are built CONCURRENTLY. Where the foreign key is
missing: ACCESS EXCLUSIVE on orders and SHARE ROW EXCLUSIVE on users for an instant; 0011 checks it.
Resumes: range by range; an index that an interrupted build left behind is dropped first. Reverses: orders get back the
user_id that they had, range by range under row locks; orders made since stay.
"""

from django.db import migrations

from config.run_step import RunStep
from legacy_customers.unification import orders
from legacy_customers.unification.sources import find_sources


def forwards(apps, schema_editor):
    connection = schema_editor.connection
    if sources := find_sources(connection):
        orders.repoint(connection, sources)


def backwards(apps, schema_editor):
    connection = schema_editor.connection
    if find_sources(connection):
        orders.point_back(connection)


class Migration(migrations.Migration):
    atomic = False  # each step commits for itself

    dependencies = [("legacy_customers", "0007_conflicts")]

    operations = [RunStep(forwards, backwards)]
