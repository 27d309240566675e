"""What the operator should know before a take-over: about the server and what is attached to the tables.

What the rows themselves give reason to say is in rows.py.
"""

from collections.abc import Callable, Iterator
from typing import Any

from ..old_trigger import FUNCTION, NAME
from .found import COLUMNS, INSERTED, Caution, Found

LONG = "10 seconds"
# Connections that a take-over uses: its own, its workers', and the one that watches the locks.
CONNECTIONS = 4


def _named(code: str, problem: str, way_out: str, names: list[str]) -> Iterator[Caution]:
    if names:
        yield Caution(code, f"{problem}.", way_out, tuple(names))


def open_for_long(rows: Callable[..., list[tuple[Any, ...]]]) -> list[str]:
    """Transactions that are open for more than LONG, each with who and since when; `rows` gives what a query finds."""
    return [
        row[0]
        for row in rows(
            "SELECT format('pid %%s (%%s) since %%s', a.pid, concat_ws(', ', a.usename, nullif(a.application_name, ''),"
            " a.state), date_trunc('second', a.xact_start)) FROM pg_stat_activity AS a"
            " WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()"
            " AND a.xact_start < clock_timestamp() - %s::interval ORDER BY a.xact_start",
            LONG,
        )
    ] + [
        row[0]
        for row in rows(
            "SELECT format('prepared transaction %%s (%%s) since %%s', gid, owner, date_trunc('second', prepared))"
            " FROM pg_prepared_xacts WHERE database = current_database()"
            " AND prepared < clock_timestamp() - %s::interval ORDER BY prepared",
            LONG,
        )
    ]


def long_transactions(found: Found) -> Iterator[Caution]:
    """Whoever holds one table for long makes each step that needs it wait."""
    told = open_for_long(found.rows)
    yield from _named(
        "W001",
        f"Transactions are open for more than {LONG}",
        "Wait for them to end, or end them (pg_terminate_backend; ROLLBACK PREPARED): a step that needs their tables waits,"
        " and gives up after UNIFICATION_LOCK_PATIENCE_S.",
        told,
    )
    [(role, unseen)] = found.rows(
        "SELECT current_user, count(DISTINCT l.pid) FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid"
        " WHERE a.datname = current_database() AND a.xact_start IS NULL AND a.backend_type IS NULL"
    )
    if unseen:
        yield Caution(
            "W001",
            f"Of {unseen} sessions of other roles, role {role} may not see how long they have been in a transaction.",
            f"GRANT pg_read_all_stats TO {role}, and run this again.",
        )


def views(found: Found) -> Iterator[Caution]:
    """Views on the legacy tables, the shop's own."""
    yield from _named(
        "W002",
        "Views read the legacy tables",
        "None now: they go on working. Before the contract phase let them read customers_view and profiles.",
        [
            row[0]
            for row in found.rows(
                "SELECT DISTINCT format('%%s on %%s', v.oid::regclass, t.relname) FROM pg_depend AS d"
                " JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid"
                " JOIN pg_class AS v ON v.oid = r.ev_class JOIN pg_class AS t ON t.oid = d.refobjid"
                " WHERE d.refclassid = 'pg_class'::regclass AND t.oid = ANY(%s::regclass[]) AND v.oid <> t.oid"
                " AND v.relname <> 'customers_view' AND v.relname NOT LIKE 'protection\\_of\\_%%' ORDER BY 1",
                found.regclasses,
            )
        ],
    )


def foreign_keys(found: Found) -> Iterator[Caution]:
    """Foreign keys of tables that are not ours."""
    ours = set(found.connection.introspection.django_table_names())
    yield from _named(
        "W003",
        "Foreign keys of other tables lead to the legacy tables",
        "None now: they stay. Before the contract phase let those to customers lead to profiles.",
        [
            f"{name} of {table} to {target}"
            for table, name, target in found.rows(
                "SELECT c.relname, k.conname, t.relname FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid"
                " JOIN pg_class AS t ON t.oid = k.confrelid WHERE k.contype = 'f'"
                " AND t.oid = ANY(%s::regclass[]) AND NOT c.oid = ANY(%s::regclass[]) ORDER BY 1, 2",
                found.regclasses,
                found.regclasses,
            )
            if not (found.before and table in ours)
        ],
    )


def triggers(found: Found) -> Iterator[Caution]:
    """Triggers and rules on the legacy tables but those of the old application that we know."""
    named = found.rows(
        "SELECT c.relname, t.tgname, 'trigger' FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid"
        " JOIN pg_proc AS p ON p.oid = t.tgfoid WHERE c.oid = ANY(%s::regclass[]) AND NOT t.tgisinternal"
        " AND NOT p.proname = ANY(%s) AND t.tgname <> %s"
        " UNION ALL SELECT c.relname, r.rulename, 'rule' FROM pg_rewrite AS r JOIN pg_class AS c ON c.oid = r.ev_class"
        " WHERE c.oid = ANY(%s::regclass[]) ORDER BY 1, 2",
        found.regclasses,
        [FUNCTION, "update_updated_at_column"],
        NAME,
        found.regclasses,
    )
    yield from _named(
        "W004",
        "Triggers or rules of your own are on the legacy tables",
        "Read what they do: they stay, and fire for the rows that the take-over writes (users of guests, orders' user_id).",
        [
            f"{kind} {name} on {table}"
            for table, name, kind in named
            if not found.before or name in found.before[table]["triggers"]
        ],
    )


