"""What either application has written since the sync came on is on both sides: profile and legacy rows, held side by side.

Only what changed is looked at, as profile_history names it: a copy that lost in the take-over, and that nobody has written
since, still says what it said.
"""

from collections.abc import Iterator

from psycopg import sql

from . import phases, sync
from .consolidate import said
from .field_map import FIELD_MAP, Field, Rule, Table, fields_by, fields_of
from .snapshot import SAMPLES, Outcome, Snapshot
from .sources import Sources
from .sync.from_legacy import profile_value
from .sync.to_legacy import PRIMARY, SESSIONS, USERS

# The columns that changed since, by person; not of those who were erased or merged. `before` changed also when no sync was on.
TOUCHED = sql.SQL(
    """
    touched AS MATERIALIZED (
        SELECT p.id AS profile_id, p.user_id, array_agg(DISTINCT k.key) FILTER (WHERE h.id > {on_from}) AS fields,
            array_agg(DISTINCT k.key) FILTER (WHERE h.id <= {on_from}) AS before
        FROM profile_history AS h JOIN profiles AS p ON p.id = h.profile_id
        CROSS JOIN LATERAL jsonb_object_keys(h.changes) AS k (key)
        WHERE p.merged_into_id IS NULL AND p.erased_at IS NULL
        GROUP BY p.id, p.user_id HAVING bool_or(h.id > {on_from})
    ), person AS MATERIALIZED (
        -- With the logins of whoever was merged into them, and whether a row of theirs was deleted.
        SELECT t.*, l.user_ids,
            EXISTS (
                SELECT FROM legacy_identities AS i JOIN legacy_deletions AS d
                    ON d.source = 'customers' AND d.key = i.customer_id::text WHERE i.user_id = ANY(l.user_ids)
            ) AS lost_customers,
            EXISTS (
                SELECT FROM legacy_attachments AS a JOIN legacy_deletions AS d ON d.source = a.source AND d.key = a.key
                WHERE a.user_id = ANY(l.user_ids)
            ) AS lost_attached
        FROM touched AS t CROSS JOIN LATERAL (
            SELECT array_agg(s.user_id) AS user_ids FROM profiles AS s
            WHERE s.id = t.profile_id OR s.merged_into_id = t.profile_id
        ) AS l
    )"""
)

# Cells of one row next to the profile's: the primary customers row, the login, the person's first session.
CELLS = sql.SQL(
    """
    SELECT concat({label}, n.{key}, ': ', x.field)
    FROM person AS t JOIN profiles AS p ON p.id = t.profile_id JOIN {table} AS n ON n.{key} = {row}
    CROSS JOIN LATERAL (VALUES {cells}) AS x (field, agrees)
    WHERE x.field = ANY(t.fields) AND x.agrees IS NOT TRUE AND NOT EXISTS (
        SELECT FROM field_conflicts AS f WHERE f.profile_id = p.id AND f.field = concat({prefix}, x.field)
            AND f.other_table = {source} AND f.other_row = n.{key}::text)"""
)
FIRST_SESSION = sql.SQL(
    """(SELECT s.id FROM legacy_attachments AS a JOIN user_profiles AS s ON s.id = unification_uuid(a.key)
        WHERE a.source = 'user_profiles' AND a.user_id = p.user_id ORDER BY a.position LIMIT 1)"""
)
# What the person's rows say together of a sum, a list, an object.
CUSTOMERS_TOGETHER = sql.SQL(
    """
    SELECT concat('profiles ', p.id, ': ', x.field)
    FROM person AS t JOIN profiles AS p ON p.id = t.profile_id
    CROSS JOIN LATERAL (
        SELECT {together}, count(*) AS rows FROM legacy_identities AS i JOIN customers AS n ON n.id = i.customer_id
        WHERE i.user_id = ANY(t.user_ids)
    ) AS r
    CROSS JOIN LATERAL (VALUES {cells}) AS x (field, agrees)
    WHERE NOT t.lost_customers AND r.rows > 0 AND x.field = ANY(t.fields) AND x.field <> ALL(coalesce(t.before, '{{}}'))
        AND x.agrees IS NOT TRUE"""
)
ATTACHED_TOGETHER = sql.SQL(
    """
    SELECT concat('profiles ', p.id, ': ', x.field)
    FROM person AS t JOIN profiles AS p ON p.id = t.profile_id
    CROSS JOIN LATERAL (
        SELECT {together}, count(*) AS rows FROM legacy_attachments AS a
        LEFT JOIN customer_profiles AS cp ON a.source = 'customer_profiles' AND cp.customer_id = a.key
        LEFT JOIN user_profiles AS up ON a.source = 'user_profiles' AND up.id = unification_uuid(a.key)
        WHERE a.user_id = ANY(t.user_ids) AND (cp.customer_id IS NOT NULL OR up.id IS NOT NULL)
    ) AS r
    CROSS JOIN LATERAL (VALUES {cells}) AS x (field, agrees)
    WHERE NOT t.lost_attached AND r.rows > 0 AND x.field = ANY(t.fields) AND x.field <> ALL(coalesce(t.before, '{{}}'))
        AND x.agrees IS NOT TRUE"""
)
# What is to be added to a column before it says what it should: a sum that does not fit it.
OWED = sql.SQL(
    """coalesce((
        SELECT sum((f.chosen_value #>> '{{}}')::numeric - (f.other_value #>> '{{}}')::numeric) FROM field_conflicts AS f
        WHERE f.profile_id = p.id AND f.field = concat(f.other_table, '.', {field}) AND f.rule = 'width'), 0)"""
)


