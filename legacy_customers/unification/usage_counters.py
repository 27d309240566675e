"""Counters of the server that tell of readers: sessions that read customers_view, scans of the old tables, statements.

Each is kept as it was last seen (legacy_usage_counters); what it has grown by since is a use between then and now. A counter
that is smaller than it was has been reset, and counts from nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import ProgrammingError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import errors, sql

from .field_map import Table
from .rollback import is_synced
from .sources import existing_tables

VIEW, SCANS, STATEMENTS = "function in the view", "scans of the table", "pg_stat_statements"
TABLES = tuple(str(table) for table in Table if table is not Table.USERS)
SOMEBODY, OTHERS = "(role unknown)", "(another role)"


@dataclass(frozen=True)
class Counter:
    """A count at this moment, of one reader or of all."""

    source: str
    shape: str
    who: str
    value: int


# --- the domain in the view -----------------------------------------------------------------------------------------

# So many roles are told apart; the others are one.
ROLES = 40
ROLE_NAMES = """
SELECT rolname FROM pg_roles WHERE rolcanlogin AND has_schema_privilege(oid, current_schema(), 'USAGE') ORDER BY oid LIMIT %s
"""
# One for each role, called by the one below.
COUNTER = sql.SQL(
    "CREATE OR REPLACE FUNCTION {name}() RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL SAFE AS 'BEGIN RETURN true; END';"
    " COMMENT ON FUNCTION {name}() IS {role}"
)
# IMMUTABLE although it is not: so PostgreSQL calls it when it looks up the domain below. It counts in every session, read-only
# ones too, where the role may set what the server counts; else where the session's own track_functions says so. With its
# owner's rights, and under the reader's search_path, so each name is qualified.
ASKED = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_view_read() RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY DEFINER {always} AS $$
BEGIN
    IF pg_catalog.current_setting('unification.ours', true) OPERATOR(pg_catalog.=) 'on' THEN
        RETURN true;
    END IF;
    {roles}RETURN {others}();
END
$$;
GRANT EXECUTE ON FUNCTION unification_view_read() TO PUBLIC
"""
)
# A function in the view would be called for every plan, which makes it 3 to 6 % dearer. A domain's constraint is looked up by a
# session when it first plans a read of the view, and again when a constraint of the database has changed; that is when its
# constants are folded, and the function is called. Of the condition nothing is left in the plan, which is that of the bare view.
DOMAIN = """
DROP DOMAIN IF EXISTS unification_view_use;
CREATE DOMAIN unification_view_use AS boolean CONSTRAINT asked CHECK (unification_view_read())
"""
CONDITION = sql.SQL(" WHERE true::unification_view_use OR true")
ALWAYS = sql.SQL("SET track_functions = 'pl'")
OURS = "SELECT set_config('unification.ours', 'on', true)"
VIEW_IS = """
SELECT trim(trailing ';' FROM pg_get_viewdef(oid)), array_to_string(reloptions, ', '),
    coalesce(to_regproc('unification_view_read')::oid = ANY(uses) OR to_regtype('unification_view_use')::oid = ANY(uses), false),
    coalesce(to_regtype('unification_view_use')::oid = ANY(uses), false),
    pg_has_role(relowner, 'USAGE')
FROM pg_class AS c, LATERAL (SELECT array_agg(d.refobjid) AS uses FROM pg_rewrite AS r
    JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid WHERE r.ev_class = c.oid) AS depends
WHERE oid = to_regclass('customers_view') AND relkind = 'v'
"""
NUMBERS = """
SELECT obj_description(oid, 'pg_proc'), split_part(proname, 'unification_view_read_', 2)::integer FROM pg_proc
WHERE proname LIKE 'unification\\_view\\_read\\_%' AND pronamespace = current_schema()::regnamespace
"""
CALLS = """
SELECT obj_description(p.oid, 'pg_proc'), coalesce(s.calls, 0),
    (SELECT proconfig IS NOT NULL FROM pg_proc WHERE oid = to_regproc('unification_view_read'))
FROM pg_proc AS p LEFT JOIN pg_stat_user_functions AS s ON s.funcid = p.oid
WHERE p.proname LIKE 'unification\\_view\\_read\\_%' AND p.pronamespace = current_schema()::regnamespace
"""


def count_view(connection: BaseDatabaseWrapper) -> None:
    """Let customers_view count its readers by role; new roles are told apart from now on, and a view made anew counts again.

    Nothing happens where the view is somebody else's.
    Locks: ACCESS EXCLUSIVE on the view, for an instant.
    """
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(VIEW_IS)
        if (found := cursor.fetchone()) is None:
            return
        definition, options, counts, is_current, is_ours = found
        if not is_ours:
            return
        cursor.execute(ROLE_NAMES, [ROLES])
        roles = [name for (name,) in cursor.fetchall()]
        cursor.execute(NUMBERS)
        numbers: dict[str, int] = dict(cursor.fetchall()) or {OTHERS: 0}
        if is_current and set(roles) <= numbers.keys():
            return
        # A function that has counted for one role never counts for another.
        for role in roles:
            numbers.setdefault(role, len(numbers))
        try:
            with transaction.atomic(using=connection.alias):
                _make_counters(cursor, numbers, ALWAYS)
        except ProgrammingError as error:
            if not isinstance(error.__cause__, errors.InsufficientPrivilege):
                raise
            _make_counters(cursor, numbers, sql.SQL(""))
        if not is_current:
            cursor.execute(DOMAIN)
            cursor.execute(_view(definition.rpartition("WHERE")[0] if counts else definition, options, CONDITION))
            cursor.execute("DROP FUNCTION IF EXISTS unification_view_reader()")


