"""profiles.legacy_extra: where columns of the old tables go that nobody here knows, when those tables go.

After the take-over. Locks: ACCESS EXCLUSIVE on profiles for an instant; no row is read. Resumes: one transaction. Reverses:
drops it.
"""

from django.db import migrations, models

from config.run_step import RunStep
from profiles import history


def record(apps, schema_editor):
    history.install_functions(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("profiles", "0012_open_conflicts")]

    operations = [
        RunStep(migrations.RunPython.noop, record),
        migrations.AddField(
            model_name="profile",
            name="legacy_extra",
            field=models.JSONField(
                blank=True,
                editable=False,
                help_text="Columns of the old tables that nobody here knows: table, row, column. Filled when those tables go.",
                null=True,
            ),
        ),
        RunStep(record, migrations.RunPython.noop),
    ]
