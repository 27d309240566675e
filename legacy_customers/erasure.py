"""What the old world holds on a person: added to an export, and emptied by an erasure, in its tables and backups alike.

A backup is written here and nowhere else: with its guard off for this transaction, the same neutral values as in the live
table, and the recorded hash changed by exactly the rows that changed. The verification finds both as they should be.
"""

import json
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import ProgrammingError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.dispatch import receiver
from psycopg import errors, sql

from config.api.problems import conflict
from profiles.services.privacy import person_erased, person_exported

from .unification import backup, phases
from .unification.field_map import Table
from .unification.sources import BACKUP_KEYS, LEGACY_TABLES, columns_of, existing_tables

NOW = "now() AT TIME ZONE 'UTC'"
# Keys, sales figures and what belongs to nobody.
KEPT: dict[str, frozenset[str]] = {
    "users": frozenset({"id", "role", "tenant_id", "profile_id", "created_at"}),
    "customers": frozenset(
        {"id", "user_id", "loyalty_points", "total_spent", "order_count", "last_order_date", "created_at"}
    ),
    "customer_profiles": frozenset({"customer_id", "interaction_count", "created_at"}),
    "user_profiles": frozenset({"id", "interaction_count", "created_at"}),
}
# What the others become, where NULL would not do: the column's default, or the blank that the rules take for nothing said.
# A login's address is unique and NOT NULL in the old shape. Every other column, a shop's own too, becomes NULL.
FALSE = ("marketing_consent", "sms_consent", "is_active", "is_verified")
NEUTRAL: dict[str, dict[str, str]] = {
    "users": {
        "email": "concat('erased-', id, '@invalid')",
        **dict.fromkeys(("active", "email_verified", "phone_verified", "age_verified", "terms_accepted"), "false"),
        "marketing_consent": "false",
        "updated_at": NOW,
    },
    "customers": {
        "email": "''",
        "country": "'USA'",
        "customer_type": "'regular'",
        "tags": "'[]'",
        **dict.fromkeys(FALSE, "false"),
        "updated_at": NOW,
    },
    "customer_profiles": {"preferences": "'{}'", "purchase_history": "'[]'", "updated_at": NOW},
    "user_profiles": {
        "session_id": "concat('erased-', id)",
        "preferences": "'{}'",
        **dict.fromkeys(("needs", "medical_conditions", "preferred_categories", "preferred_effects"), "'[]'"),
        "purchase_history": "'[]'",
        "updated_at": NOW,
    },
}
ORDER_COLUMNS = ("delivery_address", "special_instructions", "cart_session_id")
# Columns of the model that the old table lacked: the erasure of the login has written them.
WRITTEN_BY_PROFILES = ("password_hash", "last_login")

# The keys of a person's rows, by table. Rows since the take-over have no identity yet: they are found as the rules would.
# Sessions that were archived are the person's where they carry the address, and no other account has it.
KEYS: dict[str, sql.SQL] = {
    "customers": sql.SQL("""
        SELECT customer_id::text FROM legacy_identities WHERE user_id = ANY(%(users)s)
        UNION SELECT id::text FROM {customers} WHERE user_id = ANY(%(users)s) OR id = ANY(%(profiles)s)"""),
    "customer_profiles": sql.SQL("""
        SELECT key FROM legacy_attachments WHERE source = 'customer_profiles' AND user_id = ANY(%(users)s)
        UNION SELECT key FROM legacy_attachments WHERE source = 'customer_profiles' AND user_id IS NULL
            AND lower(translate(key, '{{}}-', '')) IN (
                SELECT replace(id::text, '-', '') FROM unnest(%(customers)s::uuid[] || %(profiles)s::uuid[]) AS id)"""),
    "user_profiles": sql.SQL("""
        SELECT key FROM legacy_attachments WHERE source = 'user_profiles' AND user_id = ANY(%(users)s)
        UNION SELECT p.id::text FROM {user_profiles} AS p
        LEFT JOIN legacy_attachments AS a ON a.source = 'user_profiles' AND a.key = p.id::text
        WHERE a.user_id IS NULL AND unification_email(p.email) = ANY(%(emails)s) AND NOT EXISTS (
            SELECT FROM users AS u WHERE unification_email(u.email) = unification_email(p.email)
                AND u.id <> ALL(%(users)s::uuid[]))
        UNION SELECT p.id::text FROM {user_profiles} AS p
        WHERE p.session_id = ANY(%(sessions)s) AND NOT EXISTS (
            SELECT FROM legacy_attachments AS a WHERE a.source = 'user_profiles' AND a.key = p.id::text)"""),
}


