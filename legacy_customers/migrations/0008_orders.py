"""Orders get their customer's user.

Expand. Locks: row locks, range by range; SHARE ROW EXCLUSIVE for an instant for the helper trigger. Resumes: range by range.
Reverses: orders get back the user_id that they had; orders made since stay.
"""

from django.db import migrations

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

    operations = [migrations.RunPython(forwards, backwards)]
