"""Reasons why the take-over must not start: each found by reading the catalogue and, where a column is wider than ours, values."""

from collections.abc import Callable, Iterator

from psycopg import sql

from ..field_map import FIELD_MAP
from ..sources import BACKUP_KEYS
from .found import COLUMNS, CREATED, INSERTED, MONEY, OTHER_WIDTHS, TEXT, Blocker, Found

MINIMUM_VERSION = 140000


def server(found: Found) -> Iterator[Blocker]:
    """Version and encoding."""
    [(version, number, encoding, database)] = found.rows(
        "SELECT current_setting('server_version'), current_setting('server_version_num'),"
        " current_setting('server_encoding'), current_database()"
    )
    if int(number) < MINIMUM_VERSION:
        yield Blocker("B001", f"PostgreSQL is {version}; 14 or later is needed.", "Upgrade the server first.")
    if encoding != "UTF8":
        yield Blocker(
            "B002",
            f"Database {database} has the encoding {encoding}; UTF8 is needed.",
            "Dump it and restore it into a database made with ENCODING 'UTF8'.",
        )


def _suggested(accepted: tuple[str, ...]) -> str:
    """The type to name in a way out: the first that can be written down, and that cuts nothing off."""
    return next(kind for kind in accepted if kind != "enum")


def missing(found: Found) -> Iterator[Blocker]:
    """Tables and columns that are not there."""
    for table, columns in COLUMNS.items():
        if table not in found.tables:
            yield Blocker(
                "B003",
                f"Table {table} is missing; of the legacy tables there are {', '.join(found.tables)}.",
                f"Point DATABASE_URL at the whole legacy database, or create {table} with no rows.",
            )
            continue
        for name in columns:
            if name not in found.tables[table]:
                yield Blocker(
                    "B004",
                    f"Column {table}.{name} is missing.",
                    f"ALTER TABLE {table} ADD COLUMN {name} {_suggested(columns[name])}.",
                )


def types(found: Found) -> Iterator[Blocker]:
    """Columns of a type that the rules cannot read."""
    enums = {name for (name,) in found.rows("SELECT format_type(oid, NULL) FROM pg_type WHERE typtype = 'e'")}
    for table, columns in COLUMNS.items():
        for name, accepted in columns.items():
            kind = found.tables.get(table, {}).get(name)
            plain = kind.split("(")[0] if kind else None
            if kind and plain not in accepted and not ("enum" in accepted and kind in enums):
                yield Blocker(
                    "B005",
                    f"Column {table}.{name} is {kind}; {' or '.join(accepted)} is needed.",
                    f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {_suggested(accepted)} USING {name}::{_suggested(accepted)}.",
                )


def rights(found: Found) -> Iterator[Blocker]:
    """What the role must be allowed to do."""
    for table, owner, role in found.rows(
        "SELECT c.relname, pg_get_userbyid(c.relowner), current_user FROM pg_class c"
        " WHERE c.oid = ANY(%s::regclass[]) AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1",
        found.regclasses,
    ):
        yield Blocker(
            "B006",
            f"Role {role} does not own table {table}; {owner} does.",
            f"GRANT {owner} TO {role}, or connect as {owner}.",
        )
    for schema, role in found.rows(
        "SELECT s.name, current_user FROM (SELECT current_schema()::text AS name) AS s"
        " WHERE s.name IS NULL OR NOT has_schema_privilege(s.name, 'CREATE')"
    ):
        yield Blocker(
            "B007",
            f"Role {role} may not create tables in schema {schema}.",
            f"GRANT CREATE ON SCHEMA {schema} TO {role}.",
        )
    for database, role in found.rows(
        "SELECT current_database(), current_user WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')"
    ):
        yield Blocker(
            "B008",
            f"Role {role} may not make temporary tables in database {database}.",
            f"GRANT TEMPORARY ON DATABASE {database} TO {role}.",
        )


def names(found: Found) -> Iterator[Blocker]:
    """Relations that stand where ours will; once a take-over has begun they are ours."""
    if found.before:
        return
    for name, kind in found.rows(
        "SELECT relname, CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'"
        " WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type' WHEN 'r' THEN 'table' WHEN 'p' THEN 'table'"
        " ELSE 'index' END FROM pg_class"
        " WHERE relname = ANY(%s) AND pg_table_is_visible(oid) ORDER BY 1",
        list(CREATED),
    ):
        yield Blocker(
            "B009",
            f"A {kind} named {name} exists already, and the unification creates one.",
            f"If it is of no use, drop it; else ALTER {kind.upper()} {name} RENAME TO another name.",
        )


def keys(found: Found) -> Iterator[Blocker]:
    """Keys that identify rows and logins."""
    wanted = [(table, key) for table, key in BACKUP_KEYS.items()] + [("users", "email")]
    for table, column in wanted:
        if column not in found.tables.get(table, {}):
            continue
        unique = found.rows(
            "SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
            " WHERE i.indrelid = %s::regclass AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1"
            " AND i.indpred IS NULL AND i.indexprs IS NULL AND a.attname = %s",
            f'"{table}"',
            column,
        )
        if not unique:
            yield Blocker(
                "B010",
                f"Column {table}.{column} has no primary or unique key.",
                f"Remove duplicates, then CREATE UNIQUE INDEX CONCURRENTLY ON {table} ({column}).",
            )


