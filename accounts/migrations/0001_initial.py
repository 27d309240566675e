"""Creates `users`, or adopts the legacy table.

Expand. Locks: ACCESS EXCLUSIVE on an adopted users for an instant; no row is rewritten. Resumes: one transaction, a failed
run leaves nothing. Reverses: an adopted table is given back as it was (it is read once, to be NOT NULL again), a created one
is dropped.
"""

import accounts.fields
import config.fields
import django.contrib.postgres.functions
import django.utils.timezone
import uuid
from django.db import migrations, models

from config.adoption import AdoptModel
from config.deferred import RunDeferred


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        AdoptModel(
            name='User',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('email', models.EmailField(blank=True, error_messages={'unique': 'A user with this email already exists.'}, max_length=255, null=True, unique=True)),
                ('password', accounts.fields.PasswordHashField(db_column='password_hash', max_length=255, verbose_name='password')),
                ('role', accounts.fields.RoleField(blank=True, choices=[('super_admin', 'Super Admin'), ('tenant_admin', 'Tenant Admin'), ('store_manager', 'Store Manager'), ('staff', 'Staff'), ('customer', 'Customer')], db_default='customer', default='customer', max_length=50, null=True)),
                ('active', models.BooleanField(db_default=True, default=True, null=True)),
                ('email_verified', models.BooleanField(db_default=False, default=False, null=True)),
                ('phone_verified', models.BooleanField(db_default=False, default=False, null=True)),
                ('age_verified', models.BooleanField(db_default=False, default=False, null=True)),
                ('terms_accepted', models.BooleanField(db_default=False, default=False, null=True)),
                ('tenant_id', models.UUIDField(blank=True, null=True)),
                ('last_login', config.fields.UTCTimestampField(blank=True, null=True)),
                ('created_at', config.fields.UTCTimestampField(blank=True, db_default=config.fields.UTCNow(), default=django.utils.timezone.now, editable=False, null=True)),
                ('updated_at', config.fields.UTCTimestampField(auto_now=True, db_default=config.fields.UTCNow(), null=True)),
            ],
            options={
                'db_table': 'users',
            },
        ),
        RunDeferred(),
    ]
