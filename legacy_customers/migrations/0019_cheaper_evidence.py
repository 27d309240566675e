"""customers_view tells who reads it by a domain that a session looks up once between two samples, not by a call for every plan.

After the take-over. Locks: as 0014's. Resumes: each step commits for itself, and can be done again. Reverses: nothing is to be
taken back; 0014 takes the evidence away.
"""

from django.db import migrations

from config.run_step import RunStep
from legacy_customers.unification import evidence
from legacy_customers.unification.contract import state


def forwards(apps, schema_editor):
    if "backups" not in state.done(schema_editor.connection):
        evidence.install(schema_editor.connection)


class Migration(migrations.Migration):
    atomic = False  # each step commits for itself

    dependencies = [("legacy_customers", "0018_filter_indexes")]

    operations = [RunStep(forwards, migrations.RunPython.noop)]
