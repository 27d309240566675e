"""The balance of cells: for each legacy table and column, how many cells say something and where each of them is.

Independent of the copy: each source row is held against the profile that it went into, cell by cell.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from .consolidate import said, source_value
from .field_map import ARCHIVED_COLUMNS, Field, Kind, Rule, Table, fields_of
from .sources import Sources

SAMPLES = 5


@dataclass
class Tally:
    """Cells of one column that say something: in the profile, in a conflict, in the backup alone, or nowhere."""

    table: str
    column: str
    rows: int
    cells: int
    carried: int = 0
    superseded: int = 0
    defaults: int = 0
    archived: int = 0
    traced: int = 0
    unexplained: int = 0
    samples: list[str] = field(default_factory=list)


FALSE = sql.SQL("false")

JOINED: dict[Table, sql.SQL] = {
    Table.USERS: sql.SQL(
        "{users} AS src LEFT JOIN legacy_moved_logins AS moved ON moved.user_id = src.id"
        " LEFT JOIN profiles AS p ON p.user_id = coalesce(moved.moved_to, src.id)"
    ),
    Table.CUSTOMERS: sql.SQL(
        "{customers} AS src LEFT JOIN legacy_identities AS i ON i.customer_id = src.id"
        " LEFT JOIN profiles AS p ON p.user_id = i.user_id LEFT JOIN users AS login ON login.id = i.user_id"
    ),
    Table.CUSTOMER_PROFILES: sql.SQL(
        "{customer_profiles} AS src LEFT JOIN legacy_attachments AS a"
        " ON a.source = 'customer_profiles' AND a.key = src.customer_id::text"
        " LEFT JOIN profiles AS p ON p.user_id = a.user_id"
    ),
    Table.USER_PROFILES: sql.SQL(
        "{user_profiles} AS src LEFT JOIN legacy_attachments AS a"
        " ON a.source = 'user_profiles' AND a.key = src.id::text"
        " LEFT JOIN profiles AS p ON p.user_id = a.user_id"
    ),
}
KEY = {
    Table.USERS: sql.SQL("src.id::text"),
    Table.CUSTOMERS: sql.SQL("src.id::text"),
    Table.CUSTOMER_PROFILES: sql.SQL("src.customer_id::text"),
    Table.USER_PROFILES: sql.SQL("src.id::text"),
}
# A row that was attached to nobody is in its backup alone; so are the cells that have no column to go to.
ARCHIVED_ROW = {
    Table.CUSTOMER_PROFILES: sql.SQL("(a.user_id IS NULL AND a.reason IS NOT NULL)"),
    Table.USER_PROFILES: sql.SQL("(a.user_id IS NULL AND a.reason IS NOT NULL)"),
}


@dataclass(frozen=True)
class Cell:
    """Conditions on one source cell. `known`: says something; `carried`: the profile says it; `default`: may lose."""

    column: str
    conflict: str
    known: sql.Composable
    carried: sql.Composable
    value: sql.Composable
    default: sql.Composable = field(default_factory=lambda: FALSE)


def _cell(sources: Sources, table: Table, ruled: Field) -> Cell:
    value = source_value(sources, ruled, "src")
    result = sql.Identifier("p", ruled.column)
    parts: dict[str, sql.Composable] = {"value": value, "result": result, "said": said(ruled, value)}
    known: sql.Composable = sql.SQL("{said} IS NOT NULL").format(**parts)
    carried: sql.Composable
    default: sql.Composable = FALSE
    if ruled.kind in (Kind.OBJECT, Kind.LIST):
        known = sql.SQL("unification_json({value}) IS NOT NULL").format(**parts)
    match ruled.rule:
        case Rule.FIRST | Rule.BLOCK:
            carried = sql.SQL("{value} = {result}").format(**parts)
            if ruled.default is not None:
                default = sql.SQL("{value} = {default}").format(default=sql.Literal(ruled.default), **parts)
        case Rule.SUM:
            known = sql.SQL("{value} <> 0").format(**parts)
            carried = sql.SQL("p.id IS NOT NULL")  # sums_conserved adds them up
        case Rule.GREATEST:
            carried = sql.SQL("{value} AT TIME ZONE 'UTC' <= {result}").format(**parts)
        case Rule.LEAST:
            carried = sql.SQL("{value} AT TIME ZONE 'UTC' >= {result}").format(**parts)
        case Rule.MERGE:
            carried = sql.SQL(
                "jsonb_typeof({value}) = 'object' AND ({value} = {result} OR NOT EXISTS ("
                "SELECT FROM unification_lost({value}, {result}) AS l WHERE NOT EXISTS ("
                "SELECT FROM field_conflicts AS f WHERE f.profile_id = coalesce(p.merged_into_id, p.id) AND f.field = {name}"
                " AND f.path = unification_pointer(l.path) AND f.other_table = {table} AND f.other_row = {key}"
                " AND f.other_value = l.other)))"
            ).format(name=sql.Literal(ruled.column), table=sql.Literal(str(table)), key=KEY[table], **parts)
        case Rule.UNION:
            carried = sql.SQL(
                "jsonb_typeof({value}) = 'array' AND ({value} = {result}"
                " OR unification_union(ARRAY[{result}, {value}]) = {result})"
            ).format(**parts)
        case Rule.NOTES:
            carried = sql.SQL("strpos({result}, {value}) > 0").format(**parts)
        case Rule.CONSENT | Rule.VERIFIED:
            known = value
            carried = result
    return Cell(ruled.column, ruled.column, known, carried, value, default)


def cells_of(sources: Sources, table: Table) -> list[Cell]:
    """Every column of `table` that has to be somewhere else afterwards."""
    cells = [_cell(sources, table, field) for field in fields_of(table)]
    if table is Table.CUSTOMERS:
        cells += [
            Cell("id", "", sql.SQL("true"), sql.SQL("p.id IS NOT NULL"), sql.SQL("src.id")),
            Cell(
                "user_id",
                "",
                sql.SQL("src.user_id IS NOT NULL"),
                sql.SQL(
                    "p.user_id = src.user_id OR p.user_id = ("
                    "SELECT moved_to FROM legacy_moved_logins AS moved WHERE moved.user_id = src.user_id)"
                ),
                sql.SQL("src.user_id"),
                # It names nobody.
                sql.SQL("NOT EXISTS (SELECT FROM {} AS u WHERE u.id = src.user_id)").format(sources.table("users")),
            ),
            Cell(
                "email",
                "contact_email",
                sql.SQL("unification_text(src.email) IS NOT NULL"),
                sql.SQL(
                    "(src.email IN (login.email, p.contact_email)"
                    " OR unification_email(src.email) = unification_email(login.email)) IS TRUE"
                ),
                sql.SQL("src.email"),
            ),
            Cell(
                "is_active",
                "users.active",
                sql.SQL("src.is_active IS NOT NULL"),
                sql.SQL("src.is_active = login.active"),
                sql.SQL("src.is_active"),
            ),
        ]
    if table is Table.CUSTOMER_PROFILES:
        cells.append(Cell("customer_id", "", sql.SQL("true"), sql.SQL("p.id IS NOT NULL"), sql.SQL("src.customer_id")))
    for name in ARCHIVED_COLUMNS.get(table, ()):
        column = sql.Identifier("src", name)
        known = sql.SQL("{} IS NOT NULL" if name == "age_verified" else "unification_text({}) IS NOT NULL")
        cells.append(Cell(name, "", known.format(column), sql.SQL("NULL::boolean"), column))
    return cells


def tally(connection: BaseDatabaseWrapper, cursor: CursorWrapper, sources: Sources) -> Iterator[Tally]:
    """One line per column of each legacy table, read from the backups.

    What says something is counted in one pass; a second one goes through the few cells that the profile does not have.
    """
    backups = sources.backups()
    for table in Table:
        cells = cells_of(backups, table)
        joined = JOINED[table].format(**{str(name): backups.table(name) for name in Table})
        archived = ARCHIVED_ROW.get(table, FALSE)
        cursor.execute(
            sql.SQL("SELECT count(*), {} FROM {}").format(
                sql.SQL(", ").join(
                    sql.SQL("count(*) FILTER (WHERE {0}), count(*) FILTER (WHERE {0} AND {1})").format(
                        cell.known, archived
                    )
                    for cell in cells
                ),
                joined,
            )
        )
        rows, *numbers = cursor.fetchone()
        lines = {
            cell.column: Tally(str(table), cell.column, rows, known, archived=in_backup)
            for cell, (known, in_backup) in zip(cells, zip(*[iter(numbers)] * 2, strict=True), strict=True)
        }
        elsewhere = ARCHIVED_COLUMNS.get(table, ())
        _explain(cursor, table, [cell for cell in cells if cell.column not in elsewhere], joined, archived, lines)
        for line in lines.values():
            if line.column in elsewhere:
                line.archived = line.cells
            line.carried = line.cells - line.archived - line.superseded - line.defaults - line.traced - line.unexplained
            yield line


# A cell that its profile does not have is a default that lost, is held by a conflict, or was taken away by a change. The
# conflicts of a merged profile are its survivor's.
MISSING = sql.SQL(
    """
    SELECT m.column_name,
        count(*) FILTER (WHERE m.is_default),
        count(*) FILTER (WHERE NOT m.is_default AND f.id IS NOT NULL),
        count(*) FILTER (WHERE NOT m.is_default AND f.id IS NULL AND h.field IS NOT NULL),
        count(*) FILTER (WHERE NOT m.is_default AND f.id IS NULL AND h.field IS NULL),
        (array_agg(m.key ORDER BY m.key) FILTER (WHERE NOT m.is_default AND f.id IS NULL AND h.field IS NULL))[1:{samples}]
    FROM (
        SELECT {key} AS key, p.id AS profile_id, coalesce(p.merged_into_id, p.id) AS holder_id, x.*
        FROM {joined}
        CROSS JOIN LATERAL (
            {cells}
        ) AS x (column_name, field, value, is_default)
        WHERE NOT {archived} AND ({any_missing})
    ) AS m
    LEFT JOIN field_conflicts AS f ON f.profile_id = m.holder_id AND f.field = m.field AND f.path = ''
        AND f.other_table = {table} AND f.other_row = m.key AND f.other_value = m.value
    LEFT JOIN (
        -- Where to write is the login, as long as nothing else is said.
        SELECT DISTINCT h.profile_id, CASE k.key WHEN 'users.email' THEN 'contact_email' ELSE k.key END AS field
        FROM profile_history AS h CROSS JOIN LATERAL jsonb_object_keys(h.changes) AS k (key)
    ) AS h ON h.profile_id = m.profile_id AND h.field = m.field
    GROUP BY m.column_name"""
)


def _explain(
    cursor: CursorWrapper,
    table: Table,
    cells: list[Cell],
    joined: sql.Composable,
    archived: sql.Composable,
    lines: dict[str, Tally],
) -> None:
    """Find out where the cells are that their profile does not have, and put the numbers into `lines`."""
    conditions = [sql.SQL("{} AND ({}) IS NOT TRUE").format(cell.known, cell.carried) for cell in cells]
    missing = (
        sql.SQL("SELECT {}, {}, to_jsonb({}), {} WHERE {}").format(
            sql.Literal(cell.column), sql.Literal(cell.conflict), cell.value, cell.default, condition
        )
        for cell, condition in zip(cells, conditions, strict=True)
    )
    cursor.execute(
        MISSING.format(
            samples=sql.Literal(SAMPLES),
            key=KEY[table],
            joined=joined,
            cells=sql.SQL("\n            UNION ALL ").join(missing),
            # Most rows have lost nothing, and are spared the taking apart.
            any_missing=sql.SQL("\n            OR ").join(conditions),
            archived=archived,
            table=sql.Literal(str(table)),
        )
    )
    for column, defaults, superseded, traced, unexplained, keys in cursor.fetchall():
        line = lines[column]
        line.defaults, line.superseded, line.traced, line.unexplained = defaults, superseded, traced, unexplained
        line.samples = [f"{table} {key}: {column}" for key in keys or []]
