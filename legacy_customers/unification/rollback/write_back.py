"""What was changed in profiles while no sync carried it over is written back to the legacy tables.

That is what came before the sync did, or all of it where it never came. As long as the sync was on, the legacy tables have
every write already. Each row that is written here goes into the log of what was written (capture.py).
"""

from collections.abc import Iterator

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from .. import old_trigger, phases, sync
from ..field_map import FIELD_MAP, Field, Rule, Table
from ..sources import BACKUP_KEYS, Sources
from ..sync.to_legacy import LEGACY_TYPES, between, is_attached, legacy_value, narrow
from ..view import COLUMNS

# A person's first old and last new value of each column that changed. What the sync wrote it has carried over itself. The
# customers row is the one that is linked to the person by now, else the primary one, which has the profile's id.
CHANGES = sql.SQL(
    """
SELECT h.profile_id, p.user_id, c.key AS field, (array_agg(c.value -> 'old' ORDER BY h.id))[1] AS first_old,
    (array_agg(c.value -> 'new' ORDER BY h.id DESC))[1] AS last_new,
    coalesce((SELECT own.id FROM customers AS own WHERE own.user_id = p.user_id LIMIT 1), p.id) AS customer_id
FROM profile_history AS h JOIN profiles AS p ON p.id = h.profile_id
CROSS JOIN LATERAL jsonb_each(h.changes) AS c
WHERE h.id <= {until} AND h.via <> 'sync'
GROUP BY h.profile_id, p.id, p.user_id, c.key
"""
)

# Who came without the sync and has no legacy row: each value that says something is one to write, a sum counts from 0.
CAME_SINCE = """
SELECT p.id AS profile_id, p.user_id FROM profiles AS p
WHERE NOT EXISTS (SELECT FROM backup_users AS b WHERE b.id = p.user_id)
    AND NOT EXISTS (SELECT FROM legacy_identities AS i WHERE i.user_id = p.user_id)
"""
CHANGED_AS_NEW = """
DELETE FROM changed USING came_since AS s WHERE s.profile_id = changed.profile_id AND changed.field = ANY(%(fields)s);
INSERT INTO changed (profile_id, user_id, field, first_old, last_new, customer_id)
SELECT s.profile_id, s.user_id, c.key, '0', c.value, p.id
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
WHERE (p.id IN (SELECT profile_id FROM came_since) OR p.id IN (SELECT profile_id FROM changed))
    AND NOT EXISTS (SELECT FROM customers AS c WHERE c.id = p.id OR c.user_id = p.user_id)
    AND NOT EXISTS (SELECT FROM backup_customers AS b WHERE b.id = p.id)
    AND NOT EXISTS (SELECT FROM legacy_identities AS i WHERE i.customer_id = p.id)
RETURNING id
"""
)

# A row that was made for a person is theirs.
ATTACH = sql.SQL(
    """
    INSERT INTO legacy_attachments (source, key, user_id, position)
    SELECT {source}, r.{key}::text, x.user_id, 1 FROM {table} AS r {attached}
    WHERE x.field = {field} AND NOT EXISTS (
        SELECT FROM legacy_attachments AS a WHERE a.user_id = x.user_id AND a.source = {source})
    ON CONFLICT DO NOTHING RETURNING key"""
)

# What does not fit a column of the old customers table.
OUTGROWN = sql.SQL(
    """
WITH came AS ({came}), changed AS (
    {changes}
    UNION ALL SELECT p.id, p.user_id, k.field, '0', to_jsonb(p) -> k.field, p.id
    FROM came JOIN profiles AS p ON p.id = came.profile_id CROSS JOIN unnest({sums}::text[]) AS k (field)
)
SELECT concat('profiles ', p.id, ': customers.', x.field, ' cannot hold ', v.value)
FROM changed AS x JOIN profiles AS p ON p.id = x.profile_id LEFT JOIN customers AS c ON c.id = x.customer_id
CROSS JOIN LATERAL (VALUES {cells}) AS v (field, value, outgrown)
WHERE v.field = x.field AND v.outgrown
"""
)


