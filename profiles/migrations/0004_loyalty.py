"""loyalty_entries, and what writes them, whoever changes a profile's points.

After the take-over. Locks: SHARE ROW EXCLUSIVE on profiles for an instant. Resumes: one transaction. Reverses: drops both.
"""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models.functions import Now

from config.deferred import RunDeferred
from config.run_step import RunStep
from profiles import history
from profiles.loyalty import CREATE_GUARDS, DROP_GUARDS


def record(apps, schema_editor):
    history.install_functions(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("profiles", "0003_search")]

    operations = [
        RunStep(migrations.RunPython.noop, record),
        migrations.CreateModel(
            name="LoyaltyEntry",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("delta", models.BigIntegerField()),
                ("balance", models.BigIntegerField()),
                ("reason", models.TextField()),
                ("source", models.CharField(max_length=63)),
                (
                    "order_id",
                    models.UUIDField(help_text="The order that gave or took the points, if one did.", null=True),
                ),
                ("created_at", models.DateTimeField(db_default=Now())),
                (
                    "created_by",
                    models.UUIDField(help_text="The user who did it, where the writer said so.", null=True),
                ),
                (
                    "profile",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="loyalty_entries",
                        to="profiles.profile",
                    ),
                ),
            ],
            options={
                "db_table": "loyalty_entries",
                "verbose_name_plural": "loyalty entries",
                "indexes": [models.Index(fields=["profile", "-id"], name="loyalty_entries_profile")],
            },
        ),
        migrations.RunSQL(CREATE_GUARDS, DROP_GUARDS),
        RunStep(record, migrations.RunPython.noop),
        RunDeferred(),
    ]
