"""One profile per user: the statements that the field map renders, and the copy of what they compute, range by range.

A person's primary rows are joined directly. Only for the few with several rows are these brought together first, in the
work tables `several_customers` and `several_attachments`, with one row per person.
"""

import threading
from functools import partial

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from profiles import search

from . import bulk_load, phases, ranges, workers
from .field_map import (
    ADDRESS_KEYS,
    DEFAULT_COUNTRY,
    FIELD_MAP,
    Field,
    Kind,
    Rule,
    Table,
    fields_by,
    fields_of,
)
from .sources import Sources

PHASE = "consolidate"

EVERYBODY = sql.SQL("true")
EMPTY = {Kind.OBJECT: sql.SQL("'{{}}'::jsonb").format(), Kind.LIST: sql.SQL("'[]'::jsonb")}
BLOCK = fields_by(Rule.BLOCK)


def column(alias: str, name: str) -> sql.Composable:
    return sql.Identifier(alias, name)


def said(field: Field, value: sql.Composable) -> sql.Composable:
    """`value` where it says something, else NULL: blanks and JSON of the wrong shape say nothing."""
    match field.kind:
        case Kind.TEXT:
            return sql.SQL("unification_text({})").format(value)
        case Kind.ADDRESS:
            return sql.SQL("unification_address({})").format(value)
        case Kind.OBJECT | Kind.LIST:
            shape = sql.Literal("object" if field.kind is Kind.OBJECT else "array")
            return sql.SQL("CASE WHEN jsonb_typeof({0}) = {1} THEN unification_json({0}) END").format(value, shape)
        case _:
            return value


def chosen(field: Field, value: sql.Composable) -> sql.Composable:
    """`value` where it can win: it says something, and it is not the default that any other value beats."""
    if field.default is None:
        return said(field, value)
    return sql.SQL("nullif({}, {})").format(said(field, value), sql.Literal(field.default))


def source_value(sources: Sources, field: Field, alias: str) -> sql.Composable:
    """The cell of `field` in a source row."""
    return sources.address(alias) if field.kind is Kind.ADDRESS else column(alias, field.column)


def has_address(sources: Sources, alias: str) -> sql.Composable:
    """Condition: the customers row says where somebody lives; the first such row of a person gives the whole block."""
    cells = (sql.SQL("{} IS NOT NULL").format(chosen(field, source_value(sources, field, alias))) for field in BLOCK)
    return sql.SQL("({})").format(sql.SQL(" OR ").join(cells))


def _aggregate(field: Field, value: sql.Composable, order: sql.Composable) -> sql.Composable:
    """The rule of `field` over several rows of one source, in `order`."""
    parts = {"value": value, "order": order, "chosen": chosen(field, value)}
    match field.rule:
        case Rule.FIRST:
            return sql.SQL("(array_agg({chosen} ORDER BY {order}) FILTER (WHERE {chosen} IS NOT NULL))[1]").format(
                **parts
            )
        case Rule.SUM:
            return sql.SQL("coalesce(sum({value}), 0)").format(**parts)
        case Rule.GREATEST:
            return sql.SQL("max({value})").format(**parts)
        case Rule.LEAST:
            return sql.SQL("min({value})").format(**parts)
        case Rule.MERGE:
            return _one_or_more(field, "{rows}[1]", "unification_merge({rows})", parts)
        case Rule.UNION:
            return _one_or_more(field, "unification_list({rows}[1])", "unification_union({rows})", parts)
        case Rule.CONSENT | Rule.VERIFIED:
            return sql.SQL("bool_and({value} IS TRUE)").format(**parts)
    raise NotImplementedError(f"{field.column}: the rule {field.rule} is not one over rows")


def _one_or_more(field: Field, one: str, more: str, parts: dict[str, sql.Composable]) -> sql.Composable:
    """JSON of several rows: most persons have it in one of them, and are spared the function over many."""
    rows = sql.SQL("(array_agg({value} ORDER BY {order}) FILTER (WHERE {chosen} IS NOT NULL))").format(**parts)
    return sql.SQL(
        "CASE coalesce(cardinality({rows}), 0) WHEN 0 THEN {empty} WHEN 1 THEN {one} ELSE {more} END"
    ).format(
        rows=rows,
        empty=EMPTY[field.kind],
        one=sql.SQL(one).format(rows=rows),
        more=sql.SQL(more).format(rows=rows),
    )


