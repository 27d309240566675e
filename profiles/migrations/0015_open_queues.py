"""The indexes by which conflicts are filtered while they are open, and by column in any state; likely pairs by reason.

After the take-over. Locks: SHARE UPDATE EXCLUSIVE on field_conflicts and merge_suggestions, which holds up no writer. Resumes:
an index that an interrupted build left behind is dropped first. Reverses: drops them.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY

    dependencies = [("profiles", "0014_queues")]

    operations = [
        migrations.RunSQL(
            [
                "DROP INDEX CONCURRENTLY IF EXISTS field_conflicts_open_rule",
                "CREATE INDEX CONCURRENTLY field_conflicts_open_rule ON field_conflicts (rule, id) WHERE resolved_at IS NULL",
            ],
            ["DROP INDEX CONCURRENTLY IF EXISTS field_conflicts_open_rule"],
            state_operations=[
                migrations.AddIndex(
                    model_name="fieldconflict",
                    index=models.Index(
                        condition=models.Q(("resolved_at__isnull", True)),
                        fields=["rule", "id"],
                        name="field_conflicts_open_rule",
                    ),
                )
            ],
        ),
        migrations.RunSQL(
            [
                "DROP INDEX CONCURRENTLY IF EXISTS field_conflicts_open_source",
                "CREATE INDEX CONCURRENTLY field_conflicts_open_source ON field_conflicts (other_table, id)"
                " WHERE resolved_at IS NULL",
            ],
            ["DROP INDEX CONCURRENTLY IF EXISTS field_conflicts_open_source"],
            state_operations=[
                migrations.AddIndex(
                    model_name="fieldconflict",
                    index=models.Index(
                        condition=models.Q(("resolved_at__isnull", True)),
                        fields=["other_table", "id"],
                        name="field_conflicts_open_source",
                    ),
                )
            ],
        ),
        migrations.RunSQL(
            [
                "DROP INDEX CONCURRENTLY IF EXISTS field_conflicts_field",
                "CREATE INDEX CONCURRENTLY field_conflicts_field ON field_conflicts (field, id)",
            ],
            ["DROP INDEX CONCURRENTLY IF EXISTS field_conflicts_field"],
            state_operations=[
                migrations.AddIndex(
                    model_name="fieldconflict",
                    index=models.Index(fields=["field", "id"], name="field_conflicts_field"),
                )
            ],
        ),
        migrations.RunSQL(
            [
                "DROP INDEX CONCURRENTLY IF EXISTS merge_suggestions_reason",
                "CREATE INDEX CONCURRENTLY merge_suggestions_reason ON merge_suggestions (status, reason, score DESC, id DESC)",
            ],
            ["DROP INDEX CONCURRENTLY IF EXISTS merge_suggestions_reason"],
            state_operations=[
                migrations.AddIndex(
                    model_name="mergesuggestion",
                    index=models.Index(fields=["status", "reason", "-score", "-id"], name="merge_suggestions_reason"),
                )
            ],
        ),
    ]
