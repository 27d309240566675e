"""The indexes by which the queues of conflicts and of likely pairs are filtered.

After the take-over. Locks: SHARE UPDATE EXCLUSIVE on field_conflicts and merge_suggestions, which holds up no writer. Resumes:
an index that an interrupted build left behind is dropped first. Reverses: drops them.
"""

from django.db import migrations, models

from config.indexes import built_as
from profiles.conflict_indexes import DEFINITIONS


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY

    dependencies = [("profiles", "0013_legacy_extra")]

    operations = [
        built_as(
            DEFINITIONS["field_conflicts_rule"],
            migrations.AddIndex(
                model_name="fieldconflict",
                index=models.Index(fields=["rule", "id"], name="field_conflicts_rule"),
            ),
        ),
        built_as(
            DEFINITIONS["field_conflicts_source"],
            migrations.AddIndex(
                model_name="fieldconflict",
                index=models.Index(fields=["other_table", "id"], name="field_conflicts_source"),
            ),
        ),
        built_as(
            DEFINITIONS["field_conflicts_decided"],
            migrations.AddIndex(
                model_name="fieldconflict",
                index=models.Index(
                    condition=models.Q(("resolved_at__isnull", False)),
                    fields=["id"],
                    name="field_conflicts_decided",
                ),
            ),
        ),
        built_as(
            "merge_suggestions (score DESC, id DESC)",
            migrations.AddIndex(
                model_name="mergesuggestion",
                index=models.Index(fields=["-score", "-id"], name="merge_suggestions_score"),
            ),
        ),
    ]
