"""Whose row is whose; guests without an account get a login that nobody knows the password of.

Expand. Locks: ROW EXCLUSIVE on users. Resumes: one transaction, starts over. Reverses: removes the accounts made for guests
that were never used; a used one stays, and its customers row is linked to it.
"""

from django.db import migrations

from legacy_customers.unification import identity, rollback
from legacy_customers.unification.sources import find_sources


def forwards(apps, schema_editor):
    connection = schema_editor.connection
    if sources := find_sources(connection):
        identity.identify(connection, sources)


def backwards(apps, schema_editor):
    connection = schema_editor.connection
    if find_sources(connection):
        rollback.forget_identity(connection)


class Migration(migrations.Migration):
    atomic = False  # each step commits for itself

    dependencies = [("legacy_customers", "0004_old_trigger")]

    operations = [migrations.RunPython(forwards, backwards)]
