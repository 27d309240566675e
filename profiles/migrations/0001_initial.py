"""profiles, with their aliases, conflicts and merge suggestions, all empty.

Expand. Locks: SHARE ROW EXCLUSIVE on users for an instant, for the foreign keys; backwards ACCESS EXCLUSIVE. Resumes: one
transaction. Reverses: drops them.
"""

import django.db.models.deletion
import django.db.models.functions.datetime
import uuid
from decimal import Decimal
from django.conf import settings
from django.db import migrations, models

from config.deferred import RunDeferred
class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Profile',
            fields=[
                ('id', models.UUIDField(db_default=models.Func(function='gen_random_uuid', output_field=models.UUIDField()), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('contact_email', models.CharField(blank=True, help_text='Where to write, when it is not the login.', max_length=255, null=True)),
                ('first_name', models.CharField(blank=True, max_length=100, null=True)),
                ('last_name', models.CharField(blank=True, max_length=100, null=True)),
                ('phone', models.CharField(blank=True, max_length=50, null=True)),
                ('date_of_birth', models.DateField(blank=True, null=True)),
                ('address', models.TextField(blank=True, null=True)),
                ('city', models.CharField(blank=True, max_length=100, null=True)),
                ('state', models.CharField(blank=True, max_length=50, null=True)),
                ('postal_code', models.CharField(blank=True, max_length=20, null=True)),
                ('country', models.CharField(blank=True, db_default='USA', default='USA', max_length=100, null=True)),
                ('loyalty_points', models.BigIntegerField(db_default=0, default=0)),
                ('customer_type', models.CharField(db_default='regular', default='regular', max_length=50)),
                ('preferred_payment_method', models.CharField(blank=True, max_length=50, null=True)),
                ('total_spent', models.DecimalField(db_default=Decimal('0'), decimal_places=2, default=Decimal('0'), max_digits=14)),
                ('order_count', models.BigIntegerField(db_default=0, default=0)),
                ('last_order_date', models.DateTimeField(blank=True, null=True)),
                ('preferences', models.JSONField(blank=True, db_default={}, default=dict)),
                ('needs', models.JSONField(blank=True, db_default=[], default=list)),
                ('experience_level', models.CharField(blank=True, max_length=50, null=True)),
                ('medical_conditions', models.JSONField(blank=True, db_default=[], default=list)),
                ('preferred_categories', models.JSONField(blank=True, db_default=[], default=list)),
                ('preferred_effects', models.JSONField(blank=True, db_default=[], default=list)),
                ('price_range', models.JSONField(blank=True, null=True)),
                ('purchase_history', models.JSONField(blank=True, db_default=[], default=list)),
                ('interaction_count', models.BigIntegerField(db_default=0, default=0)),
                ('language', models.CharField(blank=True, max_length=10, null=True)),
                ('timezone', models.CharField(blank=True, max_length=50, null=True)),
                ('marketing_consent', models.BooleanField(db_default=False, default=False)),
                ('sms_consent', models.BooleanField(db_default=False, default=False)),
                ('tags', models.JSONField(blank=True, db_default=[], default=list)),
                ('notes', models.TextField(blank=True, null=True)),
                ('is_verified', models.BooleanField(db_default=False, default=False)),
                ('created_at', models.DateTimeField(auto_now_add=True, db_default=django.db.models.functions.datetime.Now(), null=True)),
                ('updated_at', models.DateTimeField(auto_now=True, db_default=django.db.models.functions.datetime.Now(), null=True)),
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='profile', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'db_table': 'profiles',
                'permissions': (('view_medical_conditions', 'Can view medical conditions'),),
            },
        ),
        migrations.CreateModel(
            name='MergeSuggestion',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('reason', models.CharField(choices=[('unverified_address', "the account's address is not verified"), ('verified_address', 'the account has the address, verified'), ('shared_address', 'several accounts have the address'), ('birth_date', 'same address, different birth date'), ('same_login', 'logins differ only in case or white space')], max_length=32)),
                ('status', models.CharField(choices=[('open', 'Open'), ('merged', 'Merged'), ('dismissed', 'Dismissed')], db_default='open', default='open', max_length=16)),
                ('created_at', models.DateTimeField(auto_now_add=True, db_default=django.db.models.functions.datetime.Now())),
                ('decided_at', models.DateTimeField(blank=True, null=True)),
                ('decided_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('other_profile', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='suggested_by', to='profiles.profile')),
                ('profile', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='suggestions', to='profiles.profile')),
            ],
            options={
                'db_table': 'merge_suggestions',
            },
        ),
        migrations.CreateModel(
            name='FieldConflict',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('field', models.CharField(max_length=63)),
                ('path', models.TextField(blank=True, db_default='', default='')),
                ('rule', models.CharField(choices=[('first', 'first non-blank'), ('block', 'one address'), ('merge', 'deep merge'), ('consent', 'never widened'), ('shape', 'JSON of the wrong shape'), ('login', "the login's value stands"), ('order', "the order's own user stands")], max_length=16)),
                ('chosen_value', models.JSONField(null=True)),
                ('chosen_table', models.CharField(max_length=63, null=True)),
                ('chosen_row', models.TextField(null=True)),
                ('other_value', models.JSONField(null=True)),
                ('other_table', models.CharField(max_length=63)),
                ('other_row', models.TextField()),
                ('created_at', models.DateTimeField(auto_now_add=True, db_default=django.db.models.functions.datetime.Now())),
                ('resolved_at', models.DateTimeField(blank=True, null=True)),
                ('resolved_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('profile', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='conflicts', to='profiles.profile')),
            ],
            options={
                'db_table': 'field_conflicts',
            },
        ),
        migrations.CreateModel(
            name='ProfileAlias',
            fields=[
                ('id', models.UUIDField(editable=False, help_text='The old customers id.', primary_key=True, serialize=False)),
                ('profile', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='aliases', to='profiles.profile')),
            ],
            options={
                'verbose_name_plural': 'profile aliases',
                'db_table': 'profile_aliases',
            },
        ),
        migrations.AddIndex(
            model_name='profile',
            index=models.Index(fields=['phone'], name='profiles_phone'),
        ),
        migrations.AddIndex(
            model_name='profile',
            index=models.Index(fields=['contact_email'], name='profiles_contact_email'),
        ),
        migrations.AddIndex(
            model_name='profile',
            index=models.Index(fields=['last_name', 'first_name'], name='profiles_name'),
        ),
        migrations.AddIndex(
            model_name='profile',
            index=models.Index(fields=['customer_type'], name='profiles_customer_type'),
        ),
        migrations.AddIndex(
            model_name='profile',
            index=models.Index(fields=['created_at', 'id'], name='profiles_created_at'),
        ),
        migrations.AddConstraint(
            model_name='mergesuggestion',
            constraint=models.UniqueConstraint(fields=('profile', 'other_profile'), name='merge_suggestions_once', violation_error_message='This pair is suggested already.'),
        ),
        migrations.AddConstraint(
            model_name='fieldconflict',
            constraint=models.UniqueConstraint(fields=('profile', 'field', 'path', 'other_table', 'other_row'), name='field_conflicts_one_per_source_cell', violation_error_message="This cell's conflict is recorded already."),
        ),
        RunDeferred(),
    ]
