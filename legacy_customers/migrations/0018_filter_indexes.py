"""The indexes by which identities and attachments are filtered, and by which rows that are nobody's are found.

After the take-over. Locks: SHARE UPDATE EXCLUSIVE on legacy_identities and legacy_attachments, which holds up no writer.
Resumes: an index that an interrupted build left behind is dropped first. Reverses: drops them.
"""

from django.db import migrations, models
from django.db.models.functions import Lower

from config.indexes import built_as


class Migration(migrations.Migration):
    atomic = False  # CONCURRENTLY

    dependencies = [("legacy_customers", "0017_cheap_evidence")]

    operations = [
        built_as(
            'legacy_identities ("case", customer_id) WHERE "case" <> \'linked\'',
            migrations.AddIndex(
                model_name="customeridentity",
                index=models.Index(
                    condition=models.Q(("case", "linked"), _negated=True),
                    fields=["case", "customer_id"],
                    name="legacy_identities_case",
                ),
            ),
        ),
        built_as(
            "legacy_attachments (reason, id) WHERE reason IS NOT NULL",
            migrations.AddIndex(
                model_name="attachment",
                index=models.Index(
                    condition=models.Q(("reason__isnull", False)),
                    fields=["reason", "id"],
                    name="legacy_attachments_reason",
                ),
            ),
        ),
        built_as(
            "legacy_attachments (lower(translate(key, '{}-', ''))) WHERE user_id IS NULL",
            migrations.AddIndex(
                model_name="attachment",
                index=models.Index(
                    Lower(models.Func("key", models.Value("{}-"), models.Value(""), function="translate")),
                    condition=models.Q(("user_id", None)),
                    name="legacy_attachments_loose",
                ),
            ),
        ),
    ]
