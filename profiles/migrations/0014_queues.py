"""The indexes by which the queues of conflicts and of likely pairs are filtered.

After the take-over. Locks: SHARE UPDATE EXCLUSIVE on field_conflicts and merge_suggestions, which holds up no writer. Resumes:
an index that an interrupted build left behind is dropped first. Reverses: drops them.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY

    dependencies = [("profiles", "0013_legacy_extra")]

    operations = [
        migrations.RunSQL(
            [
                "DROP INDEX CONCURRENTLY IF EXISTS field_conflicts_rule",
                "CREATE INDEX CONCURRENTLY field_conflicts_rule ON field_conflicts (rule, id)",
            ],
            ["DROP INDEX CONCURRENTLY IF EXISTS field_conflicts_rule"],
            state_operations=[
                migrations.AddIndex(
                    model_name="fieldconflict",
                    index=models.Index(fields=["rule", "id"], name="field_conflicts_rule"),
                )
            ],
        ),
        migrations.RunSQL(
            [
                "DROP INDEX CONCURRENTLY IF EXISTS field_conflicts_source",
                "CREATE INDEX CONCURRENTLY field_conflicts_source ON field_conflicts (other_table, id)",
            ],
            ["DROP INDEX CONCURRENTLY IF EXISTS field_conflicts_source"],
            state_operations=[
                migrations.AddIndex(
                    model_name="fieldconflict",
                    index=models.Index(fields=["other_table", "id"], name="field_conflicts_source"),
                )
            ],
        ),
        migrations.RunSQL(
            [
                "DROP INDEX CONCURRENTLY IF EXISTS field_conflicts_decided",
                "CREATE INDEX CONCURRENTLY field_conflicts_decided ON field_conflicts (id) WHERE resolved_at IS NOT NULL",
            ],
            ["DROP INDEX CONCURRENTLY IF EXISTS field_conflicts_decided"],
            state_operations=[
                migrations.AddIndex(
                    model_name="fieldconflict",
                    index=models.Index(
                        condition=models.Q(("resolved_at__isnull", False)),
                        fields=["id"],
                        name="field_conflicts_decided",
                    ),
                )
            ],
        ),
        migrations.RunSQL(
            [
                "DROP INDEX CONCURRENTLY IF EXISTS merge_suggestions_score",
                "CREATE INDEX CONCURRENTLY merge_suggestions_score ON merge_suggestions (score DESC, id DESC)",
            ],
            ["DROP INDEX CONCURRENTLY IF EXISTS merge_suggestions_score"],
            state_operations=[
                migrations.AddIndex(
                    model_name="mergesuggestion",
                    index=models.Index(fields=["-score", "-id"], name="merge_suggestions_score"),
                )
            ],
        ),
    ]