# Rows that the old application deleted are kept, and so are told.
DELETED = sql.SQL(
    """
SELECT coalesce(jsonb_agg(jsonb_build_object('table', d.source, 'deleted_at', d.deleted_at,
    'row', d.row - %(hidden)s::text[]) ORDER BY d.id), '[]')::text
FROM legacy_deletions AS d WHERE {}"""
).format(
    sql.SQL(" OR ").join(
        sql.SQL("d.source = {} AND d.key = ANY({}::text[])").format(sql.Literal(table), sql.Placeholder(table))
        for table in LEGACY_TABLES
    )
)


@receiver(person_exported)
def export_legacy_rows(
    user_ids: list[uuid.UUID], profile_ids: list[uuid.UUID], hidden: list[str], using: str, **kwargs: Any
) -> dict[str, str] | None:
    """The person's rows in the old tables and in their backups, by table, and those that were deleted."""
    connection = connections[using]
    tables = existing_tables(connection)
    if not _is_held(tables):
        return None
    parts = []
    with connection.cursor() as cursor:
        keys = _keys(connection, cursor, user_ids, profile_ids, _emails(cursor, profile_ids))
        cursor.execute("SELECT id::text FROM orders WHERE user_id = ANY(%s)", [user_ids])
        keys["orders"] = [row[0] for row in cursor.fetchall()]
        for relation in (*map(str, Table), *(f"backup_{table}" for table in LEGACY_TABLES)):
            if relation not in tables:
                continue
            table = relation.removeprefix("backup_")
            cursor.execute(
                sql.SQL(
                    "SELECT coalesce(jsonb_agg(to_jsonb(l) - 'password_hash' - %s::text[] ORDER BY l.{}), '[]')::text"
                    " FROM {} AS l WHERE {}"
                ).format(sql.Identifier(BACKUP_KEYS[table]), sql.Identifier(relation), _among(connection, table, "l")),
                [hidden, keys[table]],
            )
            parts.append(f"{json.dumps(relation)}:{cursor.fetchone()[0]}")
        cursor.execute(
            DELETED, {"hidden": ["password_hash", *hidden], **{table: keys[table] for table in LEGACY_TABLES}}
        )
        parts.append(f'"deleted":{cursor.fetchone()[0]}')
    return {"legacy": "{" + ",".join(parts) + "}"}


@receiver(person_erased)
def erase_legacy_rows(
    user_ids: list[uuid.UUID],
    profile_ids: list[uuid.UUID],
    order_ids: list[uuid.UUID],
    emails: list[str],
    using: str,
    **kwargs: Any,
) -> dict[str, int] | None:
    """Empty the person's rows in the old tables and in their backups; sales figures stay.

    Problem 409 (backups_not_owned): the application's role may not write to the backups.
    """
    connection = connections[using]
    tables = existing_tables(connection)
    if not _is_held(tables):
        return None
    counts: dict[str, int] = {}
    with connection.cursor() as cursor:
        # The profile was emptied before; what is written here is no news to it.
        cursor.execute("SELECT set_config('unification.sync', 'on', true)")
        # One erasure after the other: each changes the recorded hashes.
        cursor.execute("SELECT FROM unification_phases WHERE name = %s FOR UPDATE", [backup.PHASE])
        keys = _keys(connection, cursor, user_ids, profile_ids, emails)
        keys["orders"] = [*map(str, order_ids), *_orders_of_guests(cursor, keys["customers"])]
        for table in filter(tables.__contains__, Table):
            counts[str(table)] = _empty(connection, cursor, str(table), str(table), keys[str(table)])
        _empty_orders(connection, cursor, "orders", keys["orders"])
        try:
            _empty_backups(connection, cursor, tables, keys, counts)
        except ProgrammingError as error:
            if not isinstance(error.__cause__, errors.InsufficientPrivilege):
                raise
            raise conflict(
                "backups_not_owned",
                "The backups of the old tables hold this person's data, and only the role that ran migrate may write to "
                "them. Nothing was erased; erase with that role, or make the application's role a member of it.",
            ) from error
        _agree(connection, cursor, user_ids, tables)
        counts["legacy_deletions"] = sum(_empty_deleted(cursor, name, keys[name]) for name in LEGACY_TABLES)
        _sign_rows(connection, cursor, keys)
        cursor.execute("SELECT set_config('unification.sync', '', true)")
    return counts


