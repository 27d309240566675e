"""What the rows give reason to say: each case of identity, of dangling ids and of odd values, counted, with the first ids."""

from collections.abc import Iterator

from psycopg import sql

from ..field_map import Kind, Table, fields_of
from ..sources import BACKUP_KEYS
from .addresses import spelling, usable, uuid_of
from .found import SAMPLES, Caution, Found

COUNTED = sql.SQL("SELECT count(*), (array_agg(id::text ORDER BY id::text))[1:{samples}] FROM ({rows}) AS found (id)")
NO_USER = sql.SQL("NOT EXISTS (SELECT FROM users AS u WHERE u.id = {})")

# Code, what is the case (with the count), the way out, and the query for the ids.
CASES: tuple[tuple[str, str, str, str], ...] = (
    (
        "W006",
        "{count:,} users have an address that differs from another user's in case or white space alone.",
        "They stay separate users, each pair with a merge suggestion; guests with such an address stay apart.",
        """SELECT u.id FROM users AS u JOIN (
            SELECT {login} AS email FROM users AS u GROUP BY 1 HAVING count(*) > 1) AS several ON several.email = {login}
        WHERE several.email <> ''""",
    ),
    (
        "W007",
        "{count:,} guests have the address of a login that is not verified, or of several logins.",
        "They stay apart, with a merge suggestion: whoever registers with another's address must not get their orders."
        " Verify the address (users.email_verified) before the take-over where you know whose it is.",
        """SELECT c.id FROM customers AS c JOIN (
            SELECT {login} AS email FROM users AS u GROUP BY 1
            HAVING count(*) > 1 OR NOT bool_and(u.email_verified IS TRUE)) AS doubtful ON doubtful.email = {guest}
        WHERE {is_guest} AND {usable_guest}""",
    ),
    (
        "W008",
        "{count:,} guests have no usable address: blank, without @ or a dot, or too long.",
        "They become users without a login, and profiles.contact_email keeps the text. Correct what you know.",
        "SELECT c.id FROM customers AS c WHERE {is_guest} AND {usable_guest} IS NOT TRUE",
    ),
    (
        "W009",
        "{count:,} customers name a user who is gone (user_id).",
        "They count as guests. Their user_id stays as it is.",
        "SELECT c.id FROM customers AS c WHERE c.user_id IS NOT NULL AND {is_guest}",
    ),
    (
        "W010",
        "{count:,} orders name a user who is gone (user_id).",
        "They get their customer's user, or none: user_id is written.",
        "SELECT o.id FROM orders AS o WHERE o.user_id IS NOT NULL AND {names_nobody}",
    ),
    (
        "W011",
        "{count:,} orders name a customer who is gone (customer_id).",
        "They keep customer_id, and their user_id, if they have one; otherwise they belong to nobody.",
        "SELECT o.id FROM orders AS o WHERE o.customer_id IS NOT NULL"
        " AND NOT EXISTS (SELECT FROM customers AS c WHERE c.id = o.customer_id)",
    ),
    (
        "W012",
        "{count:,} customer_profiles have a key that is no customer's.",
        "They are archived in backup_customer_profiles, and counted in the report.",
        "SELECT quote_literal(p.customer_id) FROM customer_profiles AS p"
        " WHERE NOT EXISTS (SELECT FROM customers AS c WHERE c.id = {profile_key})",
    ),
)


def cases(found: Found) -> Iterator[Caution]:
    """The cases above that there are."""
    guest = spelling(found.connection, sql.SQL("c.email::text"))
    parts: dict[str, sql.Composable] = {
        "login": spelling(found.connection, sql.SQL("u.email::text")),
        "guest": guest,
        "usable_guest": usable(guest),
        "is_guest": NO_USER.format(sql.SQL("c.user_id")),
        "names_nobody": NO_USER.format(sql.SQL("o.user_id")),
        "profile_key": uuid_of(sql.SQL("p.customer_id::text")),
    }
    for code, problem, way_out, ids in CASES:
        count, samples = _counted(found, sql.SQL(ids).format(**parts))
        if count:
            yield Caution(code, problem.format(count=count), way_out, samples)


def odd_shapes(found: Found) -> Iterator[Caution]:
    """JSON of another shape than its column's rule reads."""
    for table in Table:
        for field in fields_of(table):
            if field.kind not in (Kind.OBJECT, Kind.LIST):
                continue
            wanted = "object" if field.kind is Kind.OBJECT else "array"
            odd = sql.SQL(
                "SELECT {key} FROM {table} WHERE jsonb_typeof({column}) <> {wanted}"
                " AND {column} NOT IN ('null', '{{}}', '[]', '\"\"')"
            ).format(
                key=sql.Identifier(BACKUP_KEYS[table]),
                table=sql.Identifier(table),
                column=sql.Identifier(field.column),
                wanted=sql.Literal(wanted),
            )
            count, samples = _counted(found, odd)
            if count:
                yield Caution(
                    "W013",
                    f"{count:,} values of {table}.{field.column} are not a JSON {wanted}.",
                    "Each stays whole in a field_conflict, and the next source is asked. Correct what you know.",
                    samples,
                )


def _counted(found: Found, ids: sql.Composable) -> tuple[int, tuple[str, ...]]:
    [(count, samples)] = found.rows(COUNTED.format(samples=sql.Literal(SAMPLES), rows=ids))
    return count, tuple(samples or ())
