"""What must not be configured while the old application lives."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

TABLES = "SELECT relname FROM pg_class WHERE relname IN ('customers', 'customers_view') AND pg_table_is_visible(oid) ORDER BY 1"


@register(Tags.database)
def old_world_is_gone(databases: Sequence[str] | None, **kwargs: Any) -> list[CheckMessage]:
    """LEGACY=false writes each password anew at its login, in a form that the old application cannot read."""
    if settings.LEGACY:
        return []
    found: list[CheckMessage] = []
    for alias in databases or ():
        with connections[alias].cursor() as cursor:
            cursor.execute(TABLES)
            names = [name for (name,) in cursor.fetchall()]
        if names:
            found.append(
                Error(
                    f"LEGACY is off, and the old application's {' and '.join(names)} is there still: whoever logs in here"
                    " could not log in there any more.",
                    hint="Finish `manage.py contract_unification` with LEGACY=true first.",
                    id="accounts.E001",
                )
            )
    return found
