"""Decisions on conflicts, which can be undone; scores of suggestions, and the keys by which duplicates are found.

After the take-over. Locks: ACCESS EXCLUSIVE on field_conflicts and merge_suggestions for an instant, for columns that no row is
rewritten for; SHARE on both while three indexes are built. Resumes: one transaction. Reverses: drops what it made;
values that were taken stay where they are.
"""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models.functions import Now

from config.deferred import RunDeferred
from config.run_step import RunStep
from profiles import matching


def install_functions(apps, schema_editor):
    matching.install(schema_editor.connection)


def drop_functions(apps, schema_editor):
    schema_editor.execute(matching.DROP_FUNCTIONS)


class Migration(migrations.Migration):
    dependencies = [("profiles", "0009_tags")]

    operations = [
        migrations.CreateModel(
            name="ConflictDecision",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("batch", models.UUIDField(db_index=True)),
                ("field", models.CharField(max_length=63)),
                ("path", models.TextField(blank=True, db_default="", default="")),
                ("verdict", models.CharField(choices=[("keep", "kept"), ("take", "taken")], max_length=8)),
                ("before", models.JSONField(db_default={}, default=dict)),
                ("after", models.JSONField(db_default={}, default=dict)),
                ("decided_at", models.DateTimeField(db_default=Now())),
                ("decided_by", models.UUIDField(help_text="The user who did it.", null=True)),
                ("via", models.CharField(max_length=63)),
                ("undone_at", models.DateTimeField(blank=True, null=True)),
                ("undone_by", models.UUIDField(blank=True, null=True)),
                (
                    "profile",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="profiles.profile"
                    ),
                ),
            ],
            options={
                "db_table": "conflict_decisions",
                "indexes": [models.Index(fields=["decided_by", "-id"], name="conflict_decisions_by")],
            },
        ),
        migrations.AddField(
            model_name="fieldconflict",
            name="decision",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                editable=False,
                help_text="How it was resolved, where somebody did that here.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="conflicts",
                to="profiles.conflictdecision",
            ),
        ),
        migrations.AddIndex(
            model_name="fieldconflict",
            index=models.Index(
                condition=models.Q(("decision__isnull", False)), fields=["decision"], name="field_conflicts_decision"
            ),
        ),
        migrations.AddIndex(
            model_name="fieldconflict",
            index=models.Index(condition=models.Q(("resolved_at", None)), fields=["id"], name="field_conflicts_open"),
        ),
        migrations.AddField(
            model_name="mergesuggestion",
            name="score",
            field=models.SmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="mergesuggestion",
            name="evidence",
            field=models.JSONField(blank=True, db_default={}, default=dict),
        ),
        migrations.AlterField(
            model_name="mergesuggestion",
            name="reason",
            field=models.CharField(
                choices=[
                    ("unverified_address", "the account's address is not verified"),
                    ("verified_address", "the account has the address, verified"),
                    ("shared_address", "several accounts have the address"),
                    ("birth_date", "same address, different birth date"),
                    ("same_login", "logins differ only in case or white space"),
                    ("linked", "the old application linked its row to the account"),
                    ("same_phone", "same phone"),
                    ("name_birth_date", "same name and birth date"),
                    ("name_address", "similar name and address"),
                ],
                max_length=32,
            ),
        ),
        migrations.AddIndex(
            model_name="mergesuggestion",
            index=models.Index(fields=["status", "-score", "-id"], name="merge_suggestions_queue"),
        ),
        migrations.CreateModel(
            name="DuplicateKeys",
            fields=[
                (
                    "profile",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="profiles.profile",
                    ),
                ),
                ("version", models.BigIntegerField()),
                ("phone", models.BigIntegerField(null=True)),
                ("born", models.BigIntegerField(null=True)),
                ("home", models.BigIntegerField(null=True)),
            ],
            options={
                "db_table": "duplicate_keys",
                "indexes": [
                    models.Index(
                        condition=models.Q((f"{name}__isnull", False)), fields=[name], name=f"duplicate_keys_{name}"
                    )
                    for name in ("phone", "born", "home")
                ],
            },
        ),
        RunStep(install_functions, drop_functions),
        RunDeferred(),
    ]
