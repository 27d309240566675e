"""The indexes of logins, by trigrams where the server has pg_trgm, and of merged profiles; the check of the latter.

After the take-over. Locks: SHARE UPDATE EXCLUSIVE on users and profiles, which stops no reader or writer. Resumes: what a kill
left broken is built anew. Reverses: drops them.
"""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models

from config.run_step import RunStep
from profiles.search import LOGINS_INDEX, create_index, drop_index


def index(apps, schema_editor):
    create_index(schema_editor.connection, LOGINS_INDEX, concurrently=True)


def drop(apps, schema_editor):
    drop_index(schema_editor.connection, LOGINS_INDEX, concurrently=True)


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY

    dependencies = [("profiles", "0005_merges"), ("accounts", "0001_initial")]

    operations = [
        RunStep(index, drop),
        # Who logs in is looked up by the whole address, in any case spelling.
        migrations.RunSQL(
            [
                "DROP INDEX CONCURRENTLY IF EXISTS users_login",
                "CREATE INDEX CONCURRENTLY users_login ON users (search_fold(email))",
            ],
            ["DROP INDEX CONCURRENTLY IF EXISTS users_login"],
        ),
        migrations.RunSQL(
            [
                "DROP INDEX CONCURRENTLY IF EXISTS profiles_merged_into",
                "CREATE INDEX CONCURRENTLY profiles_merged_into ON profiles (merged_into_id)"
                " WHERE merged_into_id IS NOT NULL",
            ],
            ["DROP INDEX CONCURRENTLY IF EXISTS profiles_merged_into"],
            state_operations=[
                migrations.AddIndex(
                    model_name="profile",
                    index=models.Index(
                        condition=models.Q(("merged_into__isnull", False)),
                        fields=["merged_into"],
                        name="profiles_merged_into",
                    ),
                )
            ],
        ),
        ValidateConstraint(model_name="profile", name="profiles_merged_holds_no_sums"),
    ]
