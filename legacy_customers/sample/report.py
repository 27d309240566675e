"""What a sample database holds, for whoever has just loaded one."""

from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from legacy_customers.sample.logins import LOGINS, PASSWORD, Login
from legacy_customers.sample.persons import TABLES


@dataclass(frozen=True)
class SampleReport:
    """Rows per legacy table, and the logins with their role as the database has it."""

    counts: dict[str, int]
    logins: tuple[Login, ...]


def relations(connection: BaseDatabaseWrapper) -> list[str]:
    """Names of all tables, views and the like in the schema public, in order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('public')"
            " AND relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY relname"
        )
        return [name for (name,) in cursor.fetchall()]


def report(connection: BaseDatabaseWrapper) -> SampleReport:
    """Count the tables and look up the sample logins."""
    counts = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
            (counts[table],) = cursor.fetchone()
        cursor.execute(
            "SELECT email, role::text FROM users WHERE email = ANY(%s) ORDER BY array_position(%s, email::text)",
            [[login.email for login in LOGINS]] * 2,
        )
        logins = tuple(Login(email, PASSWORD, role) for email, role in cursor.fetchall())
    return SampleReport(counts, logins)
