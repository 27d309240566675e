"""The indexes of logins, by trigrams where the server has pg_trgm, and of merged profiles; the check of the latter.

After the take-over. Locks: SHARE UPDATE EXCLUSIVE on users and profiles, which stops no reader or writer. Resumes: what a kill
left broken is built anew. Reverses: drops them.
"""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models

from config.indexes import built_as, drop_concurrently
from config.run_step import RunStep
from profiles.search import LOGIN_INDEX, LOGINS_INDEX, create_index, create_login_index


def index(apps, schema_editor):
    create_index(schema_editor.connection, LOGINS_INDEX, concurrently=True)
    create_login_index(schema_editor.connection)


def drop(apps, schema_editor):
    for name in (LOGIN_INDEX, LOGINS_INDEX):
        drop_concurrently(schema_editor.connection, name)


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY

    dependencies = [("profiles", "0005_merges"), ("accounts", "0001_initial")]

    operations = [
        RunStep(index, drop),
        built_as(
            "profiles (merged_into_id) WHERE merged_into_id IS NOT NULL",
            migrations.AddIndex(
                model_name="profile",
                index=models.Index(
                    condition=models.Q(("merged_into__isnull", False)),
                    fields=["merged_into"],
                    name="profiles_merged_into",
                ),
            ),
        ),
        ValidateConstraint(model_name="profile", name="profiles_merged_holds_no_sums"),
    ]
