"""Searches that staff gave a name.

After the take-over. Locks: SHARE ROW EXCLUSIVE on users for an instant, for the foreign key. Resumes: one transaction.
Reverses: drops them.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    dependencies = [("profiles", "0007_sync_choices")]

    operations = [
        migrations.CreateModel(
            name="SavedFilter",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=40)),
                ("query", models.CharField(help_text="The address after its question mark.", max_length=2000)),
                (
                    "shared",
                    models.BooleanField(db_default=False, default=False, help_text="For all staff of the tenant."),
                ),
                ("tenant_id", models.UUIDField(blank=True, help_text="Its maker's.", null=True)),
                ("created_at", models.DateTimeField(db_default=Now())),
                (
                    "made_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": "saved_filters",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("made_by", "name"),
                        name="saved_filters_name",
                        violation_error_message="You have a tab of this name already.",
                    )
                ],
            },
        ),
    ]