def extra_columns(found: Found) -> Iterator[Caution]:
    """Columns that no rule reads."""
    known = {table: set(columns) for table, columns in COLUMNS.items()}
    known["users"] |= INSERTED["users"] | {"profile_id"}
    known["orders"] |= INSERTED["orders"]
    yield from _named(
        "W005",
        "No rule reads these columns",
        "None now: they stay where they are, and do not show in customers_view.",
        [
            f"{table}.{column}"
            for table, columns in found.tables.items()
            for column in columns
            if column not in known[table] and (not found.before or column in found.before[table]["columns"])
        ],
    )


def replication(found: Found) -> Iterator[Caution]:
    """Logical replication from the tables, into them, and what holds back the log."""
    yield from _named(
        "W014",
        "Logical replication concerns the legacy tables",
        "Add the new columns on subscribers first, for no DDL is replicated; triggers do not fire for rows that a subscription"
        " writes; drop slots that nobody reads, for the take-over writes much log.",
        [
            row[0]
            for row in found.rows(
                "SELECT format('publication %%s of %%s', pubname, string_agg(tablename, ', ' ORDER BY tablename))"
                " FROM pg_publication_tables WHERE schemaname = current_schema() AND tablename = ANY(%s) GROUP BY pubname"
                " UNION ALL SELECT format('subscription into %%s', srrelid::regclass) FROM pg_subscription_rel"
                " WHERE srrelid = ANY(%s::regclass[])"
                " UNION ALL SELECT format('slot %%s (%%s)', slot_name, CASE WHEN active THEN 'read' ELSE 'nobody reads it' END)"
                " FROM pg_replication_slots WHERE slot_type = 'logical' AND database = current_database() OR NOT active"
                " ORDER BY 1",
                list(found.tables),
                found.regclasses,
            )
        ],
    )


def policies(found: Found) -> Iterator[Caution]:
    """Row level security that does not hide rows from this role."""
    yield from _named(
        "W015",
        "Row level security is on",
        "The new tables and customers_view have no such policies: who may see whom there is up to grants and the API's roles.",
        [
            row[0]
            for row in found.rows(
                "SELECT relname FROM pg_class WHERE oid = ANY(%s::regclass[]) AND relrowsecurity"
                " AND NOT row_security_active(oid) ORDER BY 1",
                found.regclasses,
            )
        ],
    )


def connections(found: Found) -> Iterator[Caution]:
    """Room for the sessions of a take-over."""
    [(free, limit)] = found.rows(
        "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
        " - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' OR backend_type IS NULL),"
        " current_setting('max_connections')"
    )
    if free < CONNECTIONS:
        yield Caution(
            "W016",
            f"Of max_connections = {limit}, {max(free, 0)} are free; a take-over uses up to {CONNECTIONS}.",
            "Raise max_connections, or make the applications' pools smaller. Without one to spare, the waits that the run"
            " causes are not measured.",
        )


def pooler(found: Found) -> Iterator[Caution]:
    """Whether a pooler is in between: it hands out process ids of its own."""
    [(server,)] = found.rows("SELECT pg_backend_pid()")
    told = found.connection.connection.info.backend_pid
    if told != server:
        yield Caution(
            "W018",
            f"A pooler is between here and the server: it says process {told}, the server says {server}.",
            "Let DATABASE_URL lead to the server itself. In transaction mode it cannot work: locks, settings and work tables"
            " belong to a session.",
        )


def trigrams(found: Found) -> Iterator[Caution]:
    """Search by any part of a name, with an index or without."""
    [(there, trusted, installed)] = found.rows(
        "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm'),"
        " EXISTS (SELECT FROM pg_available_extension_versions WHERE name = 'pg_trgm' AND (trusted"
        " AND has_database_privilege(current_database(), 'CREATE') OR current_setting('is_superuser') = 'on')),"
        " EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm')"
    )
    if not installed and not (there and trusted):
        yield Caution(
            "W019",
            "pg_trgm is not there." if not there else "pg_trgm is not installed, and this role may not install it.",
            "Search works without it, and reads every profile. Install the server's contrib package, and CREATE EXTENSION"
            " pg_trgm as a role that may.",
        )


def limits(found: Found) -> Iterator[Caution]:
    """Time limits of the server or the role that long steps would run into."""
    names = ("statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout")
    yield from _named(
        "W020",
        "Time limits apply to this role",
        "ALTER ROLE … SET each of them to 0 for the role that takes over, or give them in PGOPTIONS: steps take minutes.",
        [
            f"{name} = {value}"
            for name, value in found.rows(
                "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s) AND setting <> '0' ORDER BY 1",
                list(names),
            )
        ],
    )


def event_triggers(found: Found) -> Iterator[Caution]:
    """What fires for every table that is made or altered."""
    yield from _named(
        "W021",
        "Event triggers fire for what the take-over makes and alters",
        "Read what they do; one that refuses stops the step, and `migrate` goes on from there afterwards.",
        [
            row[0]
            for row in found.rows(
                "SELECT evtname FROM pg_event_trigger WHERE evtenabled <> 'D' AND evtname NOT LIKE 'protection\\_%' ORDER BY 1"
            )
        ],
    )


CHECKS: tuple[Callable[[Found], Iterator[Caution]], ...] = (
    long_transactions,
    views,
    foreign_keys,
    triggers,
    extra_columns,
    replication,
    policies,
    connections,
    pooler,
    trigrams,
    limits,
    event_triggers,
)