def _is_held(tables: set[str]) -> bool:
    """Whether there are rows of the old world, in their tables or in the backups that outlive those."""
    return "legacy_identities" in tables and not {"customers", "backup_customers"}.isdisjoint(tables)


def _relations(connection: BaseDatabaseWrapper) -> dict[str, sql.Identifier]:
    """Where each old table's rows are read: in it or, when the contract phase has dropped it, in its backup."""
    tables = existing_tables(connection)
    return {table: sql.Identifier(table if table in tables else f"backup_{table}") for table in LEGACY_TABLES}


def _emails(cursor: CursorWrapper, profile_ids: list[uuid.UUID]) -> list[str]:
    cursor.execute(
        "SELECT DISTINCT e.email FROM profiles AS p JOIN users AS u ON u.id = p.user_id"
        " CROSS JOIN LATERAL (VALUES (unification_email(u.email)), (unification_email(p.contact_email))) AS e (email)"
        " WHERE p.id = ANY(%s) AND e.email <> ''",
        [profile_ids],
    )
    return [row[0] for row in cursor.fetchall()]


def _keys(
    connection: BaseDatabaseWrapper,
    cursor: CursorWrapper,
    user_ids: list[uuid.UUID],
    profile_ids: list[uuid.UUID],
    emails: Iterable[str],
) -> dict[str, list[str]]:
    """The keys of the person's rows, as text, by table; the same in the backups."""
    relations = _relations(connection)
    params: dict[str, Any] = {"users": user_ids, "profiles": profile_ids}
    cursor.execute(
        "SELECT array_agg(DISTINCT session_id) FROM users WHERE id = ANY(%s) AND btrim(session_id) <> ''", [user_ids]
    )
    params["sessions"] = cursor.fetchone()[0] or []
    found: dict[str, list[str]] = {"users": [str(user_id) for user_id in user_ids]}
    for table, statement in KEYS.items():
        if table == "user_profiles":
            # The addresses of the person's old rows are the person's too.
            cursor.execute(
                sql.SQL(
                    "SELECT DISTINCT unification_email(e) FROM (SELECT unnest(%s::text[]) UNION"
                    " SELECT email FROM {customers} WHERE id = ANY(%s::uuid[])) AS known (e)"
                    " WHERE unification_text(e) <> ''"
                ).format(**relations),
                [list(emails), found["customers"]],
            )
            params["emails"] = [row[0] for row in cursor.fetchall()]
        cursor.execute(statement.format(**relations), params)
        found[table] = params[table] = [row[0] for row in cursor.fetchall()]
    return found


def _orders_of_guests(cursor: CursorWrapper, customer_ids: list[str]) -> list[str]:
    """Orders that the old application wrote since, and that name a customers row alone."""
    cursor.execute(
        "SELECT id::text FROM orders WHERE user_id IS NULL AND customer_id = ANY(%s::uuid[])", [customer_ids]
    )
    return [row[0] for row in cursor.fetchall()]


def _assignments(connection: BaseDatabaseWrapper, table: str, relation: str) -> sql.Composed:
    """`column = neutral value` for each column, of the old table as it was found, that may say something about a person."""
    there = columns_of(connection, relation)
    required = _required(connection, table)
    parts = []
    for name in columns_of(connection, f"backup_{table}") or columns_of(connection, table):
        value = NEUTRAL[table].get(name)
        if name not in there or name in KEPT[table] or (table == "users" and name in WRITTEN_BY_PROFILES):
            continue
        if value is None and name in required:
            continue  # a shop's own column that must hold something, and nobody knows what
        parts.append(sql.SQL("{} = {}").format(sql.Identifier(name), sql.SQL(value or "NULL")))
    return sql.SQL(", ").join(parts)