def outgrown(connection: BaseDatabaseWrapper, sources: Sources) -> sql.Composed:
    """The query for what the old customers table cannot take back, a line each."""
    cells: list[sql.Composable] = []
    sums: list[str] = []
    value: sql.Composable
    for field in FIELD_MAP:
        if Table.CUSTOMERS not in field.sources:
            continue
        if field.kind in LEGACY_TYPES:
            value = _sum("c", field)
            test = sql.SQL("{} NOT BETWEEN {}").format(value, between(sources, Table.CUSTOMERS, field))
            sums.append(field.column)
        elif width := narrow(sources, Table.CUSTOMERS, field):
            value = sql.Identifier("p", field.column)
            test = sql.SQL("char_length({}) > {}").format(value, sql.Literal(width))
        else:
            continue
        cells.append(
            sql.SQL("({0}, CASE x.field WHEN {0} THEN ({1})::text END, CASE x.field WHEN {0} THEN {2} END)").format(
                sql.Literal(field.column), value, test
            )
        )
    return OUTGROWN.format(
        came=sql.SQL(CAME_SINCE),
        changes=changes(connection),
        sums=sql.Literal(sums),
        cells=sql.SQL(", ").join(cells),
    )


def find(connection: BaseDatabaseWrapper) -> int:
    """Find what is to be written back, into work tables of this session; gives the number of profiles.

    Reads the ids of profiles, identities and backed-up users once; all else is as long as what was changed.
    """
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        phases.tune(cursor)
        phases.create_work_table(cursor, sql.Identifier("changed"), changes(connection))
        phases.create_work_table(cursor, sql.Identifier("came_since"), sql.SQL(CAME_SINCE))
        cursor.execute(CHANGED_AS_NEW, {"fields": [field.column for field in FIELD_MAP if is_attached(field)]})
        cursor.execute(
            "SELECT count(*) FROM (SELECT profile_id FROM changed UNION SELECT profile_id FROM came_since) AS found"
        )
        return int(cursor.fetchone()[0])


def write(cursor: CursorWrapper, sources: Sources) -> None:
    """Write back what was found, in the running transaction, and log it. Nobody waits for columns that nobody changed.

    Errors: a value that does not fit its old column is refused by PostgreSQL.
    """
    cursor.execute("SELECT field FROM changed UNION SELECT NULL FROM came_since")
    if not (changed := {field for (field,) in cursor.fetchall()}):
        return
    cursor.execute(old_trigger.MAKING_GUESTS)
    cursor.execute("SELECT set_config('unification.sync', 'on', true)")
    cursor.execute(GUESTS_SINCE)
    for field, table, statement in _write_backs(sources):
        if field in changed:
            cursor.execute(_logged(table, statement))
    # Last, for a new row has the values as they are, and no difference is to be added to them.
    cursor.execute(_logged(Table.CUSTOMERS, _new_customers(sources)))
    cursor.execute("SELECT set_config('unification.sync', '', true), set_config('unification.making_guests', '', true)")


def _logged(table: Table, statement: sql.Composable) -> sql.Composed:
    """The statement, which returns the key of each row that it wrote; those go into the log."""
    return sql.SQL(
        "WITH written (key) AS ({}) INSERT INTO unification_changes SELECT {}, key::text FROM written"
    ).format(statement, sql.Literal(str(table)))


def changes(connection: BaseDatabaseWrapper) -> sql.Composed:
    """The query for what is to be written back, a row per person and column."""
    detail = phases.detail_of(connection, sync.PHASE)
    # Where a sync came on that did not carry over what was changed meanwhile, it noted up to where that is still to be done.
    until = detail.get("on_at", detail.get("on_from"))
    return CHANGES.format(until=sql.SQL("h.id") if until is None else sql.Literal(until))


def _sum(alias: str, field: Field) -> sql.Composed:
    """A sum as it will be: what was added to the profile's is added to the row's."""
    return sql.SQL(
        "coalesce({}, 0)::numeric + (x.last_new #>> '{{}}')::numeric - (x.first_old #>> '{{}}')::numeric"
    ).format(sql.Identifier(alias, field.column))


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
    fields = {field.column: field for field in FIELD_MAP}
    return legacy_value(sources, fields[name], value) if name in fields else value


def _new_customers(sources: Sources) -> sql.Composed:
    names = [name for name, _, _ in COLUMNS if name != "tenant_id"]
    return NEW_CUSTOMERS.format(
        columns=sql.SQL(", ").join(map(sql.Identifier, names)),
        values=sql.SQL(", ").join(_customers_value(sources, name) for name in names),
    )


def _write_backs(sources: Sources) -> Iterator[tuple[str, Table, sql.Composed]]:
    """The statements for each column that may have changed in some profile: its name, and the table that is written to."""
    for field in FIELD_MAP:
        name = field.column
        if field.rule in (Rule.LEAST, Rule.GREATEST) and name != "last_order_date":
            continue
        if Table.CUSTOMERS in field.sources:
            yield name, Table.CUSTOMERS, _to_customers(sources, name, field)
            if Table.USERS in field.sources:
                yield name, Table.USERS, _to_users(name)
        else:
            table = next(t for t in (Table.CUSTOMER_PROFILES, Table.USER_PROFILES) if t in field.sources)
            yield from ((name, written, statement) for written, statement in _to_attached(field, table))
    for name, column in (("contact_email", "email"), ("users.email", "email"), ("users.active", "is_active")):
        yield name, Table.CUSTOMERS, _to_customers(sources, column, None, name)