def several_customers(sources: Sources) -> sql.Composable:
    """One row per person with more than one customers row, with every customers field brought together."""
    position = column("i", "position")
    cells: list[sql.Composable] = [
        sql.SQL("{} AS {}").format(
            _aggregate(field, source_value(sources, field, "c"), position), sql.Identifier(field.column)
        )
        for field in fields_of(Table.CUSTOMERS)
        if field.rule not in (Rule.BLOCK, Rule.NOTES)
    ]
    block = sql.SQL(", ").join(
        sql.SQL("{}::text").format(said(field, source_value(sources, field, "c"))) for field in BLOCK
    )
    cells.append(
        sql.SQL("(array_agg(ARRAY[{}] ORDER BY {}) FILTER (WHERE {}))[1:1] AS block").format(
            block, position, has_address(sources, "c")
        )
    )
    notes = sql.SQL(
        "(array_agg(c.notes ORDER BY c.created_at, c.id) FILTER (WHERE unification_text(c.notes) IS NOT NULL))"
    )
    cells += [
        sql.SQL(
            "CASE WHEN cardinality({notes}) = 1 THEN {notes}[1] ELSE (SELECT string_agg(note, E'\\n\\n' ORDER BY at)"
            " FROM (SELECT note, min(at) AS at FROM unnest({notes}) WITH ORDINALITY AS n (note, at) GROUP BY note)"
            " AS distinct_notes) END AS {column}"
        ).format(notes=notes, column=sql.Identifier(field.column))
        for field in fields_by(Rule.NOTES)
    ]
    return sql.SQL(
        """
    SELECT i.user_id,
        {cells}
    FROM legacy_identities AS i
    JOIN {customers} AS c ON c.id = i.customer_id
    WHERE i.user_id IN (SELECT m.user_id FROM legacy_identities AS m WHERE m.position = 2)
    GROUP BY i.user_id"""
    ).format(cells=sql.SQL(",\n        ").join(cells), customers=sources.table("customers"))


def several_attachments(sources: Sources) -> sql.Composable:
    """One row per person with a user_profiles row or with several attached rows, newest first."""
    cells = []
    for field in FIELD_MAP:
        tables = [table for table in field.sources if table in (Table.CUSTOMER_PROFILES, Table.USER_PROFILES)]
        if not tables:
            continue
        if len(tables) == 2:
            value: sql.Composable = sql.SQL("CASE a.source WHEN 'customer_profiles' THEN {} ELSE {} END").format(
                column("cp", field.column), column("up", field.column)
            )
        else:
            value = column("up", field.column)
        order = sql.SQL("a.source, a.position" if field.rule is Rule.UNION else "a.position")
        cells.append(sql.SQL("{} AS {}").format(_aggregate(field, value, order), sql.Identifier(field.column)))
    return sql.SQL(
        """
    SELECT a.user_id,
        {cells}
    FROM legacy_attachments AS a
    LEFT JOIN {customer_profiles} AS cp ON a.source = 'customer_profiles' AND cp.customer_id = a.key
    LEFT JOIN {user_profiles} AS up ON a.source = 'user_profiles' AND up.id::text = a.key
    WHERE a.user_id IN (
        SELECT m.user_id FROM legacy_attachments AS m
        WHERE m.position > 1 OR m.source = 'user_profiles' AND m.position = 1)
    GROUP BY a.user_id"""
    ).format(
        cells=sql.SQL(",\n        ").join(cells),
        customer_profiles=sources.table("customer_profiles"),
        user_profiles=sources.table("user_profiles"),
    )


def _list(value: sql.Composable) -> sql.Composable:
    return sql.SQL("unification_list({})").format(value)


# What a rule over no rows gives.
NOTHING = {
    Kind.TEXT: sql.SQL("NULL::text"),
    Kind.OBJECT: sql.SQL("NULL::jsonb"),
    Kind.LIST: EMPTY[Kind.LIST],
}


