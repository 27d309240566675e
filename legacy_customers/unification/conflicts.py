"""Every value that lost is kept: a field_conflict per losing cell, and a suggestion per pair that may be one person."""

import threading
from functools import partial

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from config import locks
from profiles import conflict_indexes

from . import bulk_load, live_indexes, orders, phases, ranges
from .consolidate import has_address, said, source_value
from .field_map import Field, Kind, Rule, Table, fields_of
from .sources import Sources

PHASE = "conflicts"
LARGEST_FIRST = (Table.CUSTOMERS, Table.USERS, Table.CUSTOMER_PROFILES, Table.USER_PROFILES)

# The rows of each source with the profile `p` that they went into.
JOINED: dict[Table, sql.SQL] = {
    Table.USERS: sql.SQL(
        """{users} AS src
    JOIN profiles AS p ON p.user_id = src.id"""
    ),
    Table.CUSTOMERS: sql.SQL(
        """{customers} AS src
    JOIN legacy_identities AS i ON i.customer_id = src.id
    JOIN profiles AS p ON p.user_id = i.user_id
    LEFT JOIN users AS login ON login.id = i.user_id"""
    ),
    Table.CUSTOMER_PROFILES: sql.SQL(
        """{customer_profiles} AS src
    JOIN legacy_attachments AS a ON a.source = 'customer_profiles' AND a.key = src.customer_id
    JOIN profiles AS p ON p.user_id = a.user_id"""
    ),
    Table.USER_PROFILES: sql.SQL(
        """{user_profiles} AS src
    JOIN legacy_attachments AS a ON a.source = 'user_profiles' AND a.key = src.id::text
    JOIN profiles AS p ON p.user_id = a.user_id"""
    ),
}
KEYS: dict[Table, sql.SQL] = {
    Table.USERS: sql.SQL("src.id::text"),
    Table.CUSTOMERS: sql.SQL("src.id::text"),
    Table.CUSTOMER_PROFILES: sql.SQL("src.customer_id::text"),
    Table.USER_PROFILES: sql.SQL("src.id::text"),
}


def lost(sources: Sources, field: Field) -> sql.Composable | None:
    """Condition: the cell of `src` says something that the profile `p` does not. None: the rule loses nothing."""
    cell = source_value(sources, field, "src")
    result = sql.Identifier("p", field.column)
    match field.rule:
        case Rule.FIRST | Rule.BLOCK:
            lost = sql.SQL("{} IS DISTINCT FROM {}").format(said(field, cell), result)
            known = sql.SQL("{} IS NOT NULL").format(said(field, cell))
            if field.default is not None:
                known = sql.SQL("{} <> {}").format(said(field, cell), sql.Literal(field.default))
            return sql.SQL("({0} <> {1}) IS NOT FALSE AND {2} AND {3}").format(cell, result, known, lost)
        case Rule.CONSENT | Rule.VERIFIED:
            return sql.SQL("{} AND NOT {}").format(cell, result)
    return None


def misshapen(field: Field) -> sql.Composable | None:
    """Condition: the cell is JSON that says something in another shape than the field's."""
    if field.kind not in (Kind.OBJECT, Kind.LIST):
        return None
    return sql.SQL("jsonb_typeof({0}) <> {1} AND unification_json({0}) IS NOT NULL").format(
        sql.Identifier("src", field.column), sql.Literal("object" if field.kind is Kind.OBJECT else "array")
    )


