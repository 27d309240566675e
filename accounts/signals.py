"""Signals of this app."""

from django.dispatch import Signal

# Sent after QuerySet.bulk_create, for which Django sends no post_save.
# Arguments: users (list[User]), using (the database's alias).
users_created = Signal()
