"""The rules' functions as expressions: before `migrate` they are not installed, and preflight installs nothing."""

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from config.collation import folding
from profiles.search import WHITE_SPACE


def spelling(connection: BaseDatabaseWrapper, column: sql.Composable) -> sql.Composed:
    """As unification_email: the one spelling under which addresses are compared."""
    return sql.SQL("lower(btrim({}, {}){})").format(column, sql.Literal(WHITE_SPACE), folding(connection))


def usable(spelled: sql.Composable) -> sql.Composed:
    """As unification_usable."""
    part = f"[^@{WHITE_SPACE}]+"
    return sql.SQL("(char_length({0}) <= 254 AND {0} ~ {1})").format(spelled, sql.Literal(f"^{part}@{part}[.]{part}$"))


def uuid_of(text: sql.Composable) -> sql.Composed:
    """As unification_uuid."""
    digits = "([0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}"
    return sql.SQL("CASE WHEN {0} ~ {1} OR {0} ~ {2} THEN {0}::uuid END").format(
        text, sql.Literal(f"^{digits}$"), sql.Literal(rf"^\{{{digits}\}}$")
    )
