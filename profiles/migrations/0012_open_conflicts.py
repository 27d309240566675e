"""The index of conflicts that nobody has decided, by column.

After the take-over. Locks: SHARE UPDATE EXCLUSIVE on field_conflicts, which holds up no writer. Resumes: an index that an
interrupted build left behind is dropped first. Reverses: drops it.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY

    dependencies = [("profiles", "0011_lists")]

    operations = [
        migrations.RunSQL(
            [
                "DROP INDEX CONCURRENTLY IF EXISTS field_conflicts_open_field",
                "CREATE INDEX CONCURRENTLY field_conflicts_open_field ON field_conflicts (field, id) WHERE resolved_at IS NULL",
            ],
            ["DROP INDEX CONCURRENTLY IF EXISTS field_conflicts_open_field"],
            state_operations=[
                migrations.AddIndex(
                    model_name="fieldconflict",
                    index=models.Index(
                        condition=models.Q(("resolved_at__isnull", True)),
                        fields=["field", "id"],
                        name="field_conflicts_open_field",
                    ),
                )
            ],
        ),
    ]