def losing_cells(sources: Sources, table: Table, where: sql.Composable) -> sql.Composed:
    """The cells of `table` that lost, of the rows that `where` selects: where they are, profile, user, field, path, rule, both values, and the winner's row
    where it is known.

    A users row can lose only to the linked customers row, whose id is the profile's.
    """
    rows: list[sql.Composable] = []
    conditions: list[sql.Composable] = []

    def add(
        field: str,
        rule: str,
        condition: sql.Composable,
        other: sql.Composable,
        winner: sql.Composable,
        result: sql.Composable,
    ) -> None:
        conditions.append(sql.SQL("({})").format(condition))
        rows.append(
            sql.SQL("SELECT {}, '{{}}'::text[], {}, to_jsonb({}), to_jsonb({}), {} WHERE {}").format(
                sql.Literal(field), sql.Literal(rule), result, other, winner, condition
            )
        )

    unknown = sql.SQL("NULL::text")
    for field in fields_of(table):
        cell, result = source_value(sources, field, "src"), sql.Identifier("p", field.column)
        if (condition := lost(sources, field)) is not None:
            rule = "consent" if field.rule is Rule.VERIFIED else field.rule.value
            winner = sql.SQL("p.id::text") if table is Table.USERS and field.rule is Rule.FIRST else unknown
            add(field.column, rule, condition, cell, winner, result)
        if (condition := misshapen(field)) is not None:
            add(field.column, "shape", condition, cell, unknown, result)
    if table is Table.CUSTOMERS:
        add(
            "users.active",
            "login",
            sql.SQL("src.is_active IS NOT NULL AND src.is_active IS DISTINCT FROM login.active"),
            sql.SQL("src.is_active"),
            sql.SQL("login.id::text"),
            sql.SQL("login.active"),
        )
    merged = [field for field in fields_of(table) if field.rule is Rule.MERGE]
    conditions += [
        sql.SQL("({0} <> {1} AND jsonb_typeof({0}) = 'object')").format(
            sql.Identifier("src", field.column), sql.Identifier("p", field.column)
        )
        for field in merged
    ]
    paths = [
        sql.SQL(
            """
        UNION ALL
        SELECT {name}, l.path, 'merge', l.chosen, l.other, NULL
        FROM unification_lost({cell}, {result}) AS l
        WHERE jsonb_typeof({cell}) = 'object' AND {cell} <> {result}"""
        ).format(
            name=sql.Literal(field.column),
            cell=sql.Identifier("src", field.column),
            result=sql.Identifier("p", field.column),
        )
        for field in merged
    ]
    return sql.SQL(
        """
    SELECT src.ctid AS place, p.id AS profile_id, p.user_id, x.field, x.path, x.rule, x.chosen_value, x.other_value,
        {key} AS other_row, x.winner
    FROM {joined}
    CROSS JOIN LATERAL (
        {rows}{paths}
    ) AS x (field, path, rule, chosen_value, other_value, winner)
    WHERE {where} AND ({conditions})"""
    ).format(
        where=where,
        key=KEYS[table],
        joined=JOINED[table].format(**{str(name): sources.table(name) for name in Table}),
        rows=sql.SQL("\n        UNION ALL ").join(rows),
        paths=sql.SQL("").join(paths),
        conditions=sql.SQL("\n        OR ").join(conditions),
    )


# The other sources in the order of the rules: alias, rank, key, and how the rows of the person `l` are found.
RIVALS: dict[Table, tuple[str, sql.SQL, sql.SQL]] = {
    Table.CUSTOMERS: (
        "c",
        sql.SQL("'customers', c.id::text, CASE i.\"case\" WHEN 'linked' THEN 0 ELSE 2 END, i.position"),
        sql.SQL(
            "legacy_identities AS i ON i.user_id = l.user_id JOIN {customers} AS c ON c.id = i.customer_id WHERE true"
        ),
    ),
    Table.USERS: (
        "u",
        sql.SQL("'users', u.id::text, 1, 0"),
        # An account that was made for a guest says nothing of its own.
        sql.SQL(
            "{users} AS u ON u.id = l.user_id WHERE NOT EXISTS (SELECT FROM legacy_identities AS made"
            " WHERE made.user_id = u.id AND made.\"case\" IN ('new_user', 'separate'))"
        ),
    ),
    Table.CUSTOMER_PROFILES: (
        "cp",
        sql.SQL("'customer_profiles', a.key, 3, a.position"),
        sql.SQL(
            "legacy_attachments AS a ON a.user_id = l.user_id AND a.source = 'customer_profiles'"
            " JOIN {customer_profiles} AS cp ON cp.customer_id = a.key WHERE true"
        ),
    ),
    Table.USER_PROFILES: (
        "up",
        sql.SQL("'user_profiles', a.key, 3, a.position"),
        sql.SQL(
            "legacy_attachments AS a ON a.user_id = l.user_id AND a.source = 'user_profiles'"
            " JOIN {user_profiles} AS up ON up.id = unification_uuid(a.key) WHERE true"
        ),
    ),
}


