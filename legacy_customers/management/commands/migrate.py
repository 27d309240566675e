"""Django's `migrate`, with a choice of how many connections work on the steps of the unification."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import connections

from legacy_customers.unification import workers


class Command(migrate.Command):
    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)  # type: ignore[arg-type]
        parser.add_argument(
            "--workers",
            type=int,
            metavar="N",
            help="connections that share the ranges of a step (default: UNIFICATION_WORKERS)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        number = options.pop("workers", None)
        if number is not None and number < 1:
            raise CommandError(f"--workers {number}: give the number of connections, 1 or more.")
        with workers.chosen(number), workers.bounded(connections[options["database"]]):
            super().handle(*args, **options)
