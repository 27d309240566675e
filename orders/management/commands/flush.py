"""Django's `flush`, which empties every table: where they are protected it is refused, and says by what."""

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import flush
from django.db import DatabaseError


class Command(flush.Command):
    def handle(self, **options: Any) -> None:
        try:
            super().handle(**options)
        except CommandError as error:
            if not isinstance(error.__cause__, DatabaseError):
                raise
            raise CommandError(f"Nothing was emptied: {error.__cause__}") from error.__cause__