def winners(sources: Sources, losing: Table) -> sql.Composable:
    """Who won over each row of the work table `losing_cells`, by its ctid: the person's first row, in the order of the rules,
    that holds the chosen value.

    An address won as a whole: the row that gave it, whether the value stands in a column or in its JSON.
    """
    contested = {
        field.column for field in fields_of(losing) if lost(sources, field) or field.kind in (Kind.OBJECT, Kind.LIST)
    }
    branches = []
    for table, (alias, columns, found) in RIVALS.items():
        fields = [field for field in fields_of(table) if field.column in contested]
        if not fields:
            continue
        cell = sql.SQL("CASE l.field {} END").format(
            sql.SQL(" ").join(
                sql.SQL("WHEN {} THEN to_jsonb({})").format(
                    sql.Literal(field.column), source_value(sources, field, alias)
                )
                for field in fields
            )
        )
        holds = sql.SQL("{} #> l.path = l.chosen_value").format(cell)
        if table is Table.CUSTOMERS:
            holds = sql.SQL("CASE WHEN l.rule = 'block' THEN l.chosen_value IS NOT NULL AND {} ELSE {} END").format(
                has_address(sources, alias), holds
            )
        branches.append(
            sql.SQL(
                "SELECT l.ctid, {columns} FROM losing_cells AS l JOIN {found}"
                " AND l.winner IS NULL AND l.field = ANY({fields}) AND {holds}"
            ).format(
                columns=columns,
                found=found.format(**{str(name): sources.table(name) for name in Table}),
                fields=sql.Literal([field.column for field in fields]),
                holds=holds,
            )
        )
    return sql.SQL(
        """
    SELECT DISTINCT ON (loser) loser, source, key FROM (
        {}
    ) AS rivals (loser, source, key, rank, position)
    ORDER BY loser, rank, position"""
    ).format(sql.SQL("\n        UNION ALL ").join(branches))


def work_tables(sources: Sources, table: Table, where: sql.Composable) -> dict[str, sql.Composed]:
    """The queries of the session's work tables: what lost in `table`, and from it the records, each with its winner."""
    return {
        "losing_cells": losing_cells(sources, table, where),
        "new_conflicts": sql.SQL(
            """
    SELECT l.place, l.profile_id, l.field, CASE WHEN l.path = '{{}}' THEN '' ELSE unification_pointer(l.path) END AS path,
        l.rule, l.chosen_value,
        CASE WHEN l.rule = 'login' THEN 'users' WHEN l.winner IS NOT NULL THEN 'customers' ELSE w.source
            END AS chosen_table,
        coalesce(l.winner, w.key) AS chosen_row, l.other_value, {table} AS other_table, l.other_row
    FROM losing_cells AS l
    LEFT JOIN ({winners}
    ) AS w ON w.loser = l.ctid"""
        ).format(table=sql.Literal(str(table)), winners=winners(sources, table)),
    }


def make_work_tables(cursor: CursorWrapper, sources: Sources, table: Table, where: sql.Composable) -> None:
    """Find what lost in the rows of `table` that `where` selects, and to whom, before any of it is recorded."""
    for name, query in work_tables(sources, table, where).items():
        phases.create_work_table(cursor, sql.Identifier(name), query)
        cursor.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(name)))
    cursor.execute("CREATE INDEX ON new_conflicts (place)")


def insert_conflicts(places: sql.Composable) -> sql.Composed:
    """Record the losing cells whose rows are at `places`."""
    return sql.SQL(
        """
INSERT INTO field_conflicts (profile_id, field, path, rule, chosen_value, chosen_table, chosen_row,
    other_value, other_table, other_row)
SELECT profile_id, field, path, rule, chosen_value, chosen_table, chosen_row, other_value, other_table, other_row
FROM new_conflicts AS l WHERE {places}
"""
    ).format(places=places)


# Every login that a guest who stays apart might be, or that is written in more than one way.
SPELLINGS = sql.SQL(
    """
CREATE TEMP TABLE spelling ON COMMIT DROP AS
SELECT u.id AS user_id, u.email, unification_email(u.email) AS spelling
FROM {users} AS u
WHERE unification_email(u.email) IN (
    SELECT unification_email(guest.contact_email)
    FROM legacy_identities AS i JOIN profiles AS guest ON guest.user_id = i.user_id
    WHERE i.reason IS NOT NULL
    UNION ALL
    SELECT unification_email(email) FROM {users} WHERE email <> unification_email(email)
)
"""
)

