"""Who took which list of people as a file, and corrections that are handed in as one.

After the take-over. Locks: SHARE ROW EXCLUSIVE on profiles for an instant, for the foreign key. Resumes: one transaction.
Reverses: drops the tables; what was corrected stays.
"""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models.functions import Now

from config.deferred import RunDeferred


class Migration(migrations.Migration):
    dependencies = [("profiles", "0010_decisions")]

    operations = [
        migrations.CreateModel(
            name="ListExport",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(db_default=Now())),
                ("by", models.UUIDField(help_text="The user who did it.")),
                ("columns", models.JSONField(db_default=[], default=list)),
                (
                    "filters",
                    models.JSONField(
                        db_default={},
                        default=dict,
                        help_text="Which list it was; what was searched for is not kept.",
                    ),
                ),
                ("rows", models.BigIntegerField(db_default=0, default=0, help_text="As many as were sent.")),
                (
                    "finished_at",
                    models.DateTimeField(help_text="None: it was broken off, or is under way.", null=True),
                ),
            ],
            options={"db_table": "list_exports"},
        ),
        migrations.CreateModel(
            name="Correction",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("uploaded_at", models.DateTimeField(db_default=Now())),
                ("by", models.UUIDField(help_text="The user who did it.")),
                ("file_name", models.CharField(max_length=255)),
                (
                    "read",
                    models.IntegerField(db_default=0, default=0, help_text="Lines of the file, without its header."),
                ),
                (
                    "problems",
                    models.JSONField(db_default=[], default=list, help_text="What is wrong with the file as a whole."),
                ),
                (
                    "ignored",
                    models.JSONField(db_default=[], default=list, help_text="Columns that are there to be read only."),
                ),
                (
                    "people",
                    models.IntegerField(db_default=0, default=0, help_text="Whom it changes, or changed."),
                ),
                ("cells", models.JSONField(db_default={}, default=dict, help_text="How many of each column.")),
                ("refused", models.IntegerField(db_default=0, default=0, help_text="Lines with a problem.")),
                (
                    "status",
                    models.CharField(
                        choices=[("open", "Open"), ("applied", "Applied"), ("discarded", "Discarded")],
                        db_default="open",
                        default="open",
                        max_length=16,
                    ),
                ),
                ("decided_at", models.DateTimeField(null=True)),
            ],
            options={"db_table": "corrections"},
        ),
        migrations.CreateModel(
            name="CorrectionLine",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("line", models.IntegerField(help_text="In the file, whose header is line 1.")),
                ("before", models.JSONField(db_default={}, default=dict)),
                ("after", models.JSONField(db_default={}, default=dict)),
                ("problems", models.JSONField(db_default=[], default=list)),
                (
                    "correction",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="lines",
                        to="profiles.correction",
                    ),
                ),
                (
                    "profile",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="profiles.profile",
                    ),
                ),
            ],
            options={
                "db_table": "correction_lines",
                "constraints": [
                    models.UniqueConstraint(
                        fields=["correction", "line"],
                        name="correction_lines_once",
                        violation_error_message="This line of the file is there already.",
                    )
                ],
            },
        ),
        RunDeferred(),
    ]