def _cell(field: Field, agrees: sql.Composable) -> sql.Composed:
    return sql.SQL("({}, {})").format(sql.Literal(field.column), agrees)


def _same(sources: Sources, table: Table, field: Field) -> sql.Composable:
    """Both say the same; blanks say nothing."""
    live, ours = profile_value(sources, table, field), sql.Identifier("p", field.column)
    return sql.SQL("{} IS NOT DISTINCT FROM {}").format(said(field, live), said(field, ours))


def _customers(sources: Sources) -> sql.Composed:
    values = (Rule.FIRST, Rule.BLOCK, Rule.CONSENT, Rule.VERIFIED)
    cells: list[sql.Composable] = [
        _cell(field, _same(sources, Table.CUSTOMERS, field))
        for field in fields_of(Table.CUSTOMERS)
        if field.rule in values or field.column == "last_order_date"
    ]
    cells.append(
        sql.SQL(
            "('contact_email', unification_text(n.email) IS NULL OR unification_email(n.email) = unification_email("
            "coalesce(p.contact_email, (SELECT u.email FROM users AS u WHERE u.id = p.user_id))))"
        )
    )
    return CELLS.format(
        label=sql.Literal("customers "),
        key=sql.Identifier("id"),
        table=sql.Identifier("customers"),
        row=sql.SQL("({})").format(PRIMARY.format(user=sql.SQL("p.user_id"))),
        cells=sql.SQL(", ").join(cells),
        prefix=sql.Literal("customers."),
        source=sql.Literal("customers"),
    )


def _users(sources: Sources) -> sql.Composed:
    return CELLS.format(
        label=sql.Literal("users "),
        key=sql.Identifier("id"),
        table=sql.Identifier("users"),
        row=sql.SQL("p.user_id"),
        # A name that is taken out of the login stays in the profile, as it did with the old trigger.
        cells=sql.SQL(", ").join(
            _cell(
                field,
                sql.SQL("n.{} IS NULL OR {}").format(sql.Identifier(field.column), _same(sources, Table.USERS, field)),
            )
            for field in USERS
        ),
        prefix=sql.Literal("users."),
        source=sql.Literal("users"),
    )


def _sessions(sources: Sources) -> sql.Composed:
    return CELLS.format(
        label=sql.Literal("user_profiles "),
        key=sql.Identifier("id"),
        table=sql.Identifier("user_profiles"),
        row=FIRST_SESSION,
        cells=sql.SQL(", ").join(
            _cell(field, _same(sources, Table.USER_PROFILES, field)) for field in SESSIONS if field.rule is Rule.FIRST
        ),
        prefix=sql.Literal("user_profiles."),
        source=sql.Literal("user_profiles"),
    )


