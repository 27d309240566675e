"""Where the evidence is kept of who still uses the old shapes.

Expand. Locks: none on legacy tables. Resumes: one transaction. Reverses: drops both.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("legacy_customers", "0012_protection")]

    operations = [
        migrations.CreateModel(
            name="Usage",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("source", models.CharField(help_text="Who saw it.", max_length=32)),
                ("shape", models.CharField(max_length=32)),
                ("kind", models.CharField(help_text="read or write.", max_length=8)),
                ("who", models.CharField(help_text="A database role.", max_length=63)),
                ("first_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
                ("count", models.BigIntegerField()),
            ],
            options={
                "verbose_name": "use of an old shape",
                "verbose_name_plural": "uses of old shapes",
                "db_table": "legacy_usage",
                "constraints": [
                    models.UniqueConstraint(fields=("source", "shape", "kind", "who"), name="legacy_usage_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="UsageCounter",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("source", models.CharField(max_length=32)),
                ("shape", models.CharField(max_length=32)),
                ("who", models.CharField(max_length=63)),
                ("since", models.DateTimeField(help_text="When the first sample was taken.")),
                ("taken_at", models.DateTimeField()),
                ("value", models.BigIntegerField()),
            ],
            options={
                "db_table": "legacy_usage_counters",
                "constraints": [
                    models.UniqueConstraint(fields=("source", "shape", "who"), name="legacy_usage_counters_once")
                ],
            },
        ),
    ]
