from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate


class LegacyCustomersConfig(AppConfig):
    name = "legacy_customers"
    verbose_name = "The old world"

    def ready(self) -> None:
        pre_migrate.connect(refuse_what_does_not_fit, sender=self)
        post_migrate.connect(stop_telling, sender=self)


def refuse_what_does_not_fit(plan: list[tuple[Any, bool]], using: str, verbosity: int, **kwargs: Any) -> None:
    """Before `migrate` writes anything: a take-over that has not begun starts only where the database fits."""
    from .unification import phases, preflight

    phases.listen(verbosity > 0)
    first = ("legacy_customers", "0001_initial")
    if any((migration.app_label, migration.name) == first and not backwards for migration, backwards in plan):
        preflight.refuse_what_does_not_fit(connections[using])


def stop_telling(**kwargs: Any) -> None:
    """Progress is for the operator of `migrate` alone."""
    from .unification import phases

    phases.listen(False)