def _make_counters(cursor: CursorWrapper, numbers: dict[str, int], always: sql.SQL) -> None:
    cursor.execute("SELECT current_schema()")
    schema = cursor.fetchone()[0]
    names = {role: sql.Identifier(schema, f"unification_view_read_{number}") for role, number in numbers.items()}
    for role, name in names.items():
        cursor.execute(COUNTER.format(name=name, role=sql.Literal(role)))
    choices = [
        sql.SQL("IF session_user OPERATOR(pg_catalog.=) {} THEN\n        RETURN {}();\n    END IF;\n    ").format(
            sql.Literal(role), name
        )
        for role, name in names.items()
        if role != OTHERS
    ]
    cursor.execute(ASKED.format(always=always, roles=sql.SQL("").join(choices), others=names[OTHERS]))


# A privilege that its owner has anyway: whoever has a plan of the view plans anew. A name: whoever has looked up the domain's
# constraint does it anew. Nobody waits for either.
AGAIN = """
SELECT format('GRANT SELECT ON customers_view TO %I', r.rolname),
    format('ALTER DOMAIN unification_view_use RENAME CONSTRAINT %I TO %I', k.conname,
        CASE k.conname WHEN 'asked' THEN 'asked_again' ELSE 'asked' END)
FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner
JOIN pg_type AS t ON t.oid = to_regtype('unification_view_use') JOIN pg_constraint AS k ON k.contypid = t.oid
WHERE c.oid = to_regclass('customers_view') AND pg_has_role(r.oid, 'USAGE') AND pg_has_role(t.typowner, 'USAGE')
"""


def count_again(cursor: CursorWrapper) -> bool:
    """Let every session count once more, from the end of the transaction on; False where this role does not own the view."""
    cursor.execute(AGAIN)
    if (statements := cursor.fetchone()) is None:
        return False
    for statement in statements:
        cursor.execute(statement)
    return True


def _view(definition: str, options: str | None, where: sql.SQL) -> sql.Composed:
    return sql.SQL("CREATE OR REPLACE VIEW customers_view{options} AS{definition}{where}").format(
        options=sql.SQL(f" WITH ({options})" if options else ""), definition=sql.SQL(definition), where=where
    )


def stop_counting(connection: BaseDatabaseWrapper) -> None:
    """Give the view back as it was, and drop the functions."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(VIEW_IS)
        if (found := cursor.fetchone()) and found[2]:
            before, _, _ = found[0].rpartition("WHERE")
            cursor.execute(_view(before, found[1], sql.SQL("")))
        cursor.execute("DROP DOMAIN IF EXISTS unification_view_use")
        cursor.execute("DROP FUNCTION IF EXISTS unification_view_read(), unification_view_reader()")
        cursor.execute(
            "SELECT proname FROM pg_proc WHERE proname LIKE 'unification\\_view\\_read\\_%'"
            " AND pronamespace = current_schema()::regnamespace"
        )
        for (name,) in cursor.fetchall():
            cursor.execute(sql.SQL("DROP FUNCTION {}()").format(sql.Identifier(name)))


# --- all of them ----------------------------------------------------------------------------------------------------

# A dump reads every table once: as often as the backup of a table is scanned, a scan of the table is taken off.
TABLE_SCANS = """
SELECT t.relname, coalesce(t.seq_scan, 0), coalesce(t.idx_scan, 0), coalesce(b.seq_scan, 0)
FROM pg_stat_user_tables AS t
LEFT JOIN pg_stat_user_tables AS b ON b.schemaname = t.schemaname AND b.relname = 'backup_' || t.relname
WHERE t.relname = ANY(%s) AND pg_table_is_visible(t.relid)
"""
# Statements that name the view, without ours. Their text is kept for a while, their roles are exact.
TEXTS = """
SELECT coalesce(r.rolname, 'role ' || s.userid), sum(s.calls)::bigint FROM pg_stat_statements AS s
LEFT JOIN pg_roles AS r ON r.oid = s.userid
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND s.query ~* '\\mcustomers_view\\M' AND s.query !~* '^\\s*(create|alter|drop|comment|grant|revoke|lock|explain)\\M'
    AND s.query NOT LIKE '%%hash_record_extended(v%%' AND s.query NOT LIKE '%%pg_rewrite%%'
GROUP BY 1
"""


def read(connection: BaseDatabaseWrapper) -> Iterator[Counter]:
    """Every counter as it stands. While the sync is on, its own reads of the old tables hide others'."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(VIEW_IS)
        if (found := cursor.fetchone()) and found[2]:
            cursor.execute(CALLS)
            for who, calls, always in cursor.fetchall():
                if always or _tracks(cursor):
                    yield Counter(VIEW, "customers_view", who, calls)
            if _has_statements(connection, cursor):
                cursor.execute(TEXTS)
                for who, calls in cursor.fetchall():
                    yield Counter(STATEMENTS, "customers_view", who, calls)
        if not is_synced(connection) and "backup_users" in existing_tables(connection):
            cursor.execute(TABLE_SCANS, [list(TABLES)])
            for table, scans, by_index, of_backup in cursor.fetchall():
                yield Counter(SCANS, table, SOMEBODY, scans - of_backup + by_index)


def _tracks(cursor: CursorWrapper) -> bool:
    cursor.execute("SELECT current_setting('track_functions') <> 'none'")
    return bool(cursor.fetchone()[0])


def _has_statements(connection: BaseDatabaseWrapper, cursor: CursorWrapper) -> bool:
    """Whether pg_stat_statements is there, loaded, and to be read by this role."""
    cursor.execute(
        "SELECT to_regclass('pg_stat_statements') IS NOT NULL AND current_setting('shared_preload_libraries', true)"
        " LIKE '%pg_stat_statements%' AND pg_has_role('pg_read_all_stats', 'USAGE')"
    )
    return bool(cursor.fetchone()[0])
