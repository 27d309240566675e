"""profile_history, and the triggers that write it, whoever changes a profile or a login and by whatever way.

Expand. Locks: SHARE ROW EXCLUSIVE on users and profiles for an instant; backwards ACCESS EXCLUSIVE. Resumes: one transaction.
Reverses: drops both.
"""

from django.db import migrations, models
from django.db.models.functions import Now

from config.deferred import RunDeferred
from config.run_step import RunStep
from profiles.history import CREATE_TRIGGERS, DROP_TRIGGERS, install_functions


def install(apps, schema_editor):
    install_functions(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("profiles", "0001_initial"), ("accounts", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="ProfileHistory",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "profile",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=models.DO_NOTHING,
                        related_name="history",
                        to="profiles.profile",
                    ),
                ),
                ("changed_at", models.DateTimeField(db_default=Now())),
                (
                    "changed_by",
                    models.UUIDField(help_text="The user who did it, where the writer said so.", null=True),
                ),
                ("via", models.CharField(help_text="What wrote it: admin, api, sql, …", max_length=63)),
                ("changes", models.JSONField()),
            ],
            options={"db_table": "profile_history", "verbose_name_plural": "profile history"},
        ),
        RunStep(install, migrations.RunPython.noop),
        migrations.RunSQL(CREATE_TRIGGERS, DROP_TRIGGERS),
        RunDeferred(),
    ]
