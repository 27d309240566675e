"""Merged and erased profiles: who was merged into whom, what it takes to take that back, and who exported or erased whom.

After the take-over. Locks: ACCESS EXCLUSIVE on profiles and SHARE ROW EXCLUSIVE on orders for an instant, for columns and
triggers; no row is read. Backwards ACCESS EXCLUSIVE on both. Resumes: one transaction. Reverses: drops everything; the values
and orders that merges moved stay where they are.
"""

import django.db.models.deletion
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.models.functions import Now

from config.deferred import RunDeferred
from profiles.merged_orders import CREATE_TRIGGERS, DROP_TRIGGERS


class Migration(migrations.Migration):
    dependencies = [("profiles", "0004_loyalty"), ("orders", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="profile",
            name="merged_into",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                editable=False,
                help_text="Whom it was merged into: its id leads there. That one is never merged itself.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="shells",
                to="profiles.profile",
            ),
        ),
        migrations.AddField(
            model_name="profile",
            name="erased_at",
            field=models.DateTimeField(blank=True, editable=False, help_text="When its personal data went.", null=True),
        ),
        # Checked in the next migration, while others read and write.
        AddConstraintNotValid(
            model_name="profile",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("merged_into", None),
                    models.Q(("interaction_count", 0), ("loyalty_points", 0), ("order_count", 0), ("total_spent", 0)),
                    _connector="OR",
                ),
                name="profiles_merged_holds_no_sums",
                violation_error_message="This profile was merged into another: write to that one.",
            ),
        ),
        migrations.AlterField(
            model_name="fieldconflict",
            name="rule",
            field=models.CharField(
                choices=[
                    ("first", "first non-blank"),
                    ("block", "one address"),
                    ("merge", "deep merge"),
                    ("consent", "never widened"),
                    ("shape", "JSON of the wrong shape"),
                    ("login", "the login's value stands"),
                    ("order", "the order's own user stands"),
                    ("choice", "chosen when two profiles were merged"),
                ],
                max_length=16,
            ),
        ),
        migrations.CreateModel(
            name="ProfileMerge",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("choices", models.JSONField(db_default={}, default=dict)),
                ("before", models.JSONField(db_default={}, default=dict)),
                ("after", models.JSONField(db_default={}, default=dict)),
                ("moved", models.JSONField(db_default={}, default=dict)),
                ("merged_at", models.DateTimeField(db_default=Now())),
                ("merged_by", models.UUIDField(help_text="The user who did it.", null=True)),
                ("via", models.CharField(max_length=63)),
                ("unmerged_at", models.DateTimeField(blank=True, null=True)),
                ("unmerged_by", models.UUIDField(blank=True, null=True)),
                (
                    "other",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="merged_by",
                        to="profiles.profile",
                    ),
                ),
                (
                    "survivor",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="merges", to="profiles.profile"
                    ),
                ),
            ],
            options={"db_table": "profile_merges"},
        ),
        migrations.CreateModel(
            name="PrivacyEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(choices=[("export", "Export"), ("erase", "Erase")], max_length=16),
                ),
                ("at", models.DateTimeField(db_default=Now())),
                ("by", models.UUIDField(help_text="The user who did it.", null=True)),
                ("via", models.CharField(max_length=63)),
                (
                    "reason",
                    models.TextField(blank=True, db_default="", default="", help_text="Why; names nobody."),
                ),
                (
                    "counts",
                    models.JSONField(db_default={}, default=dict, help_text="Rows per table that it touched."),
                ),
                (
                    "profile",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="privacy_events",
                        to="profiles.profile",
                    ),
                ),
            ],
            options={"db_table": "privacy_events"},
        ),
        # The deferred foreign keys first: a table with pending trigger events takes no new trigger.
        RunDeferred(),
        migrations.RunSQL(CREATE_TRIGGERS, DROP_TRIGGERS),
    ]