def _together(field: Field, value: sql.Composable, position: str) -> tuple[sql.Composed, sql.Composable]:
    """What the rows make of a column together, and whether the profile agrees with that."""
    name = sql.Identifier(field.column)
    rows = sql.SQL("array_agg({} ORDER BY " + position + ")").format(value)
    ours, theirs = sql.SQL("p.{}").format(name), sql.SQL("r.{}").format(name)
    if field.rule is Rule.SUM:
        owed = OWED.format(field=sql.Literal(field.column))
        return (
            sql.SQL("coalesce(sum({}), 0) AS {}").format(value, name),
            sql.SQL("{} = {} + {}").format(ours, theirs, owed),
        )
    if field.rule is Rule.MERGE:
        return (
            sql.SQL("unification_merge({}) AS {}").format(rows, name),
            sql.SQL("NOT EXISTS (SELECT FROM unification_lost({}, {}))").format(ours, theirs),
        )
    return sql.SQL("unification_union({}) AS {}").format(rows, name), sql.SQL("{} @> {}").format(theirs, ours)


def _customers_together() -> sql.Composed:
    fields = [f for f in fields_of(Table.CUSTOMERS) if f.rule in (Rule.SUM, Rule.UNION)]
    parts = [_together(field, sql.Identifier("n", field.column), "i.position") for field in fields]
    cells = [_cell(field, agrees) for field, (_, agrees) in zip(fields, parts, strict=True)]
    together = [part for part, _ in parts]
    for field in fields_by(Rule.NOTES):
        # Of several rows each has its part.
        name = sql.Identifier(field.column)
        together.append(sql.SQL("min(n.{0}) AS {0}").format(name))
        cells.append(
            _cell(
                field,
                sql.SQL("r.rows > 1 OR unification_text(r.{0}) IS NOT DISTINCT FROM unification_text(p.{0})").format(
                    name
                ),
            )
        )
    return CUSTOMERS_TOGETHER.format(together=sql.SQL(", ").join(together), cells=sql.SQL(", ").join(cells))


def _attached_together() -> sql.Composed:
    fields = [
        field
        for field in FIELD_MAP
        if Table.CUSTOMERS not in field.sources and field.rule in (Rule.SUM, Rule.UNION, Rule.MERGE)
    ]
    parts = []
    for field in fields:
        both = Table.CUSTOMER_PROFILES in field.sources
        value: sql.Composable = sql.Identifier("up", field.column)
        if both:
            value = sql.SQL("CASE WHEN cp.customer_id IS NULL THEN {} ELSE {} END").format(
                value, sql.Identifier("cp", field.column)
            )
        parts.append(_together(field, value, "a.position"))
    return ATTACHED_TOGETHER.format(
        together=sql.SQL(", ").join(part for part, _ in parts),
        cells=sql.SQL(", ").join(_cell(field, agrees) for field, (_, agrees) in zip(fields, parts, strict=True)),
    )


def _comparisons(sources: Sources) -> Iterator[sql.Composed]:
    yield _customers(sources)
    yield _users(sources)
    yield _sessions(sources)
    yield _customers_together()
    yield _attached_together()


def both_sides_agree(snapshot: Snapshot) -> Outcome:
    """What was written since, through either shape, is in the profile and in the legacy rows that stand for it."""
    assert snapshot.sources is not None
    on_from = phases.detail_of(snapshot.connection, sync.PHASE).get("on_from", 0)
    touched = TOUCHED.format(on_from=sql.Literal(on_from))
    total = Outcome(
        snapshot.one(sql.SQL("WITH {} SELECT count(*) FROM person").format(touched))[0],
    )
    if not total.rows:
        return total
    for comparison in _comparisons(snapshot.sources):
        found = snapshot.named(sql.SQL("WITH {} {}").format(touched, comparison), 0)
        total.differences += found.differences
        total.samples += found.samples
    total.samples = total.samples[:SAMPLES]
    return total
