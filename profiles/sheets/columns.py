"""Which columns a list of people has, and which of them a file may correct."""

from collections.abc import Mapping

from accounts.models import User
from profiles.selectors import PROFILE, columns_for
from profiles.services.details import WRITABLE

# Where the person's history stood: whoever hands the line in again is told what was changed since. `+ 0` keeps PostgreSQL
# from looking for the person in all of the history from its end: they may have none.
VERSION = "coalesce((SELECT max(h.id + 0) FROM profile_history AS h WHERE h.profile_id = p.id), 0)"
# Long, or derived: a person's own export has them.
LEFT_OUT = frozenset({"name", "purchase_history"})
COLUMNS: Mapping[str, str] = {
    "id": "p.id",
    "version": VERSION,
    **{name: column for name, column in PROFILE.items() if name not in LEFT_OUT | {"id"}},
}
# Of what a profile may be told, all but what others count: interactions, and what opens an account.
CORRECTABLE = tuple(
    name for name in COLUMNS if name in WRITABLE and name not in {"is_active", "interaction_count", "purchase_history"}
)


def for_viewer(viewer: User) -> dict[str, str]:
    """The columns of whom `viewer` sees, by name, as SQL over profiles AS p, users AS u."""
    return columns_for(viewer, COLUMNS)
