"""Whose row is whose; guests without an account get a login that nobody knows the password of. The backups are completed beside it.

Expand. Locks: ACCESS SHARE on the legacy tables, ROW EXCLUSIVE on users. Resumes: one transaction; where it was committed, it is not done again. Reverses:
removes the accounts made for guests that were never used, range by range; a used one stays, and its customers row is linked to it.
"""

from django.db import migrations

from config.run_step import RunStep
from legacy_customers.unification import backup, identity, rollback, workers
from legacy_customers.unification.rollback import accounts
from legacy_customers.unification.sources import find_sources


def forwards(apps, schema_editor):
    connection = schema_editor.connection
    sources = find_sources(connection)
    if sources:
        with workers.beside(connection, backup.complete):
            identity.identify(connection, sources)


def backwards(apps, schema_editor):
    connection = schema_editor.connection
    if find_sources(connection):
        accounts.forget_identity(connection)
        rollback.be_strict(connection)


class Migration(migrations.Migration):
    atomic = False  # each step commits for itself

    dependencies = [("legacy_customers", "0004_old_trigger")]

    operations = [RunStep(forwards, backwards)]
