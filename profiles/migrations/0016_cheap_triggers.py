"""Every change of a profile costs less: history and ledger are written by one trigger, and the search text is not parsed anew.

After the take-over. Locks: ACCESS EXCLUSIVE on profiles for an instant. Resumes: one transaction. Reverses: nothing is to be
taken back; 0002, 0003 and 0004 take the functions away.
"""

from django.db import migrations

from config.run_step import RunStep
from profiles import history, search


def replace(apps, schema_editor):
    history.install_functions(schema_editor.connection)
    search.install(schema_editor.connection)
    schema_editor.execute(history.PROFILES_TRIGGER)
    schema_editor.execute("DROP TRIGGER IF EXISTS loyalty_entries_of_profiles ON profiles")
    schema_editor.execute("DROP FUNCTION IF EXISTS loyalty_entries_record()")


class Migration(migrations.Migration):
    dependencies = [("profiles", "0015_open_queues")]

    operations = [RunStep(replace, migrations.RunPython.noop)]
