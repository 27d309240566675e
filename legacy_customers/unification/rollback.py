"""The way back: the legacy tables as they were, plus every write made since through the new shape, proved.

The legacy tables were never written by the take-over, so what is theirs is still theirs, and as long as the sync was on they
have every write since. What profile_history says was changed while it was not on is written back; who registered then
becomes a legacy user with a customers row.
"""

from collections.abc import Iterator

from django.core.management.base import CommandError
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from . import consolidate, fingerprint, identity, old_trigger, phases, sync
from .field_map import FIELD_MAP, Field, Kind, Rule, Table
from .sources import BACKUP_KEYS, LEGACY_TABLES, Sources, columns_of, existing_tables
from .view import COLUMNS

MADE_HERE = "'new_user', 'separate'"

# What was changed since, but for what the sync has carried over: a person's first old value of each column. The primary
# customers row has the profile's id.
CHANGED = """
CREATE TEMP TABLE changed ON COMMIT DROP AS
SELECT h.profile_id, p.user_id, c.key AS field, (array_agg(c.value -> 'old' ORDER BY h.id))[1] AS first_old
FROM profile_history AS h JOIN profiles AS p ON p.id = h.profile_id
CROSS JOIN LATERAL jsonb_each(h.changes) AS c
WHERE h.id <= coalesce(%(on_from)s, h.id) OR h.id > %(on_to)s
GROUP BY h.profile_id, p.user_id, c.key
"""

# Who came since has no legacy row: each value that says something is one to write, and a sum counts from 0.
CAME_SINCE = """
CREATE TEMP TABLE came_since ON COMMIT DROP AS
SELECT p.id AS profile_id, p.user_id FROM profiles AS p
WHERE NOT EXISTS (SELECT FROM backup_users AS b WHERE b.id = p.user_id)
    AND NOT EXISTS (SELECT FROM legacy_identities AS i WHERE i.user_id = p.user_id)
"""
CHANGED_AS_NEW = """
DELETE FROM changed USING came_since AS s WHERE s.profile_id = changed.profile_id AND changed.field = ANY(%(fields)s);
INSERT INTO changed (profile_id, user_id, field, first_old)
SELECT s.profile_id, s.user_id, c.key, '0'
FROM came_since AS s JOIN profiles AS p ON p.id = s.profile_id CROSS JOIN LATERAL jsonb_each(to_jsonb(p)) AS c
WHERE c.key = ANY(%(fields)s) AND c.value NOT IN ('null', '{}', '[]', '0', '""')
"""

# Of those, who cannot log in is a guest of the legacy world, and is treated as the guests are who were there before.
GUESTS_SINCE = """
INSERT INTO legacy_identities (customer_id, user_id, "case", position)
SELECT s.profile_id, s.user_id, 'new_user', 1 FROM came_since AS s JOIN users AS u ON u.id = s.user_id
WHERE u.email IS NULL OR (u.password_hash LIKE '!%' AND u.last_login IS NULL AND u.role::text = 'customer')
ON CONFLICT (customer_id) DO NOTHING
"""

# Who has no customers row and now needs one: who came since, and who was changed since.
NEW_CUSTOMERS = sql.SQL(
    """
INSERT INTO customers ({columns})
SELECT {values}
FROM profiles AS p JOIN users AS u ON u.id = p.user_id
WHERE NOT EXISTS (SELECT FROM customers AS c WHERE c.id = p.id)
    AND NOT EXISTS (SELECT FROM backup_customers AS b WHERE b.id = p.id)
    AND NOT EXISTS (SELECT FROM legacy_identities AS i WHERE i.customer_id = p.id)
    AND (NOT EXISTS (SELECT FROM backup_users AS b WHERE b.id = p.user_id)
        OR EXISTS (SELECT FROM changed AS x WHERE x.profile_id = p.id))
"""
)


