"""One profile per user, by the field map, and an alias for every other customers id.

Expand. Locks: for an instant ACCESS EXCLUSIVE on users, where the foreign key of the empty profiles is set aside, and SHARE
ROW EXCLUSIVE, where it is put back, unchecked; ROW SHARE while it is checked. Resumes: range by range. Reverses: writes back
what no sync carried over, then truncates profiles.
"""

from django.db import migrations

from config.run_step import RunStep
from legacy_customers.unification import consolidate, rollback
from legacy_customers.unification.sources import find_sources


def forwards(apps, schema_editor):
    connection = schema_editor.connection
    if sources := find_sources(connection):
        consolidate.consolidate(connection, sources)


def backwards(apps, schema_editor):
    connection = schema_editor.connection
    if sources := find_sources(connection):
        rollback.empty_profiles(connection, sources)


class Migration(migrations.Migration):
    atomic = False  # each step commits for itself

    dependencies = [("legacy_customers", "0005_identity"), ("profiles", "0003_search")]

    operations = [RunStep(forwards, backwards)]