def _required(connection: BaseDatabaseWrapper, table: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND attnotnull",
            [f'"{table}"'],
        )
        return {row[0] for row in cursor.fetchall()}


def _among(connection: BaseDatabaseWrapper, table: str, alias: str | None = None) -> sql.Composed:
    """Condition: the row's key is one of a list of texts; in the key's own type, so that its index is used."""
    key = BACKUP_KEYS[table]
    kind = columns_of(connection, table).get(key) or columns_of(connection, f"backup_{table}")[key]
    return sql.SQL("{} = ANY(%s::{}[])").format(
        sql.Identifier(alias, key) if alias else sql.Identifier(key), sql.SQL(kind)
    )


def _empty(
    connection: BaseDatabaseWrapper, cursor: CursorWrapper, table: str, relation: str, keys: Sequence[str]
) -> int:
    """Empty the rows of a live table, or of its backup. A login that never was in the old world keeps no address at all."""
    condition: sql.Composable = _among(connection, table)
    if table == relation == Table.USERS:
        condition += sql.SQL(" AND id IN (SELECT id FROM backup_users)")
    cursor.execute(
        sql.SQL("UPDATE {} SET {} WHERE {}").format(
            sql.Identifier(relation), _assignments(connection, table, relation), condition
        ),
        [list(keys)],
    )
    return cursor.rowcount


def _empty_orders(connection: BaseDatabaseWrapper, cursor: CursorWrapper, relation: str, keys: list[str]) -> int:
    names = [name for name in ORDER_COLUMNS if name in columns_of(connection, relation)]
    cursor.execute("SELECT set_config('unified.keep_dates', 'on', true)")
    cursor.execute(
        sql.SQL("UPDATE {} SET {} WHERE {}").format(
            sql.Identifier(relation),
            sql.SQL(", ").join(sql.SQL("{} = NULL").format(sql.Identifier(name)) for name in names),
            _among(connection, "orders"),
        ),
        [keys],
    )
    rows = cursor.rowcount
    cursor.execute("SELECT set_config('unified.keep_dates', 'off', true)")
    return rows


def _empty_backups(
    connection: BaseDatabaseWrapper,
    cursor: CursorWrapper,
    tables: set[str],
    keys: dict[str, list[str]],
    counts: dict[str, int],
) -> None:
    recorded = phases.detail_of(connection, backup.PHASE).get("tables", {})
    for table in LEGACY_TABLES:
        relation = f"backup_{table}"
        if relation not in tables or not keys[table]:
            continue
        before = _hash(connection, cursor, table, keys[table])
        guard = _guard(cursor, relation)
        _set_guard(cursor, relation, guard, "DISABLE TRIGGER")
        if table == "orders":
            counts[relation] = _empty_orders(connection, cursor, relation, keys[table])
        else:
            counts[relation] = _empty(connection, cursor, table, relation, keys[table])
            _copy_dates(connection, cursor, table, keys[table])
        _set_guard(cursor, relation, guard, "ENABLE ALWAYS TRIGGER" if guard == "A" else "ENABLE TRIGGER")
        if "hash" in recorded.get(table, {}):
            after = _hash(connection, cursor, table, keys[table])
            recorded[table]["hash"] = str(int(recorded[table]["hash"]) - before + after)
    phases.note(connection, backup.PHASE, tables=recorded)


def _guard(cursor: CursorWrapper, relation: str) -> str | None:
    """How the trigger that refuses every write is switched on; None where it is missing or off already."""
    cursor.execute(
        "SELECT tgenabled FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND tgname = 'unification_never_written'",
        [f'"{relation}"'],
    )
    found = cursor.fetchone()
    return found[0] if found and found[0] in ("O", "A") else None


def _set_guard(cursor: CursorWrapper, relation: str, guard: str | None, how: str) -> None:
    if guard is not None:
        cursor.execute(
            sql.SQL("ALTER TABLE {} {} unification_never_written").format(sql.Identifier(relation), sql.SQL(how))
        )