def write_back(connection: BaseDatabaseWrapper, sources: Sources) -> None:
    """Write what was made or changed in profiles since to the legacy tables, then empty the new ones.

    Errors: a value that does not fit its old column (a sum beyond integer) is refused by PostgreSQL, and nothing is done.
    """
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        made, changed = _write(connection, cursor, sources)
        for table in ("profile_history", "profile_aliases", "profiles"):
            cursor.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
        phases.forget(connection, consolidate.PHASE, sync.PHASE)
    phases.tell(f"way back: {made:,} people since became customers, {changed:,} changed profiles written back")


def rehearse(connection: BaseDatabaseWrapper, sources: Sources) -> None:
    """Write back and take it back at once: what would stop the way back stops it before anything is dropped.

    The services' own tables (the loyalty ledger, refunds, merges) go before profiles do. Errors: as `write_back`; CommandError
    naming what the old columns cannot hold.
    """
    _refuse_what_does_not_fit(connection)
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        _write(connection, cursor, sources)
        transaction.set_rollback(True, using=connection.alias)


def _refuse_what_does_not_fit(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT concat(profile_id, ': ', field, ' cannot hold ', chosen_value) FROM field_conflicts"
            " WHERE rule = 'width' AND chosen_table = 'profiles' ORDER BY 1 LIMIT 5"
        )
        if found := [row for (row,) in cursor.fetchall()]:
            raise CommandError(
                "The old tables cannot take these values back. Nothing was done.\n  profiles "
                + "\n  profiles ".join(found)
                + "\nMake each fit, or widen the old column, then run this again."
            )


def _write(connection: BaseDatabaseWrapper, cursor: CursorWrapper, sources: Sources) -> tuple[int, int]:
    """The legacy tables as they are to be; people who became customers, and profiles that had changed."""
    phases.tune(cursor)
    cursor.execute(old_trigger.MAKING_GUESTS)
    was_on = phases.detail_of(connection, sync.PHASE)
    cursor.execute(CHANGED, {"on_from": was_on.get("on_from"), "on_to": was_on.get("on_to")})
    cursor.execute(CAME_SINCE)
    cursor.execute(CHANGED_AS_NEW, {"fields": [field.column for field in FIELD_MAP if _attached(field)]})
    cursor.execute(GUESTS_SINCE)
    for statement in _write_backs(sources):
        cursor.execute(statement)
    # Last, for a new row has the values as they are, and no difference is to be added to them.
    cursor.execute(_new_customers(sources))
    made = cursor.rowcount
    cursor.execute("SELECT count(DISTINCT profile_id) FROM changed")
    return made, cursor.fetchone()[0]


def _customers_value(sources: Sources, name: str) -> sql.Composable:
    """The customers cell that a profile `p` with its login `u` would have."""
    own = {
        "id": sql.SQL("p.id"),
        "user_id": sql.SQL(
            "CASE WHEN NOT EXISTS (SELECT FROM legacy_identities AS i WHERE i.user_id = u.id AND i.\"case\" <> 'linked')"
            " THEN p.user_id END"
        ),
        "email": sql.SQL("coalesce(p.contact_email, u.email, '')"),
        "is_active": sql.SQL("u.active"),
    }
    value = own.get(name, sql.Identifier("p", name))
    kinds = {field.column: field.kind for field in FIELD_MAP}
    if kinds.get(name) is Kind.TIME:
        return sql.SQL("{} AT TIME ZONE 'UTC'").format(value)
    if name == "address" and sources.json_address:
        return sql.SQL("coalesce(unification_object({0}), to_jsonb({0}))").format(value)
    return value


def _new_customers(sources: Sources) -> sql.Composed:
    names = [name for name, _, _ in COLUMNS if name != "tenant_id"]
    return NEW_CUSTOMERS.format(
        columns=sql.SQL(", ").join(map(sql.Identifier, names)),
        values=sql.SQL(", ").join(_customers_value(sources, name) for name in names),
    )


