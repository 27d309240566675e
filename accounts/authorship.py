"""Who writes: the database is told, so that the triggers of profile_history name the author."""

import uuid

from django.db import connections
from django.db.transaction import TransactionManagementError


def sign(*, using: str, by: uuid.UUID | None, via: str) -> None:
    """Let the rest of this transaction be written in the name of user `by`, through `via` (admin, api, …).

    Errors: TransactionManagementError outside a transaction, where the signature would be lost at once.
    """
    connection = connections[using]
    if not connection.in_atomic_block:
        raise TransactionManagementError(
            f"Changes via {via!r} cannot be signed outside a transaction. Sign within transaction.atomic()."
        )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('unified.actor', %s, true), set_config('unified.via', %s, true)",
            [str(by or ""), via],
        )
