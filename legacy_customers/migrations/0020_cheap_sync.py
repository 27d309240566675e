"""The two-way sync costs its writers less: its functions are replaced, and the log of uses passes over what the sync writes.

After the take-over. Locks: SHARE ROW EXCLUSIVE on users and orders for an instant. Resumes: each step commits for itself, and can
be done again. Reverses: nothing is to be taken back; 0011 takes the sync away, 0014 the log.
"""

from django.db import migrations

from config import locks
from config.run_step import RunStep
from legacy_customers.unification import sync, usage_log
from legacy_customers.unification.contract import state
from legacy_customers.unification.sources import find_sources


def forwards(apps, schema_editor):
    connection = schema_editor.connection
    if sources := find_sources(connection):
        sync.renew(connection, sources)
    if "backups" not in state.done(connection):
        for table in ("users", "orders"):
            for statement in usage_log.triggers(connection).get(table, []):
                locks.execute(connection, statement)


class Migration(migrations.Migration):
    atomic = False  # each step commits for itself

    dependencies = [("legacy_customers", "0019_cheaper_evidence")]

    operations = [RunStep(forwards, migrations.RunPython.noop)]