def _write_backs(sources: Sources) -> Iterator[sql.Composed]:
    """One statement per column that has changed in some profile; sums travel as differences."""
    for field in FIELD_MAP:
        if field.rule in (Rule.LEAST, Rule.GREATEST) and field.column != "last_order_date":
            continue
        if Table.CUSTOMERS in field.sources:
            yield _to_customers(sources, field.column, field)
            if Table.USERS in field.sources:
                yield _to_users(field.column)
        elif Table.CUSTOMER_PROFILES in field.sources:
            yield from _to_attached(field, Table.CUSTOMER_PROFILES)
        else:
            yield from _to_attached(field, Table.USER_PROFILES)
    yield _to_customers(sources, "email", None, "contact_email")
    yield _to_customers(sources, "email", None, "users.email")
    yield _to_customers(sources, "is_active", None, "users.active")


def _attached(field: Field) -> bool:
    """Whether its home is a row that is attached to the person, not the customers row."""
    return Table.CUSTOMERS not in field.sources


def _to_customers(sources: Sources, column: str, field: Field | None, changed: str | None = None) -> sql.Composed:
    value = _customers_value(sources, column)
    if field is not None and field.rule is Rule.SUM:
        value = sql.SQL("coalesce(c.{0}, 0) + p.{0} - (x.first_old #>> '{{}}')::numeric").format(sql.Identifier(column))
    return sql.SQL(
        "UPDATE customers AS c SET {column} = {value} FROM changed AS x JOIN profiles AS p ON p.id = x.profile_id"
        " JOIN users AS u ON u.id = p.user_id"
        " WHERE c.id = p.id AND x.field = {field} AND c.{column} IS DISTINCT FROM {value}"
    ).format(column=sql.Identifier(column), value=value, field=sql.Literal(changed or column))


def _to_users(column: str) -> sql.Composed:
    return sql.SQL(
        "UPDATE users AS u SET {column} = p.{column} FROM changed AS x JOIN profiles AS p ON p.id = x.profile_id"
        " WHERE u.id = p.user_id AND x.field = {field} AND u.{column} IS DISTINCT FROM p.{column}"
        " AND EXISTS (SELECT FROM backup_users AS b WHERE b.id = u.id)"
    ).format(column=sql.Identifier(column), field=sql.Literal(column))


def _to_attached(field: Field, table: Table) -> Iterator[sql.Composed]:
    """To the newest attached row of the person; where there is none, to a row that is made for it."""
    key = sql.Identifier(BACKUP_KEYS[table])
    parts = {
        "table": sql.Identifier(table),
        "column": sql.Identifier(field.column),
        "field": sql.Literal(field.column),
        "source": sql.Literal(str(table)),
        "key": key,
    }
    if table is Table.CUSTOMER_PROFILES:
        yield sql.SQL(
            """
WITH made AS (
    INSERT INTO customer_profiles (customer_id) SELECT x.profile_id::text FROM changed AS x
    WHERE x.field = {field} AND NOT EXISTS (
        SELECT FROM legacy_attachments AS a WHERE a.user_id = x.user_id AND a.source = 'customer_profiles')
    ON CONFLICT DO NOTHING RETURNING customer_id)
INSERT INTO legacy_attachments (source, key, user_id, position)
SELECT 'customer_profiles', m.customer_id, x.user_id, 1
FROM made AS m JOIN changed AS x ON x.profile_id::text = m.customer_id AND x.field = {field}"""
        ).format(**parts)
    else:
        # A session is what leads from a user_profiles row to its user.
        yield sql.SQL(
            """
UPDATE users AS u SET session_id = 'profile-' || x.profile_id FROM changed AS x
WHERE x.user_id = u.id AND x.field = {field} AND unification_text(u.session_id) IS NULL
    AND NOT EXISTS (SELECT FROM legacy_attachments AS a WHERE a.user_id = u.id AND a.source = 'user_profiles')"""
        ).format(**parts)
        yield sql.SQL(
            """
WITH made AS (
    INSERT INTO user_profiles (id, session_id, language, created_at, updated_at)
    SELECT gen_random_uuid(), u.session_id, NULL, p.created_at AT TIME ZONE 'UTC', p.updated_at AT TIME ZONE 'UTC'
    FROM changed AS x JOIN profiles AS p ON p.id = x.profile_id JOIN users AS u ON u.id = x.user_id
    WHERE x.field = {field} AND NOT EXISTS (
        SELECT FROM legacy_attachments AS a WHERE a.user_id = x.user_id AND a.source = 'user_profiles')
    ON CONFLICT DO NOTHING RETURNING id, session_id)
INSERT INTO legacy_attachments (source, key, user_id, position)
SELECT 'user_profiles', m.id::text, u.id, 1 FROM made AS m JOIN users AS u ON u.session_id = m.session_id"""
        ).format(**parts)
    value = sql.Identifier("p", field.column)
    changed_value: sql.Composable = value
    if field.rule is Rule.SUM:
        changed_value = sql.SQL("coalesce(r.{0}, 0) + p.{0} - (x.first_old #>> '{{}}')::numeric").format(
            sql.Identifier(field.column)
        )
    yield sql.SQL(
        """
UPDATE {table} AS r SET {column} = {value}
FROM changed AS x JOIN profiles AS p ON p.id = x.profile_id
JOIN LATERAL (SELECT a.key FROM legacy_attachments AS a
    WHERE a.user_id = x.user_id AND a.source = {source} ORDER BY a.position LIMIT 1) AS newest ON true
WHERE x.field = {field} AND r.{key}::text = newest.key AND r.{column} IS DISTINCT FROM {value}"""
    ).format(value=changed_value, **parts)


