"""api_keys: what tills and servers log in with.

After the take-over. Locks: SHARE ROW EXCLUSIVE on users for an instant, for the foreign key; backwards ACCESS EXCLUSIVE.
Resumes: one transaction. Reverses: drops it.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import Now

from config.deferred import RunDeferred


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "name",
                    models.CharField(help_text="Where the key is used: a till, a server, a report.", max_length=100),
                ),
                (
                    "prefix",
                    models.CharField(editable=False, help_text="How the key begins, to tell it by.", max_length=12),
                ),
                ("digest", models.CharField(editable=False, max_length=64, unique=True)),
                ("created_at", models.DateTimeField(auto_now_add=True, db_default=Now())),
                ("last_used_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="api_keys",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"db_table": "api_keys", "verbose_name": "API key"},
        ),
        RunDeferred(),
    ]
