"""The indexes by which conflicts are filtered while they are open, and by column in any state; likely pairs by reason.

After the take-over. Locks: SHARE UPDATE EXCLUSIVE on field_conflicts and merge_suggestions, which holds up no writer. Resumes:
an index that an interrupted build left behind is dropped first. Reverses: drops them.
"""

from django.db import migrations, models

from config.indexes import built_as
from profiles.conflict_indexes import DEFINITIONS


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY

    dependencies = [("profiles", "0014_queues")]

    operations = [
        built_as(
            DEFINITIONS["field_conflicts_open_rule"],
            migrations.AddIndex(
                model_name="fieldconflict",
                index=models.Index(
                    condition=models.Q(("resolved_at__isnull", True)),
                    fields=["rule", "id"],
                    name="field_conflicts_open_rule",
                ),
            ),
        ),
        built_as(
            DEFINITIONS["field_conflicts_open_source"],
            migrations.AddIndex(
                model_name="fieldconflict",
                index=models.Index(
                    condition=models.Q(("resolved_at__isnull", True)),
                    fields=["other_table", "id"],
                    name="field_conflicts_open_source",
                ),
            ),
        ),
        built_as(
            DEFINITIONS["field_conflicts_field"],
            migrations.AddIndex(
                model_name="fieldconflict",
                index=models.Index(fields=["field", "id"], name="field_conflicts_field"),
            ),
        ),
        built_as(
            "merge_suggestions (status, reason, score DESC, id DESC)",
            migrations.AddIndex(
                model_name="mergesuggestion",
                index=models.Index(fields=["status", "reason", "-score", "-id"], name="merge_suggestions_reason"),
            ),
        ),
    ]