def unknown_required_columns(found: Found) -> Iterator[Blocker]:
    """Columns that we do not know and that every INSERT would have to name."""
    for table, known in INSERTED.items():
        if table not in found.tables:
            continue
        for (name,) in found.rows(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
            " AND attnotnull AND NOT atthasdef AND attidentity = '' AND NOT attname = ANY(%s) ORDER BY attnum",
            f'"{table}"',
            list(known),
        ):
            yield Blocker(
                "B011",
                f"Column {table}.{name} is NOT NULL without a default: new rows could not be written.",
                f"ALTER TABLE {table} ALTER COLUMN {name} SET DEFAULT a value, or DROP NOT NULL.",
            )


def roles(found: Found) -> Iterator[Blocker]:
    """Guests' accounts need the role customer."""
    kind = found.tables.get("users", {}).get("role")
    if kind is None or kind.split("(")[0] in TEXT:
        return
    labels = [
        label
        for (label,) in found.rows(
            "SELECT enumlabel FROM pg_enum WHERE enumtypid = (SELECT atttypid FROM pg_attribute"
            " WHERE attrelid = '\"users\"'::regclass AND attname = 'role') ORDER BY enumsortorder"
        )
    ]
    if labels and "customer" not in labels:
        yield Blocker(
            "B012",
            f"Type {kind} of users.role has no label 'customer', only {', '.join(labels)}.",
            f"ALTER TYPE {kind} ADD VALUE 'customer'.",
        )


def widths(found: Found) -> Iterator[Blocker]:
    """Values that do not fit where they go; only columns wider than that are read."""
    mapped = [
        (table, field.column, field.width) for field in FIELD_MAP for table in field.sources if field.width is not None
    ]
    for table, column, width in (*mapped, *OTHER_WIDTHS):
        kind = found.tables.get(table, {}).get(column)
        if kind is None or kind.split("(")[0] not in TEXT or BACKUP_KEYS[table] not in found.tables[table]:
            continue
        limit = int(kind.split("(")[1].rstrip(")")) if "(" in kind else None
        if limit is not None and limit <= width:
            continue
        too_long = found.rows(
            sql.SQL("SELECT {}::text FROM {} WHERE char_length({}) > {} ORDER BY 1 LIMIT 5").format(
                sql.Identifier(BACKUP_KEYS[table]),
                sql.Identifier(table),
                sql.Identifier(column),
                sql.Literal(width),
            )
        )
        if too_long:
            ids = ", ".join(row[0] for row in too_long)
            yield Blocker(
                "B013",
                f"Values of {table}.{column} are longer than {width} characters: {ids}.",
                "Shorten them, or move the rest to customers.notes.",
            )


def sums(found: Found) -> Iterator[Blocker]:
    """Money that outgrows numeric(14,2) when a person's rows are added up."""
    customers = found.tables.get("customers", {})
    if "email" not in customers or customers.get("total_spent", "").split("(")[0] not in MONEY:
        return
    # Grouped only where all of them together come to as much, which a scan without a sort tells.
    for (address,) in found.rows(
        "SELECT lower(btrim(email::text)) FROM customers"
        " WHERE (SELECT sum(abs(total_spent)) FROM customers) >= 1000000000000"
        " GROUP BY 1 HAVING sum(abs(total_spent)) >= 1000000000000 ORDER BY 1 LIMIT 5"
    ):
        yield Blocker(
            "B014",
            f"The customers with the address {address!r} have spent more than 999,999,999,999.99 together.",
            "Correct total_spent of these rows.",
        )


def parts(found: Found) -> Iterator[Blocker]:
    """Tables made of several: rows are found by where they lie, and indexes are built CONCURRENTLY."""
    for table, partitioned in found.rows(
        "SELECT relname, relkind = 'p' FROM pg_class WHERE oid = ANY(%s::regclass[]) AND (relkind = 'p' OR EXISTS"
        " (SELECT FROM pg_inherits WHERE oid IN (inhrelid, inhparent))) ORDER BY 1",
        found.regclasses,
    ):
        yield Blocker(
            "B015",
            f"Table {table} is {'partitioned' if partitioned else 'part of an inheritance tree'}.",
            f"Copy its rows into a plain table, and give that the name {table}.",
        )


def hidden_rows(found: Found) -> Iterator[Blocker]:
    """Row level security that this role is under: what it cannot see it cannot take over."""
    for table, role in found.rows(
        "SELECT relname, current_user FROM pg_class WHERE oid = ANY(%s::regclass[]) AND row_security_active(oid)"
        " ORDER BY 1",
        found.regclasses,
    ):
        yield Blocker(
            "B016",
            f"Row level security of table {table} applies to role {role}, which may not see every row.",
            f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, or connect as a role with BYPASSRLS.",
        )


CHECKS: tuple[Callable[[Found], Iterator[Blocker]], ...] = (
    server,
    missing,
    types,
    rights,
    names,
    keys,
    unknown_required_columns,
    roles,
    widths,
    sums,
    parts,
    hidden_rows,
)
# Without these the rows cannot be read as the rules need them.
ABOUT_THE_SHAPE = {"B003", "B004", "B005"}


def blockers(found: Found) -> list[Blocker]:
    """Every one; none where the database fits, or where there is nothing legacy."""
    if not found.tables:
        return list(server(found))
    return [blocker for check in CHECKS for blocker in check(found)]
