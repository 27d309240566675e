"""A writer of the two-way sync stands in line for a row for an instant at a time: its functions are replaced.

After the take-over. Locks: none on tables. Resumes: can be done again. Reverses: nothing is to be taken back; 0011 takes the
sync away.
"""

from django.db import migrations

from config.run_step import RunStep
from legacy_customers.unification import sync
from legacy_customers.unification.sources import find_sources


def forwards(apps, schema_editor):
    connection = schema_editor.connection
    if sources := find_sources(connection):
        sync.renew(connection, sources)


class Migration(migrations.Migration):
    atomic = False  # each step commits for itself

    dependencies = [("legacy_customers", "0020_cheap_sync")]

    operations = [RunStep(forwards, migrations.RunPython.noop)]