# Tables of anybody's that point at users: a guest's account that one of them names is in use.
REFERENCES = """
SELECT c.conrelid::regclass::text, a.attname, k.attname
FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
JOIN pg_attribute AS k ON k.attrelid = c.confrelid AND k.attnum = c.confkey[1]
WHERE c.confrelid = 'users'::regclass AND c.contype = 'f' AND cardinality(c.conkey) = 1
    AND c.conrelid <> 'users'::regclass
"""


def forget_identity(connection: BaseDatabaseWrapper) -> None:
    """Remove the accounts made for guests that nobody has used; a used one stays, linked to its customers row."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        phases.tune(cursor)
        cursor.execute(old_trigger.MAKING_GUESTS)
        # An order made since for a guest names the guest's customers row, as the old application would have.
        cursor.execute(
            f"""
UPDATE orders AS o SET customer_id = coalesce(o.customer_id, i.customer_id), user_id = NULL
FROM legacy_identities AS i JOIN users AS u ON u.id = i.user_id
WHERE o.user_id = i.user_id AND i.position = 1
    AND (i."case" IN ({MADE_HERE}) OR EXISTS (SELECT FROM legacy_moved_logins AS m WHERE m.moved_to = u.id))
    AND u.password_hash LIKE '!%' AND u.last_login IS NULL"""  # noqa: S608  (a constant)
        )
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            f"""
CREATE TEMP TABLE made ON COMMIT DROP AS
SELECT i.user_id, i.customer_id, u.password_hash NOT LIKE '!%' OR u.last_login IS NOT NULL AS used
FROM legacy_identities AS i JOIN users AS u ON u.id = i.user_id
WHERE i.position = 1 AND (
    i."case" IN ({MADE_HERE}) OR EXISTS (SELECT FROM legacy_moved_logins AS m WHERE m.moved_to = u.id))"""  # noqa: S608  (a constant)
        )
        _keep_referenced(cursor)
        cursor.execute("DELETE FROM users USING made WHERE made.user_id = users.id AND NOT made.used")
        removed = cursor.rowcount
        cursor.execute(
            "UPDATE users SET email = concat('guest-', id, '@invalid')"
            " FROM made WHERE made.user_id = users.id AND users.email IS NULL"
        )
        cursor.execute(
            "UPDATE customers AS c SET user_id = made.user_id FROM made WHERE c.id = made.customer_id AND made.used"
            " AND NOT EXISTS (SELECT FROM users AS u WHERE u.id = c.user_id)"
        )
        kept = cursor.rowcount
        cursor.execute("DELETE FROM legacy_identities")
        cursor.execute("DELETE FROM legacy_attachments")
        phases.forget(connection, identity.PHASE)
    phases.tell(f"way back: {removed:,} guests' accounts removed, {kept:,} in use stay")


def _keep_referenced(cursor: CursorWrapper) -> None:
    cursor.execute(REFERENCES)
    for table, column, key in cursor.fetchall():
        cursor.execute(
            sql.SQL(
                "UPDATE made SET used = true FROM users AS u"
                " WHERE u.id = made.user_id AND EXISTS (SELECT FROM {} AS other WHERE other.{} = u.{})"
            ).format(
                sql.SQL(table),  # regclass quoted it
                sql.Identifier(column),
                sql.Identifier(key),
            )
        )


SEEN_TO_GO = sql.SQL("EXISTS (SELECT FROM legacy_deletions AS d WHERE d.source = {source} AND d.key = {key}::text)")


def refuse_when_rows_are_gone(connection: BaseDatabaseWrapper) -> None:
    """Before anything is taken back: every row that was backed up is still there.

    Errors: CommandError naming rows that are gone.
    """
    gone = []
    tables = existing_tables(connection)
    with connection.cursor() as cursor:
        for table in LEGACY_TABLES:
            if not {table, f"backup_{table}"} <= tables:
                continue
            cursor.execute(
                sql.SQL(
                    "SELECT {key}::text FROM {backup} AS b WHERE NOT EXISTS"
                    " (SELECT FROM {table} AS l WHERE l.{key} = b.{key}) AND NOT {seen_to_go} ORDER BY 1 LIMIT 5"
                ).format(
                    # What the old application deleted while the sync was on was deleted on purpose.
                    seen_to_go=SEEN_TO_GO.format(
                        source=sql.Literal(table), key=sql.Identifier("b", BACKUP_KEYS[table])
                    ),
                    key=sql.Identifier(BACKUP_KEYS[table]),
                    backup=sql.Identifier(f"backup_{table}"),
                    table=sql.Identifier(table),
                )
            )
            gone += [f"{table} {key}" for (key,) in cursor.fetchall()]
    if gone:
        raise CommandError(
            f"Rows that were backed up are gone: {', '.join(gone)}. Put them back from the backup of their table or, "
            "where they were deleted on purpose, delete them there too (drop its trigger unification_never_written "
            "first). Then run this again."
        )


def prove_rows(connection: BaseDatabaseWrapper) -> None:
    """Every row that was backed up is still there; tells how many are as they were and how many were written since.

    Errors: CommandError naming rows that are gone; their backup stays.
    """
    refuse_when_rows_are_gone(connection)
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        phases.tune(cursor)
        tables = existing_tables(connection)
        for table in LEGACY_TABLES:
            if f"backup_{table}" not in tables:
                continue
            cells = sql.SQL(", ").join(map(sql.Identifier, columns_of(connection, f"backup_{table}")))
            cursor.execute(
                sql.SQL(
                    "SELECT count(*) FILTER (WHERE b.cells *= l.cells), count(*) FILTER (WHERE NOT b.cells *= l.cells),"
                    " count(*) FILTER (WHERE b.{key} IS NULL)"
                    " FROM (SELECT {key}, ROW({cells}) AS cells FROM {backup}) AS b"
                    " FULL JOIN (SELECT {key}, ROW({cells}) AS cells FROM {table}) AS l ON l.{key} = b.{key}"
                ).format(
                    key=sql.Identifier(BACKUP_KEYS[table]),
                    cells=cells,
                    backup=sql.Identifier(f"backup_{table}"),
                    table=sql.Identifier(table),
                )
            )
            equal, changed, new = cursor.fetchone()
            phases.tell(f"{table}: {equal:,} rows as they were, {changed:,} written since, {new:,} new")


def prove_fingerprint(connection: BaseDatabaseWrapper) -> None:
    """The legacy schema is as it was found. Errors: CommandError naming each difference."""
    if found := fingerprint.differences(fingerprint.recorded(connection), fingerprint.take(connection)):
        raise CommandError(
            "The legacy schema is not as it was found:\n  "
            + "\n  ".join(found)
            + "\nPut it right, then run this again."
        )
    phases.tell("way back: columns, constraints, indexes and triggers are as they were found")
