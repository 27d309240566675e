from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate

from config import protection, protection_plan


class OrdersConfig(AppConfig):
    """The highest room that stays when the old world has gone: what protects every table's life is connected here."""

    name = "orders"

    def ready(self) -> None:
        pre_migrate.connect(before_migrate, sender=self)
        post_migrate.connect(after_migrate, sender=self)


def before_migrate(plan: protection_plan.Plan, using: str, **kwargs: Any) -> None:
    """Refuse a plan that would lose a protected table or column, before anything of it runs."""
    protection_plan.judge(connections[using], plan)


def after_migrate(using: str, **kwargs: Any) -> None:
    """Columns that have come since are protected too, by the best means that the role has now."""
    protection.renew(connections[using])