def _to_customers(sources: Sources, column: str, field: Field | None, changed: str | None = None) -> sql.Composed:
    value = _customers_value(sources, column)
    if field is not None and field.rule is Rule.SUM:
        value = _sum("c", field)
    # A new login that the old trigger has taken over stands.
    other = sql.SQL(" AND c.email IS DISTINCT FROM u.email" if changed == "users.email" else "")
    return sql.SQL(
        "UPDATE customers AS c SET {column} = {value} FROM changed AS x JOIN profiles AS p ON p.id = x.profile_id"
        " JOIN users AS u ON u.id = p.user_id"
        " WHERE c.id = x.customer_id AND x.field = {field} AND c.{column} IS DISTINCT FROM {value}{other} RETURNING c.id"
    ).format(column=sql.Identifier(column), value=value, field=sql.Literal(changed or column), other=other)


def _to_users(column: str) -> sql.Composed:
    return sql.SQL(
        "UPDATE users AS u SET {column} = p.{column} FROM changed AS x JOIN profiles AS p ON p.id = x.profile_id"
        " WHERE u.id = p.user_id AND x.field = {field} AND u.{column} IS DISTINCT FROM p.{column}"
        " AND EXISTS (SELECT FROM backup_users AS b WHERE b.id = u.id) RETURNING u.id"
    ).format(column=sql.Identifier(column), field=sql.Literal(column))


def _to_attached(field: Field, table: Table) -> Iterator[tuple[Table, sql.Composed]]:
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
        yield (
            table,
            sql.SQL(
                """
    INSERT INTO customer_profiles (customer_id) SELECT x.profile_id::text FROM changed AS x
    WHERE x.field = {field} AND NOT EXISTS (
        SELECT FROM legacy_attachments AS a WHERE a.user_id = x.user_id AND a.source = 'customer_profiles')
    ON CONFLICT DO NOTHING RETURNING customer_id"""
            ).format(**parts),
        )
        attached = "JOIN changed AS x ON r.customer_id = x.profile_id::text"
    else:
        # A session is what leads from a user_profiles row to its user.
        yield (
            Table.USERS,
            sql.SQL(
                """
    UPDATE users AS u SET session_id = 'profile-' || x.profile_id FROM changed AS x
    WHERE x.user_id = u.id AND x.field = {field} AND unification_text(u.session_id) IS NULL
        AND NOT EXISTS (SELECT FROM legacy_attachments AS a WHERE a.user_id = u.id AND a.source = 'user_profiles')
    RETURNING u.id"""
            ).format(**parts),
        )
        yield (
            table,
            sql.SQL(
                """
    INSERT INTO user_profiles (id, session_id, language, created_at, updated_at)
    SELECT gen_random_uuid(), u.session_id, NULL, p.created_at AT TIME ZONE 'UTC', p.updated_at AT TIME ZONE 'UTC'
    FROM changed AS x JOIN profiles AS p ON p.id = x.profile_id JOIN users AS u ON u.id = x.user_id
    WHERE x.field = {field} AND NOT EXISTS (
        SELECT FROM legacy_attachments AS a WHERE a.user_id = x.user_id AND a.source = 'user_profiles')
    ON CONFLICT DO NOTHING RETURNING id"""
            ).format(**parts),
        )
        attached = "JOIN users AS u ON u.session_id = r.session_id JOIN changed AS x ON x.user_id = u.id"
    yield table, ATTACH.format(attached=sql.SQL(attached), **parts)
    value: sql.Composable = sql.Identifier("p", field.column)
    if field.rule is Rule.SUM:
        value = _sum("r", field)
    yield (
        table,
        sql.SQL(
            """
    UPDATE {table} AS r SET {column} = {value}
    FROM changed AS x JOIN profiles AS p ON p.id = x.profile_id
    JOIN LATERAL (SELECT a.key FROM legacy_attachments AS a
        WHERE a.user_id = x.user_id AND a.source = {source} ORDER BY a.position LIMIT 1) AS newest ON true
    WHERE x.field = {field} AND r.{key} = {wanted} AND r.{column} IS DISTINCT FROM {value}
    RETURNING r.{key}"""
        ).format(
            value=value,
            wanted=sql.SQL("newest.key" if table is Table.CUSTOMER_PROFILES else "unification_uuid(newest.key)"),
            **parts,
        ),
    )
