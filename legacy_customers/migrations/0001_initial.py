"""The unification's book-keeping, and the legacy schema's fingerprint, taken before anything else is touched.

Expand. Locks: none on legacy tables. Resumes: one transaction. Reverses: last of all, when `users` and `orders` have been
given back; it proves that the legacy schema is as it was found, else it stops and names each difference.
"""

import config.fields
import django.db.models.functions.datetime
import uuid
from decimal import Decimal
from django.db import migrations, models

from config.run_step import RunStep

from config.deferred import RunDeferred
from legacy_customers.unification import fingerprint, rollback


def record_fingerprint(apps, schema_editor):
    fingerprint.record(schema_editor.connection)


def compare_fingerprint(apps, schema_editor):
    rollback.finish(schema_editor.connection)


class Migration(migrations.Migration):

    initial = True

    dependencies = []
    # The fingerprint is that of the untouched schema, and the way back ends with giving the tables back.
    run_before = [("accounts", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name='LegacyCustomer',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ('user_id', models.UUIDField(blank=True, null=True)),
                ('email', models.CharField(max_length=255)),
                ('first_name', models.CharField(blank=True, max_length=100, null=True)),
                ('last_name', models.CharField(blank=True, max_length=100, null=True)),
                ('phone', models.CharField(blank=True, max_length=50, null=True)),
                ('date_of_birth', models.DateField(blank=True, null=True)),
                ('address', models.TextField(blank=True, null=True)),
                ('city', models.CharField(blank=True, max_length=100, null=True)),
                ('state', models.CharField(blank=True, max_length=50, null=True)),
                ('postal_code', models.CharField(blank=True, max_length=20, null=True)),
                ('country', models.CharField(blank=True, default='USA', max_length=100, null=True)),
                ('loyalty_points', models.BigIntegerField(default=0)),
                ('total_spent', models.DecimalField(decimal_places=2, default=Decimal('0'), max_digits=14)),
                ('order_count', models.BigIntegerField(default=0)),
                ('last_order_date', config.fields.UTCTimestampField(blank=True, null=True)),
                ('customer_type', models.CharField(default='regular', max_length=50)),
                ('preferred_payment_method', models.CharField(blank=True, max_length=50, null=True)),
                ('marketing_consent', models.BooleanField(default=False)),
                ('sms_consent', models.BooleanField(default=False)),
                ('tags', models.JSONField(default=list)),
                ('notes', models.TextField(blank=True, null=True)),
                ('is_active', models.BooleanField(default=True, null=True)),
                ('is_verified', models.BooleanField(default=False)),
                ('created_at', config.fields.UTCTimestampField(auto_now_add=True, null=True)),
                ('updated_at', config.fields.UTCTimestampField(auto_now=True, null=True)),
                ('tenant_id', models.UUIDField(blank=True, null=True)),
            ],
            options={
                'db_table': 'customers_view',
                'managed': False,
            },
        ),
        migrations.CreateModel(
            name='Phase',
            fields=[
                ('name', models.CharField(max_length=32, primary_key=True, serialize=False)),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('resumed_at', models.DateTimeField(help_text='When the run that does it, or did, took it up.', null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('rows', models.BigIntegerField(db_default=0, default=0)),
                ('detail', models.JSONField(db_default={}, default=dict)),
            ],
            options={
                'db_table': 'unification_phases',
            },
        ),
        migrations.CreateModel(
            name='Pause',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('cause', models.CharField(max_length=32)),
                ('reason', models.TextField(db_default='', default='')),
                ('by', models.CharField(help_text='A database role.', max_length=63)),
                ('began_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('ended_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'unification_pauses',
                'constraints': [models.UniqueConstraint(condition=models.Q(('cause', 'operator'), ('ended_at', None)), fields=('cause',), name='unification_pauses_once')],
            },
        ),
        migrations.CreateModel(
            name='MigrationRun',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('started_at', models.DateTimeField()),
                ('finished_at', models.DateTimeField()),
                ('succeeded', models.BooleanField()),
                ('longest_wait_ms', models.FloatField(null=True)),
                ('detail', models.JSONField(default=dict, help_text='How it was measured, who waited for what, and during what.')),
            ],
            options={
                'db_table': 'unification_runs',
                'get_latest_by': 'started_at',
            },
        ),
        migrations.CreateModel(
            name='VerificationRun',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('taken_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('passed', models.BooleanField()),
                ('report', models.JSONField()),
            ],
            options={
                'db_table': 'unification_verifications',
                'get_latest_by': 'taken_at',
            },
        ),
        migrations.CreateModel(
            name='Attachment',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('source', models.CharField(max_length=32)),
                ('key', models.CharField(max_length=100)),
                ('user_id', models.UUIDField(null=True)),
                ('position', models.IntegerField(null=True)),
                ('reason', models.CharField(choices=[('no_customer', "its id is no customer's"), ('nobody', 'no account has the session or the address'), ('several', 'several accounts have the session or the address'), ('unverified', "the account's address is not verified")], max_length=32, null=True)),
                ('attached_at', models.DateTimeField(help_text='NULL: at the take-over, or not at all.', null=True)),
            ],
            options={
                'db_table': 'legacy_attachments',
                'indexes': [models.Index(fields=['user_id', 'position'], name='legacy_attachments_user')],
                'constraints': [models.UniqueConstraint(fields=('source', 'key'), name='legacy_attachments_once')],
            },
        ),
        migrations.CreateModel(
            name='CustomerIdentity',
            fields=[
                ('customer_id', models.UUIDField(primary_key=True, serialize=False)),
                ('user_id', models.UUIDField()),
                ('case', models.CharField(choices=[('linked', 'linked to an account'), ('matched', 'guest of a verified account'), ('new_user', 'guest with an address of their own'), ('separate', 'guest who stays apart')], max_length=16)),
                ('position', models.IntegerField()),
                ('reason', models.CharField(help_text='Why a separate guest was not merged.', max_length=32, null=True)),
            ],
            options={
                'db_table': 'legacy_identities',
                'verbose_name_plural': 'customer identities',
                'indexes': [models.Index(fields=['user_id', 'position'], name='legacy_identities_user')],
            },
        ),
        migrations.CreateModel(
            name='Range',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('phase', models.CharField(max_length=32)),
                ('first_page', models.BigIntegerField()),
                ('last_page', models.BigIntegerField(help_text="Exclusive; NULL is the table's end.", null=True)),
                ('next_page', models.BigIntegerField(help_text='The pages before it are done.', null=True)),
                ('rows', models.BigIntegerField(null=True)),
                ('moved_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
            ],
            options={
                'db_table': 'unification_ranges',
                'constraints': [models.UniqueConstraint(fields=('phase', 'first_page'), name='unification_ranges_once')],
            },
        ),
        migrations.CreateModel(
            name="MovedLogin",
            fields=[
                ("user_id", models.UUIDField(primary_key=True, serialize=False)),
                ("moved_to", models.UUIDField(unique=True)),
            ],
            options={
                "db_table": "legacy_moved_logins",
            },
        ),
        migrations.CreateModel(
            name="Handover",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("person_id", models.UUIDField()),
                ("source", models.CharField(max_length=32)),
                ("before", models.JSONField(null=True)),
                ("after", models.JSONField()),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "db_table": "legacy_handovers",
                "indexes": [models.Index(fields=["person_id", "id"], name="legacy_handovers_person")],
            },
        ),
        migrations.CreateModel(
            name="LegacyDeletion",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("source", models.CharField(max_length=32)),
                ("key", models.CharField(max_length=100)),
                ("row", models.JSONField()),
                ("deleted_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("deleted_by", models.CharField(help_text="A database role.", max_length=63)),
            ],
            options={
                "db_table": "legacy_deletions",
                "indexes": [models.Index(fields=["source", "key"], name="legacy_deletions_key")],
            },
        ),
        migrations.CreateModel(
            name="LegacyWrite",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("source", models.CharField(max_length=32)),
                ("key", models.CharField(max_length=100)),
                ("hash", models.BigIntegerField()),
                ("writes", models.BigIntegerField(db_default=0, default=0)),
                ("last_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("last_by", models.CharField(db_default="", default="", help_text="A database role.", max_length=63)),
            ],
            options={
                "db_table": "legacy_writes",
                "constraints": [models.UniqueConstraint(fields=("source", "key"), name="legacy_writes_once")],
            },
        ),
        RunStep(record_fingerprint, compare_fingerprint),
        RunDeferred(),
    ]