def expression(sources: Sources, field: Field, alone: bool) -> sql.Composable:
    """The value of `field` for one person, over the aliases of `profile_rows`; `alone` as there."""

    def _several(many: str, several: sql.Composable, one: sql.Composable) -> sql.Composable:
        """A person's value: from the work table `many` where the person is in it, else from the one row."""
        if alone:
            return one
        return sql.SQL("CASE WHEN {}.user_id IS NULL THEN {} ELSE {} END").format(sql.Identifier(many), one, several)

    name = field.column
    customers, users = Table.CUSTOMERS in field.sources, Table.USERS in field.sources
    attached = Table.USER_PROFILES in field.sources
    c, u = source_value(sources, field, "c"), column("u", name)
    sc, sa = column("sc", name), column("sa", name)
    match field.rule:
        case Rule.FIRST:
            asked: list[sql.Composable] = []
            if customers and users:
                asked.append(sql.SQL("CASE WHEN i.\"case\" = 'linked' THEN {} END").format(chosen(field, c)))
            if users:
                asked.append(chosen(field, u))
            if customers:
                asked.append(_several("sc", sc, chosen(field, c)))
            if attached and not alone:
                asked.append(sa)
            if field.default is not None:
                asked.append(sql.Literal(field.default))
            if not asked:
                return NOTHING[field.kind]
            return sql.SQL("coalesce({})").format(sql.SQL(", ").join(asked))
        case Rule.BLOCK:
            return _block_cell(sources, field, alone)
        case Rule.SUM if customers:
            return _several("sc", sc, sql.SQL("coalesce({}, 0)").format(c))
        case Rule.SUM:
            return _several("sa", sa, sql.SQL("coalesce({}, 0)").format(column("cp", name)))
        case Rule.GREATEST | Rule.LEAST:
            times = [_several("sc", sc, c)]
            if users:
                times.append(u)
            if attached:
                times.append(_several("sa", sa, column("cp", name)))
            return sql.SQL("{}({}) AT TIME ZONE 'UTC'").format(sql.SQL(field.rule.value), sql.SQL(", ").join(times))
        case Rule.MERGE:
            one = sql.SQL("CASE WHEN jsonb_typeof({0}) = 'object' THEN {0} ELSE '{{}}'::jsonb END")
            return _several("sa", sa, one.format(column("cp", name)))
        case Rule.UNION if customers:
            return _several("sc", sc, _list(c))
        case Rule.UNION if Table.CUSTOMER_PROFILES in field.sources:
            return _several("sa", sa, _list(column("cp", name)))
        case Rule.UNION:
            return NOTHING[field.kind] if alone else sql.SQL("coalesce({}, '[]'::jsonb)").format(sa)
        case Rule.NOTES:
            return _several("sc", sc, said(field, c))
        case Rule.CONSENT:
            copies = [_several("sc", sc, sql.SQL("c.id IS NULL OR {} IS TRUE").format(c))]
            if users:
                copies.append(sql.SQL("(i.\"case\" IN ('new_user', 'separate') IS TRUE OR {} IS TRUE)").format(u))
            else:
                copies.append(sql.SQL("c.id IS NOT NULL"))
            return sql.SQL("({})").format(sql.SQL(" AND ").join(sql.SQL("({})").format(copy) for copy in copies))
        case Rule.VERIFIED:
            guests = _several("sc", sc, sql.SQL("{} IS TRUE").format(c))
            return sql.SQL(
                "CASE WHEN c.id IS NULL THEN u.email_verified IS TRUE OR u.phone_verified IS TRUE"
                " WHEN i.\"case\" = 'linked' THEN {} IS TRUE ELSE {} END"
            ).format(c, guests)
    raise NotImplementedError(field.rule)


def _block_cell(sources: Sources, field: Field, alone: bool) -> sql.Composable:
    """A cell of the chosen address; blank ones are filled from the parts of a JSON address."""
    places = {part.column: place for place, part in enumerate(BLOCK, start=1)}

    def cell(part: Field) -> sql.Composable:
        one = said(part, source_value(sources, part, "c"))
        if alone:
            return one
        return sql.SQL("CASE WHEN sc.block IS NULL THEN {} ELSE sc.block[1][{}] END").format(
            one, sql.Literal(places[part.column])
        )

    own = cell(field)
    if field.kind is Kind.ADDRESS or (alone and field.default is None):
        return own
    if alone:
        return sql.SQL("CASE WHEN c.id IS NULL THEN {} ELSE {} END").format(sql.Literal(field.default), own)
    address = cell(BLOCK[0])
    part = address_part(address, field)
    if field.default is None:
        return sql.SQL("coalesce({}, {})").format(own, part)
    return sql.SQL("CASE WHEN c.id IS NULL THEN {0} ELSE coalesce(nullif({1}, {0}), {2}, {1}) END").format(
        sql.Literal(DEFAULT_COUNTRY), own, part
    )


def address_part(address: sql.Composable, field: Field) -> sql.Composed:
    """The part of a JSON address that fills the column, where the address can be one: few are, and parsing costs."""
    return sql.SQL(
        "CASE WHEN strpos({0}, '{{') > 0 THEN unification_part(unification_object({0}), {1}, {2}) END"
    ).format(address, sql.Literal(ADDRESS_KEYS[field.column]), sql.Literal(field.width))