# A guest who stays apart and each account with that address, the guests' new accounts included.
SUGGEST_GUESTS = sql.SQL(
    """
INSERT INTO merge_suggestions (profile_id, other_profile_id, reason)
SELECT guest.id, account.id, i.reason
FROM legacy_identities AS i
JOIN profiles AS guest ON guest.user_id = i.user_id
JOIN spelling AS s ON s.spelling = unification_email(guest.contact_email)
JOIN profiles AS account ON account.user_id = s.user_id
WHERE i.reason IS NOT NULL
ON CONFLICT (profile_id, other_profile_id) DO NOTHING
"""
)

# Logins that differ only in case or white space: each with the first of them.
SUGGEST_LOGINS = sql.SQL(
    """
INSERT INTO merge_suggestions (profile_id, other_profile_id, reason)
SELECT other.id, first.id, 'same_login'
FROM (
    SELECT user_id, min(user_id::text) OVER (PARTITION BY spelling)::uuid AS first_id
    FROM spelling
    WHERE spelling IN (SELECT spelling FROM spelling WHERE email <> spelling) AND spelling <> ''
) AS same
JOIN profiles AS other ON other.user_id = same.user_id
JOIN profiles AS first ON first.user_id = same.first_id
WHERE same.user_id <> same.first_id
ON CONFLICT (profile_id, other_profile_id) DO NOTHING
"""
)


def record(connection: BaseDatabaseWrapper, sources: Sources) -> None:
    """Record every losing cell, in ranges of each backup, and every pair that may be one person."""
    with phases.phase(connection, PHASE) as detail:
        bulk_load.set_aside(connection, PHASE, "field_conflicts")

        steps = [_step(sources.backups(), table) for table in LARGEST_FIRST]
        for step in steps:
            ranges.plan(connection, step.name, step.table)
        # The longest first. What the next step begins with is done here too, by whoever has nothing else to do.
        ranges.run(
            connection,
            *steps,
            before=[live_indexes.build_for_logins],
            after=[partial(_suggest, sources), orders.find_ahead],
        )
        bulk_load.put_back(connection, PHASE, "field_conflicts", ahead=conflict_indexes.DEFINITIONS)
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS pg_temp.losing_cells, pg_temp.new_conflicts")
            cursor.execute("SELECT count(*) FROM field_conflicts")
            detail["rows"] = cursor.fetchone()[0]
            cursor.execute("SELECT count(*) FROM merge_suggestions")
            detail["suggestions"] = cursor.fetchone()[0]
            cursor.execute("ANALYZE field_conflicts")
            cursor.execute("ANALYZE merge_suggestions")


def _suggest(sources: Sources, connection: BaseDatabaseWrapper, stopped: threading.Event) -> None:
    """Record every pair that may be one person and is not recorded yet."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        phases.tune(cursor)
        cursor.execute(SPELLINGS.format(users=sources.table("users")))
        cursor.execute("ANALYZE spelling")
        for statement in (SUGGEST_GUESTS, SUGGEST_LOGINS):
            cursor.execute(statement)


def _step(backups: Sources, table: Table) -> ranges.Step:
    """What lost in one table."""

    def prepare(cursor: CursorWrapper, stretch: ranges.Stretch) -> None:
        make_work_tables(cursor, backups, table, stretch.holds())

    def work(cursor: CursorWrapper, stretch: ranges.Stretch, turn: int) -> int:
        cursor.execute(insert_conflicts(stretch.holds(sql.SQL("l.place"))))
        return cursor.rowcount

    return ranges.Step(f"{PHASE}:{table}", f"backup_{table}", work, prepare, whole=True)


def forget(connection: BaseDatabaseWrapper) -> None:
    """Take away what `record` wrote and built."""
    live_indexes.drop(connection)
    orders.forget_ahead(connection)
    locks.execute(connection, "TRUNCATE merge_suggestions, field_conflicts")
    phases.forget(connection, PHASE, *(f"{PHASE}:{table}" for table in Table))
