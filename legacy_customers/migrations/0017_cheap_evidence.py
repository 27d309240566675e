"""Being watched costs readers nothing any more: customers_view asks no function with every read.

Copies that a killed step of the contract had left for its dump go, too. After the take-over. Locks: as 0014's. Resumes: each
step commits for itself, and can be done again. Reverses: nothing is to be taken back; 0014 takes the evidence away.
"""

from django.db import migrations

from config import locks
from config.run_step import RunStep
from legacy_customers.unification import evidence
from legacy_customers.unification.contract import state


def forwards(apps, schema_editor):
    locks.execute(schema_editor.connection, "DROP TABLE IF EXISTS unification_users_columns")
    if "backups" not in state.done(schema_editor.connection):
        evidence.install(schema_editor.connection)


class Migration(migrations.Migration):
    atomic = False  # each step commits for itself

    dependencies = [("legacy_customers", "0016_contract")]

    operations = [RunStep(forwards, migrations.RunPython.noop)]
