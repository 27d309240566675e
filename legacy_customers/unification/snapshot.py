"""What every check of the verification reads from, and what it says."""

from dataclasses import dataclass, field
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from .sources import Sources

SAMPLES = 5


@dataclass
class Outcome:
    """What one check saw. `rows` were looked at, of at least `expected`; `samples` name some of the `differences`.

    `note` is what is to be known of a check that passed.
    `not_applicable` says which step of the contract phase left it nothing to look at: then it is neither passed nor failed.
    """

    rows: int = 0
    expected: int = 0
    differences: int = 0
    samples: list[str] = field(default_factory=list)
    explained: int = 0
    note: str = ""
    not_applicable: str = ""

    @property
    def passed(self) -> bool:
        """No difference, and nothing that should have been there went unseen."""
        return not self.not_applicable and self.differences == 0 and self.rows >= self.expected


@dataclass(frozen=True)
class Snapshot:
    """What every check reads from: one transaction, and what is known of this database."""

    connection: BaseDatabaseWrapper
    cursor: CursorWrapper
    sources: Sources | None
    backed_up: dict[str, dict[str, Any]]

    def one(self, statement: str | sql.Composable) -> tuple[Any, ...]:
        self.cursor.execute(statement)
        row: tuple[Any, ...] = self.cursor.fetchone()
        return row

    def all(self, statement: str | sql.Composable) -> list[tuple[Any, ...]]:
        self.cursor.execute(statement)
        return list(self.cursor.fetchall())

    def named(self, statement: sql.Composable | str, rows: int, expected: int | None = None) -> Outcome:
        """An outcome whose differences are the texts that `statement` selects."""
        self.cursor.execute(
            sql.SQL("SELECT count(*), (array_agg(name ORDER BY name))[1:{}] FROM ({}) AS found (name)").format(
                sql.Literal(SAMPLES), sql.SQL(statement) if isinstance(statement, str) else statement
            )
        )
        differences, samples = self.cursor.fetchone()
        return Outcome(rows, rows if expected is None else expected, differences, samples or [])

    def count(self, table: str) -> int:
        return int(self.one(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))[0])