# Where to write, when it is not the login: a separate guest's address as it was, or a linked row's other address.
CONTACT_EMAIL = sql.SQL(
    """CASE
            WHEN i."case" = 'separate' THEN c.email
            WHEN i."case" = 'linked' AND c.email <> u.email AND unification_text(c.email) IS NOT NULL
                AND unification_email(c.email) <> unification_email(u.email) THEN c.email
        END"""
)


NEW_ID = sql.SQL("gen_random_uuid()")


# Persons with one row of each kind at most, and no address that may be JSON: no work table has anything of theirs, and no
# text is parsed, which may fail and then takes a subtransaction. So parallel workers may compute their rows.
IS_ALONE = sql.SQL(
    """NOT EXISTS (SELECT FROM legacy_identities AS m WHERE m.user_id = src.id AND m.position = 2)
        AND NOT EXISTS (
            SELECT FROM legacy_attachments AS m
            WHERE m.user_id = src.id AND (m.position > 1 OR m.source = 'user_profiles' AND m.position = 1))
        AND ({address} LIKE '%{{%') IS NOT TRUE"""
)


def others(sources: Sources) -> sql.Composable:
    """The users who are not alone, one of ten at most."""
    return sql.SQL(
        """
        SELECT user_id FROM legacy_identities WHERE position = 2
        UNION SELECT user_id FROM legacy_attachments
        WHERE position > 1 OR source = 'user_profiles' AND position = 1
        UNION SELECT i.user_id FROM legacy_identities AS i JOIN {customers} AS c ON c.id = i.customer_id
        WHERE i.position = 1 AND {address} LIKE '%{{%'"""
    ).format(customers=sources.table("customers"), address=sources.address("c"))


def profile_rows(
    sources: Sources,
    people: sql.Composable,
    where: sql.Composable,
    alone: bool,
    new_id: sql.Composable = NEW_ID,
) -> sql.Composed:
    """SELECT of whole profiles. `people` gives src.id, a user each, src.place, and `u`, its legacy row.

    The rows of those who are alone, else of others, to whom what the work tables brought together is joined.
    """
    cells = [
        sql.SQL("{} AS {}").format(expression(sources, field, alone), sql.Identifier(field.column))
        for field in FIELD_MAP
    ]
    joined = sql.SQL("")
    if alone:
        where = sql.SQL("{} AND {}").format(where, IS_ALONE.format(address=sources.address("c")))
    else:
        joined = sql.SQL(
            """
    LEFT JOIN several_customers AS sc ON sc.user_id = src.id
    LEFT JOIN several_attachments AS sa ON sa.user_id = src.id"""
        )
    return sql.SQL(
        """
    SELECT
        src.place,
        coalesce(c.id, {new_id}) AS id,
        src.id AS user_id,
        {contact_email} AS contact_email,
        {cells}
    FROM {people}
    LEFT JOIN legacy_identities AS i ON i.user_id = src.id AND i.position = 1
    LEFT JOIN {customers} AS c ON c.id = i.customer_id
    LEFT JOIN legacy_attachments AS a
        ON a.user_id = src.id AND a.position = 1 AND a.source = 'customer_profiles'
    LEFT JOIN {customer_profiles} AS cp ON cp.customer_id = a.key{joined}
    WHERE {where}"""
    ).format(
        new_id=new_id,
        contact_email=CONTACT_EMAIL,
        cells=sql.SQL(",\n        ").join(cells),
        people=people,
        customers=sources.table("customers"),
        customer_profiles=sources.table("customer_profiles"),
        joined=joined,
        where=where,
    )


# The columns of a users row that the rules read.
LOGIN = ("id", "email", "email_verified", "phone_verified", *(field.column for field in fields_of(Table.USERS)))
# Every person that the unification finds: the users, and the guests who got accounts, of whom no users row says anything.
# Guests have no place in the table, and go last.
PEOPLE = sql.SQL(
    """(
        SELECT ctid AS place, {columns} FROM {users}
        UNION ALL
        SELECT '(4294967295,0)'::tid, user_id, {nothing} FROM legacy_identities
        WHERE position = 1 AND "case" IN ('new_user', 'separate')
    ) AS src"""
)
LEGACY_ROW = sql.SQL(" CROSS JOIN LATERAL (SELECT src.*) AS u")  # one scan under both names


def people(sources: Sources) -> sql.Composed:
    """Everybody, with what their users row says."""
    return PEOPLE.format(
        columns=sql.SQL(", ").join(map(sql.Identifier, LOGIN)),
        users=sources.table("users"),
        nothing=sql.SQL(", ").join(sql.SQL("NULL") for _ in LOGIN[1:]),
    )


