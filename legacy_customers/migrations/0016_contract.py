"""What the contract phase has done, step by step.

After the take-over. Locks: none on legacy tables. Resumes: one transaction. Reverses: drops the record, which is protected; the
way back is refused before that where a step is on it.
"""

from django.db import migrations, models
from django.db.models.functions import Now

from config import protection
from config.run_step import RunStep
from legacy_customers.unification.contract import state


def protect(apps, schema_editor):
    protection.install(schema_editor.connection, [state.TABLE])


def unprotect(apps, schema_editor):
    protection.remove(schema_editor.connection, [state.TABLE])


class Migration(migrations.Migration):
    dependencies = [("legacy_customers", "0015_retention"), ("profiles", "0013_legacy_extra")]

    operations = [
        migrations.CreateModel(
            name="ContractStep",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=32)),
                ("begun_at", models.DateTimeField(db_default=Now())),
                ("done_at", models.DateTimeField(null=True)),
                ("undone_at", models.DateTimeField(null=True)),
                ("by", models.CharField(help_text="A database role.", max_length=63)),
                (
                    "forced",
                    models.TextField(
                        db_default="", default="", help_text="Why it was done in spite of what spoke against it."
                    ),
                ),
                (
                    "dump",
                    models.TextField(db_default="", default="", help_text="The file with what it dropped."),
                ),
                ("sha256", models.CharField(db_default="", default="", max_length=64)),
                ("detail", models.JSONField(db_default={}, default=dict)),
            ],
            options={
                "db_table": "unification_contract",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("undone_at", None)), fields=("name",), name="unification_contract_once"
                    )
                ],
            },
        ),
        RunStep(protect, unprotect),
    ]
