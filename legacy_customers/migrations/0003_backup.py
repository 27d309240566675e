"""From here on what others write is logged; then backups of the five legacy tables, with keys, counts and hashes.

Expand. Locks: SHARE ROW EXCLUSIVE on each legacy table for an instant, then ACCESS SHARE. Resumes: what
was broken off is made again whole, so that it stays one snapshot.
Reverses: first proves that every legacy row that was written since is as it was last written, then drops the backups and the log.
"""

from django.db import migrations

from config.run_step import RunStep
from legacy_customers.unification import backup, capture, rollback
from legacy_customers.unification.sources import find_sources


def forwards(apps, schema_editor):
    connection = schema_editor.connection
    if find_sources(connection):
        capture.start(connection)
        backup.back_up(connection)


def backwards(apps, schema_editor):
    connection = schema_editor.connection
    if find_sources(connection):
        rollback.prove_rows(connection)
        backup.drop_backups(connection)
        capture.forget(connection)


class Migration(migrations.Migration):
    atomic = False  # each step commits for itself

    dependencies = [("legacy_customers", "0002_functions")]

    operations = [RunStep(forwards, backwards)]
