"""Creates `orders`, or adopts the legacy table, which gets the till's columns here, but no index or foreign key.

Expand. Locks: ACCESS EXCLUSIVE on an adopted orders for an instant; no row is rewritten. Resumes: one transaction, a failed
run leaves nothing. Reverses: an adopted table is given back as it was, a created one is dropped.
"""

import config.fields
import django.contrib.postgres.functions
import django.db.models.deletion
import django.utils.timezone
import uuid
from decimal import Decimal
from django.conf import settings
from django.db import migrations, models

from config.adoption import AdoptModel
from config.deferred import RunDeferred


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
    ]

    operations = [
        AdoptModel(
            name='Order',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('order_number', models.CharField(error_messages={'unique': 'An order with this number already exists.'}, max_length=100, unique=True)),
                ('cart_session_id', models.UUIDField(blank=True, null=True)),
                ('user', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='orders', to=settings.AUTH_USER_MODEL)),
                ('user_profile_id', models.UUIDField(blank=True, null=True)),
                ('customer_id', models.UUIDField(blank=True, null=True)),
                ('store_id', models.UUIDField(blank=True, null=True)),
                ('items', models.JSONField(blank=True, db_default=[], default=list)),
                ('subtotal', models.DecimalField(blank=True, decimal_places=2, max_digits=12, null=True)),
                ('tax_amount', models.DecimalField(blank=True, decimal_places=2, max_digits=12, null=True)),
                ('discount_amount', models.DecimalField(blank=True, decimal_places=2, max_digits=12, null=True)),
                ('delivery_fee', models.DecimalField(blank=True, decimal_places=2, max_digits=12, null=True)),
                ('total_amount', models.DecimalField(blank=True, decimal_places=2, max_digits=12, null=True)),
                ('payment_method', models.CharField(blank=True, choices=[('cash', 'Cash'), ('credit', 'Credit'), ('debit', 'Debit'), ('etransfer', 'e-transfer')], max_length=50, null=True)),
                ('payment_status', models.CharField(blank=True, choices=[('pending', 'Pending'), ('processing', 'Processing'), ('completed', 'Completed'), ('paid', 'Paid'), ('failed', 'Failed'), ('cancelled', 'Cancelled'), ('refunded', 'Refunded')], max_length=50, null=True)),
                ('delivery_address', models.JSONField(blank=True, null=True)),
                ('delivery_status', models.CharField(blank=True, choices=[('pending', 'Pending'), ('confirmed', 'Confirmed'), ('preparing', 'Preparing'), ('ready', 'Ready'), ('out_for_delivery', 'Out For Delivery'), ('delivered', 'Delivered'), ('cancelled', 'Cancelled')], max_length=50, null=True)),
                ('special_instructions', models.TextField(blank=True, null=True)),
                ('order_source', models.CharField(db_default='web', default='web', max_length=20)),
                ('order_status', models.CharField(blank=True, max_length=50, null=True)),
                ('receipt_number', models.CharField(blank=True, max_length=100, null=True)),
                ('cashier', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='sales', to=settings.AUTH_USER_MODEL)),
                ('payment_details', models.JSONField(blank=True, null=True)),
                ('tenant_id', models.UUIDField(blank=True, help_text='Whose sale it is; NULL: the tenant of `user`.', null=True)),
                ('store_code', models.CharField(blank=True, help_text='The store as the till names it.', max_length=100, null=True)),
                ('cashier_code', models.CharField(blank=True, help_text='The cashier as the till names them.', max_length=100, null=True)),
                ('customer_code', models.CharField(blank=True, help_text="The customer as the till named them: an id, or 'anonymous'.", max_length=100, null=True)),
                ('refunded_amount', models.DecimalField(db_default=Decimal('0'), decimal_places=2, default=Decimal('0'), max_digits=12)),
                ('counted_amount', models.DecimalField(blank=True, decimal_places=2, help_text="What it adds to its person's total_spent.", max_digits=12, null=True)),
                ('counted_points', models.BigIntegerField(blank=True, help_text='What it adds to their loyalty_points.', null=True)),
                ('content_digest', models.CharField(blank=True, help_text="SHA-256 of a till's request: the same receipt sells once.", max_length=64, null=True)),
                ('created_at', config.fields.UTCTimestampField(blank=True, db_default=config.fields.UTCNow(), default=django.utils.timezone.now, editable=False, null=True)),
                ('updated_at', config.fields.UTCTimestampField(auto_now=True, db_default=config.fields.UTCNow(), null=True)),
            ],
            options={
                'db_table': 'orders',
                'indexes': [models.Index(fields=['user'], name='orders_user'), models.Index(fields=['created_at', 'id'], name='orders_created_at')],
            },
        ),
        RunDeferred(),
    ]