def _copy_dates(connection: BaseDatabaseWrapper, cursor: CursorWrapper, table: str, keys: list[str]) -> None:
    """A trigger may have dated the live row otherwise; and a login's empty password is the live one, at random."""
    names = {"updated_at", *(WRITTEN_BY_PROFILES if table == "users" else ())}
    shared = names & columns_of(connection, table).keys() & columns_of(connection, f"backup_{table}").keys()
    if not shared:
        return
    key = sql.Identifier(BACKUP_KEYS[table])
    cursor.execute(
        sql.SQL("UPDATE {} AS b SET {} FROM {} AS l WHERE l.{} = b.{} AND {}").format(
            sql.Identifier(f"backup_{table}"),
            sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(name), sql.Identifier("l", name)) for name in sorted(shared)
            ),
            sql.Identifier(table),
            key,
            key,
            _among(connection, table, "b"),
        ),
        [keys],
    )


def _hash(connection: BaseDatabaseWrapper, cursor: CursorWrapper, table: str, keys: list[str]) -> int:
    """The part of the backup's hash that these rows make."""
    relation = f"backup_{table}"
    cursor.execute(
        sql.SQL("SELECT coalesce(sum({}), 0)::text FROM {} AS src WHERE {}").format(
            backup.row_hash(columns_of(connection, relation)),
            sql.Identifier(relation),
            _among(connection, table, "src"),
        ),
        [keys],
    )
    return int(cursor.fetchone()[0])


def _empty_deleted(cursor: CursorWrapper, table: str, keys: Sequence[str]) -> int:
    """Of a row that the old application deleted only its keys and sales figures stay."""
    kept = [*KEPT.get(table, ()), *(() if table in KEPT else ("id", "user_id", "customer_id", "total_amount"))]
    cursor.execute(
        "UPDATE legacy_deletions SET row = (SELECT coalesce(jsonb_object_agg(c.key, c.value), '{}')"
        " FROM jsonb_each(row) AS c WHERE c.key = ANY(%s)) WHERE source = %s AND key = ANY(%s)",
        [kept, table, list(keys)],
    )
    return cursor.rowcount


def _sign_rows(connection: BaseDatabaseWrapper, cursor: CursorWrapper, keys: dict[str, list[str]]) -> None:
    """Note how the emptied rows look now, as the sync notes every write; not where it is not on."""
    cursor.execute("SELECT to_regproc('unification_sync_settle') IS NOT NULL")
    if not cursor.fetchone()[0]:
        return
    for table in Table:
        cursor.execute(
            sql.SQL("SELECT count(unification_sync_wrote(l, true)) FROM {} AS l WHERE {}").format(
                sql.Identifier(table), _among(connection, table, "l")
            ),
            [keys[table]],
        )


# What the rules make of emptied rows: a separate guest's address is the profile's as it was, now blank; a profile was
# updated when the last of its rows was.
BLANK_CONTACT = """
UPDATE profiles AS p SET contact_email = ''
FROM legacy_identities AS i
WHERE i.user_id = p.user_id AND i.position = 1 AND i."case" = 'separate' AND p.user_id = ANY(%s)
"""
LATEST = sql.SQL(
    """
UPDATE profiles AS p SET updated_at = x.latest
FROM (
    SELECT user_id, max(updated_at) AT TIME ZONE 'UTC' AS latest FROM (
        SELECT i.user_id, c.updated_at FROM legacy_identities AS i JOIN {customers} AS c ON c.id = i.customer_id
        UNION ALL SELECT u.id, u.updated_at FROM users AS u JOIN backup_users AS b ON b.id = u.id
    ) AS rows WHERE user_id = ANY(%s) GROUP BY user_id
) AS x
WHERE x.user_id = p.user_id AND p.updated_at < x.latest
"""
)


def _agree(connection: BaseDatabaseWrapper, cursor: CursorWrapper, user_ids: list[uuid.UUID], tables: set[str]) -> None:
    """Leave the profile as the rules would make it of the emptied rows."""
    cursor.execute(BLANK_CONTACT, [user_ids])
    if "backup_users" in tables:
        cursor.execute(LATEST.format(**_relations(connection)), [user_ids])
