"""The index of tags.

After the take-over. Locks: SHARE UPDATE EXCLUSIVE on profiles, which holds up no writer. Resumes: an index that an interrupted
build left behind is dropped first. Reverses: drops it.
"""

import django.contrib.postgres.indexes
from django.db import migrations

from config.indexes import built_as
from profiles.search import TAGS_DEFINITION


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY

    dependencies = [("profiles", "0008_saved_filters")]

    operations = [
        built_as(
            TAGS_DEFINITION,
            migrations.AddIndex(
                model_name="profile",
                index=django.contrib.postgres.indexes.GinIndex(
                    django.contrib.postgres.indexes.OpClass("tags", name="jsonb_path_ops"), name="profiles_tags"
                ),
            ),
        ),
    ]
