"""profiles.search_text, made by the database, and its trigram index where the server has pg_trgm.

Expand, before the copy: the table is empty when a shop is taken over. Locks: ACCESS EXCLUSIVE on profiles, which is rewritten
where it has rows already. Resumes: one transaction. Reverses: drops both.
"""

from django.db import migrations

import profiles.search
from config.run_step import RunStep
from profiles.search import DROP_FUNCTION, PROFILES_INDEX, create_index, drop_extension, drop_index, install


def install_functions(apps, schema_editor):
    install(schema_editor.connection)


def drop_functions(apps, schema_editor):
    schema_editor.execute(DROP_FUNCTION)


def index(apps, schema_editor):
    create_index(schema_editor.connection, PROFILES_INDEX)


def drop(apps, schema_editor):
    drop_index(schema_editor.connection, PROFILES_INDEX)
    drop_extension(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("profiles", "0002_history")]

    operations = [
        RunStep(install_functions, drop_functions),
        migrations.AddField(
            model_name="profile",
            name="search_text",
            field=profiles.search.SearchText(
                help_text="Names, contact address and phone, folded; made by the database."
            ),
        ),
        RunStep(index, drop),
    ]
