"""Who still calls the superseded paths, counted by day.

Expand. Locks: none on legacy tables. Resumes: one transaction. Reverses: drops the counts.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("legacy_customers", "0009_customers_view")]

    operations = [
        migrations.CreateModel(
            name="ApiUsage",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("day", models.DateField(help_text="In UTC.")),
                ("client", models.CharField(max_length=100)),
                ("caller", models.CharField(blank=True, db_default="", default="", max_length=36)),
                (
                    "agent",
                    models.CharField(
                        blank=True, db_default="", default="", help_text="Its User-Agent's name.", max_length=64
                    ),
                ),
                ("method", models.CharField(max_length=10)),
                ("route", models.CharField(help_text="The path, with names for the ids in it.", max_length=100)),
                ("first_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
                ("calls", models.BigIntegerField()),
            ],
            options={
                "verbose_name": "call of the old API",
                "verbose_name_plural": "calls of the old API",
                "db_table": "api_usage",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("day", "client", "caller", "agent", "method", "route"),
                        name="api_usage_once",
                        violation_error_message="These calls are counted in a row already.",
                    )
                ],
            },
        ),
    ]
