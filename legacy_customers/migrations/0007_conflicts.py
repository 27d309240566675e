"""Every value that lost is recorded, and every pair that may be one person is suggested.

Expand. Locks: for an instant ACCESS EXCLUSIVE on users, where the foreign key of field_conflicts is set aside, and SHARE ROW
EXCLUSIVE, where it is put back, unchecked; ROW SHARE while it is checked. Resumes: range by range. Reverses: truncates both tables.
"""

from django.db import migrations

from config.run_step import RunStep
from legacy_customers.unification import conflicts
from legacy_customers.unification.sources import find_sources


def forwards(apps, schema_editor):
    connection = schema_editor.connection
    if sources := find_sources(connection):
        conflicts.record(connection, sources)


def backwards(apps, schema_editor):
    connection = schema_editor.connection
    if find_sources(connection):
        conflicts.forget(connection)


class Migration(migrations.Migration):
    atomic = False  # each step commits for itself

    dependencies = [("legacy_customers", "0006_profiles")]

    operations = [RunStep(forwards, backwards)]
