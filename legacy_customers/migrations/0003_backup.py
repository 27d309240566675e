"""Backups of the five legacy tables, with keys, counts and hashes.

Expand. Locks: ACCESS SHARE on the legacy tables. Resumes: one transaction. Reverses: first proves that every legacy row
equals its backup or was written since, then drops the backups.
"""

from django.db import migrations

from legacy_customers.unification import backup, rollback
from legacy_customers.unification.sources import find_sources


def forwards(apps, schema_editor):
    connection = schema_editor.connection
    if find_sources(connection):
        backup.back_up(connection)


def backwards(apps, schema_editor):
    connection = schema_editor.connection
    if find_sources(connection):
        rollback.prove_rows(connection)
        backup.drop_backups(connection)


class Migration(migrations.Migration):
    atomic = False  # each step commits for itself

    dependencies = [("legacy_customers", "0002_functions")]

    operations = [migrations.RunPython(forwards, backwards)]
