"""The index of conflicts that nobody has decided, by column.

After the take-over. Locks: SHARE UPDATE EXCLUSIVE on field_conflicts, which holds up no writer. Resumes: an index that an
interrupted build left behind is dropped first. Reverses: drops it.
"""

from django.db import migrations, models

from config.indexes import built_as
from profiles.conflict_indexes import DEFINITIONS


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY

    dependencies = [("profiles", "0011_lists")]

    operations = [
        built_as(
            DEFINITIONS["field_conflicts_open_field"],
            migrations.AddIndex(
                model_name="fieldconflict",
                index=models.Index(
                    condition=models.Q(("resolved_at__isnull", True)),
                    fields=["field", "id"],
                    name="field_conflicts_open_field",
                ),
            ),
        ),
    ]
