"""The two-way sync costs its writers less: its functions are replaced.

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

    dependencies = [("legacy_customers", "0019_cheaper_evidence")]

    operations = [RunStep(forwards, migrations.RunPython.noop)]