COLUMNS = sql.SQL(", ").join(
    sql.Identifier(name) for name in ("id", "user_id", "contact_email", *(field.column for field in FIELD_MAP))
)


# What is computed of all persons before any profile is written: those who are alone, the others, and what these are made of.
ALONE, OTHERS = "unification_profiles_alone", "unification_profiles_of_others"


def work_tables(sources: Sources, profiles: str) -> dict[str, sql.Composable]:
    """The queries of the work tables that end in the profiles of those who are alone, or of the others.

    An INSERT cannot use parallel workers; CREATE TABLE AS can, for those who are alone.
    """
    everybody = people(sources)
    if profiles == ALONE:
        return {ALONE: profile_rows(sources, everybody + LEGACY_ROW, EVERYBODY, alone=True)}
    return {
        # With their rows, of which a plan then knows that they are few.
        "others": sql.SQL("SELECT src.* FROM {} JOIN ({}) AS o ON o.user_id = src.id").format(
            everybody, others(sources)
        ),
        "several_customers": several_customers(sources),
        "several_attachments": several_attachments(sources),
        OTHERS: profile_rows(sources, sql.SQL("others AS src") + LEGACY_ROW, EVERYBODY, alone=False),
    }


def make_work_tables(cursor: CursorWrapper, sources: Sources, profiles: str) -> None:
    """Compute the profiles of those who are alone, or of the others, for all workers to copy."""
    queries = work_tables(sources, profiles)
    for name, query in queries.items():
        phases.create_work_table(cursor, sql.Identifier(name), query, shared=name == profiles)
        if name == profiles:
            cursor.execute(sql.SQL("CREATE INDEX ON {} (place)").format(sql.Identifier(name)))
        key = sql.Identifier("id" if name == "others" else "user_id")
        cursor.execute(sql.SQL("ANALYZE {} ({})").format(sql.Identifier(name), key))
    for name in queries.keys() - {profiles}:
        cursor.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))


def insert_profiles(places: sql.Composable) -> sql.Composed:
    """The copy of the users whose rows are at `places`."""
    return sql.SQL(
        """
INSERT INTO profiles ({columns})
SELECT {columns} FROM {alone} AS n WHERE {places}
UNION ALL SELECT {columns} FROM {others} AS n WHERE {places}
"""
    ).format(columns=COLUMNS, places=places, alone=sql.Identifier(ALONE), others=sql.Identifier(OTHERS))


ALIASES = """
INSERT INTO profile_aliases (id, profile_id)
SELECT i.customer_id, p.id
FROM legacy_identities AS i JOIN profiles AS p ON p.user_id = i.user_id
WHERE i.position > 1
ON CONFLICT (id) DO NOTHING
"""


def consolidate(connection: BaseDatabaseWrapper, sources: Sources) -> None:
    """Copy every person of the backups into `profiles`: ranges without indexes, then the indexes and keys."""
    with phases.phase(connection, PHASE) as detail:
        bulk_load.set_aside(connection, PHASE, "profiles")
        ranges.plan(connection, PHASE, "backup_users")

        def copy(cursor: CursorWrapper, stretch: ranges.Stretch, turn: int) -> int:
            cursor.execute(insert_profiles(stretch.holds(sql.SQL("n.place"))))
            return cursor.rowcount

        if ranges.are_open(connection, PHASE):
            workers.share_out(connection, [partial(_compute, sources.backups(), name) for name in (ALONE, OTHERS)])
        ranges.run(connection, ranges.Step(PHASE, "backup_users", copy))
        detail["rows"] = ranges.rows_of(connection, PHASE)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE profiles")
        ahead = {search.TAGS_INDEX: search.TAGS_DEFINITION}
        bulk_load.put_back(connection, PHASE, "profiles", own_foreign_keys=False, ahead=ahead, meanwhile=[_add_aliases])
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM profile_aliases")
            detail["aliases"] = cursor.fetchone()[0]
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}, {}").format(sql.Identifier(ALONE), sql.Identifier(OTHERS)))
            cursor.execute("ANALYZE profile_aliases")


def _compute(sources: Sources, profiles: str, connection: BaseDatabaseWrapper, stopped: threading.Event) -> None:
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        phases.tune(cursor)
        make_work_tables(cursor, sources, profiles)


def _add_aliases(connection: BaseDatabaseWrapper, stopped: threading.Event) -> None:
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        phases.tune(cursor)
        cursor.execute(ALIASES)
