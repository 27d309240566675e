"""The trigram index of logins, where the server has pg_trgm: whoever is searched for by their login is found as fast.

After the take-over. Locks: SHARE UPDATE EXCLUSIVE on users, which stops no reader or writer. Resumes: what a kill left broken
is built anew. Reverses: drops it.
"""

from django.db import migrations

from profiles.search import LOGINS_INDEX, create_index, drop_index


def index(apps, schema_editor):
    create_index(schema_editor.connection, LOGINS_INDEX, concurrently=True)


def drop(apps, schema_editor):
    drop_index(schema_editor.connection, LOGINS_INDEX, concurrently=True)


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY

    dependencies = [("profiles", "0005_merges"), ("accounts", "0001_initial")]

    operations = [
        migrations.RunPython(index, drop),
        # Who logs in is looked up by the whole address, in any case spelling.
        migrations.RunSQL(
            [
                "DROP INDEX CONCURRENTLY IF EXISTS users_login",
                "CREATE INDEX CONCURRENTLY users_login ON users (search_fold(email))",
            ],
            ["DROP INDEX CONCURRENTLY IF EXISTS users_login"],
        ),
    ]
