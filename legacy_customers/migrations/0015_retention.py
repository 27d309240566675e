"""The date until which the backups are kept is set down.

Expand. Locks: none. Resumes: one transaction. Reverses: the note goes with the backups.
"""

from django.db import migrations

from config.run_step import RunStep
from legacy_customers.unification import retention


def forwards(apps, schema_editor):
    retention.record(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("legacy_customers", "0014_usage")]

    operations = [RunStep(forwards, migrations.RunPython.noop)]
