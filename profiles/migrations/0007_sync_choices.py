"""A rule and a reason more, for values and links that come through the two-way sync.

Expand. Locks: none; choices are not in the database. Resumes: one transaction. Reverses: nothing to do.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("profiles", "0006_login_search"),
    ]

    operations = [
        migrations.AlterField(
            model_name="fieldconflict",
            name="rule",
            field=models.CharField(
                choices=[
                    ("first", "first non-blank"),
                    ("block", "one address"),
                    ("merge", "deep merge"),
                    ("consent", "never widened"),
                    ("shape", "JSON of the wrong shape"),
                    ("login", "the login's value stands"),
                    ("order", "the order's own user stands"),
                    ("choice", "chosen when two profiles were merged"),
                    ("width", "does not fit the other side's column"),
                ],
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="mergesuggestion",
            name="reason",
            field=models.CharField(
                choices=[
                    ("unverified_address", "the account's address is not verified"),
                    ("verified_address", "the account has the address, verified"),
                    ("shared_address", "several accounts have the address"),
                    ("birth_date", "same address, different birth date"),
                    ("same_login", "logins differ only in case or white space"),
                    ("linked", "the old application linked its row to the account"),
                ],
                max_length=32,
            ),
        ),
    ]
