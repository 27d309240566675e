"""From a legacy row to its person's profile, and on to the other live copies: what the old application writes is the newest."""

from psycopg import sql

from ..field_map import FIELD_MAP, Field, Kind, Rule, Table, fields_of
from ..sources import BACKUP_KEYS, Sources
from .to_legacy import (
    CUSTOMERS,
    LOGIN_COLUMNS,
    PRIMARY,
    USERS,
    between,
    in_groups,
    lock_customer,
    lock_login,
    locked,
    noted,
    row,
    write,
)

# Whose row it is: the profile that the person has by now.
OWNER: dict[Table, sql.SQL] = {
    Table.USERS: sql.SQL("SELECT coalesce(p.merged_into_id, p.id) FROM profiles AS p WHERE p.user_id = n.id"),
    Table.CUSTOMERS: sql.SQL(
        "SELECT coalesce(p.merged_into_id, p.id) FROM legacy_identities AS i JOIN profiles AS p ON p.user_id = i.user_id"
        " WHERE i.customer_id = n.id"
    ),
    Table.CUSTOMER_PROFILES: sql.SQL(
        "SELECT coalesce(p.merged_into_id, p.id) FROM legacy_attachments AS a JOIN profiles AS p ON p.user_id = a.user_id"
        " WHERE a.source = 'customer_profiles' AND a.key = n.customer_id::text"
    ),
    Table.USER_PROFILES: sql.SQL(
        "SELECT coalesce(p.merged_into_id, p.id) FROM legacy_attachments AS a JOIN profiles AS p ON p.user_id = a.user_id"
        " WHERE a.source = 'user_profiles' AND a.key = n.id::text"
    ),
}

FROM = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_from_{name}(
    person uuid, o {relation}, n {relation}, is_late boolean DEFAULT false
) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    p profiles;
    q profiles;
    {declared}
BEGIN
    {lock_profile}
    IF p.merged_into_id IS NOT NULL THEN
        RETURN unification_sync_from_{name}(unification_sync_person(p.merged_into_id), o, n, is_late);
    END IF;
    IF p.id IS NULL THEN
        RETURN true;
    END IF;
    {lock_more}
    q := p;
    {carry}
    IF q *<> p THEN
        {times}
        IF {is_own} THEN
            {to_other_copy}
        ELSIF NOT unification_sync_spread(p, q, {table}, person) THEN
            RETURN false;
        END IF;
        UPDATE profiles SET {assigned} WHERE id = p.id;
    END IF;
    {more}
    RETURN true;
END
$$
"""
)

# A row that has changed: whose it is, and what of it is theirs.
CHANGED = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_{name}_follow(
    person uuid, o {relation}, n {relation}, among_others boolean
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    locked text;
BEGIN
    -- Who they are by now, the profile says when it is read.
    locked := pg_advisory_xact_lock(uuid_hash_extended(person, 1));
    {first}
    -- Among others, a row of the same person may have been carried into this one meanwhile.
    IF NOT unification_sync_from_{name}(person, o, n, is_late => among_others) THEN
        PERFORM unification_sync_hand_over(unification_sync_person(person), {table}, to_jsonb(o), to_jsonb(n));
    ELSIF EXISTS (SELECT FROM legacy_handovers) THEN
        PERFORM unification_sync_settle(unification_sync_person(person));
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION unification_sync_{name}_changed(o {relation}, n {relation}) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    person uuid := ({owner});
BEGIN
    IF person IS NULL THEN
        PERFORM unification_sync_{name}_arrived(n);
    ELSE
        PERFORM unification_sync_{name}_follow(person, o, n, false);
    END IF;
END
$$
"""
)

# One row, as applications write them, is found without a join.
UPDATED = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_{name}_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    change record;
    via text := current_setting('unified.via', true);
    marked text;
BEGIN
    SELECT ROW(o.*)::{relation} AS o, ROW(n.*)::{relation} AS n, ({owner}) AS owner,
        n.{key} = o.{key} AND {changed} AS matters, EXISTS (SELECT FROM after OFFSET 1) AS among_others
    INTO change FROM before AS o, after AS n LIMIT 1;
    IF change.among_others THEN
        FOR change IN
            SELECT ROW(o.*)::{relation} AS o, ROW(n.*)::{relation} AS n, ({owner}) AS owner, true AS among_others
            FROM before AS o JOIN after AS n ON n.{key} = o.{key} WHERE {changed} ORDER BY 3, n.{key}
        LOOP
            {follow}
        END LOOP;
    ELSIF change.matters THEN
        {follow}
    END IF;
    RETURN NULL;
END
$$
"""
)
FOLLOW = sql.SQL(
    """{noted}
            marked := set_config('unification.sync', 'on', true) || set_config('unified.via', 'sync', true);
            IF change.owner IS NULL THEN
                PERFORM unification_sync_{name}_changed(change.o, change.n);
            ELSE
                marked := unification_sync_{name}_follow(change.owner, change.o, change.n, change.among_others);
            END IF;
            marked := set_config('unification.sync', '', true) || set_config('unified.via', coalesce(via, ''), true);"""
)


def profile_value(sources: Sources, table: Table, field: Field) -> sql.Composable:
    """A legacy cell of the row `n` as the profile's column holds it."""
    value: sql.Composable = sql.Identifier("n", field.column)
    match field.kind:
        case Kind.TIME:
            return sql.SQL("{} AT TIME ZONE 'UTC'").format(value)
        case Kind.ADDRESS:
            return sources.address("n")
        case Kind.BOOLEAN:
            return sql.SQL("{} IS TRUE").format(value)
    if field.column == "customer_type":
        return sql.SQL("coalesce({}, {})").format(value, sql.Literal(field.default))
    return value


def carried(sources: Sources, table: Table, field: Field) -> sql.Composed | None:
    """The statement that carries a changed cell (from `o` to `n`) over to the profile `q`."""
    name = sql.Identifier(field.column)
    parts: dict[str, sql.Composable] = {
        "name": name,
        "value": profile_value(sources, table, field),
        "label": sql.Literal(field.column),
        "table": sql.Literal(str(table)),
        "key": sql.SQL("n.{}::text").format(sql.Identifier(BACKUP_KEYS[table])),
        "shape": sql.Literal("object" if field.kind is Kind.OBJECT else "array"),
    }
    condition = "n.{name} IS DISTINCT FROM o.{name}"
    misshapen = """
        IF jsonb_typeof(n.{name}) <> {shape} AND unification_json(n.{name}) IS NOT NULL THEN
            PERFORM unification_sync_left_out(
                p.id, {label}, 'shape', 'profiles', p.id::text, to_jsonb(q.{name}), {table}, {key}, n.{name}
            );
        END IF;"""
    match field.rule:
        case Rule.BLOCK | Rule.VERIFIED if table is not Table.CUSTOMERS:
            return None
        case Rule.BLOCK:
            return None  # carried as a whole
        case Rule.SUM:
            return sql.SQL(
                """IF n.{name} IS DISTINCT FROM o.{name} THEN
        q.{name} := q.{name} + coalesce(n.{name}, 0) - coalesce(o.{name}, 0);
        IF p.{name} NOT BETWEEN {range} THEN
            -- The column lacks what it cannot hold: so it does after this.
            UPDATE field_conflicts AS f SET other_value = to_jsonb(n.{name}), chosen_value = to_jsonb(
                (f.chosen_value #>> '{{}}')::numeric + coalesce(n.{name}, 0) - coalesce(o.{name}, 0))
            WHERE f.profile_id = p.id AND f.field = concat({table}, '.', {label}) AND f.path = ''
                AND f.other_table = {table} AND f.other_row = {key} AND f.rule = 'width';
        END IF;
    END IF;"""
            ).format(range=between(sources, table, field), **parts)
        case Rule.UNION:
            body = "q.{name} := unification_list_changed(q.{name}, o.{name}, n.{name});" + misshapen
        case Rule.MERGE:
            body = "q.{name} := unification_object_changed(q.{name}, o.{name}, n.{name});" + misshapen
        case Rule.NOTES:
            body = "q.{name} := unification_notes_changed(q.{name}, o.{name}, n.{name});"
        case Rule.LEAST | Rule.GREATEST if field.column == "updated_at":
            return None
        case Rule.LEAST | Rule.GREATEST:
            # A correction of the row that the profile has it from is a correction of the profile.
            body = (
                "q.{name} := CASE WHEN o.{name} AT TIME ZONE 'UTC' IS NOT DISTINCT FROM q.{name} THEN {value} ELSE "
                + ("least" if field.rule is Rule.LEAST else "greatest")
                + "(q.{name}, {value}) END;"
            )
        case Rule.FIRST if field.kind is Kind.OBJECT:
            body = (
                "IF unification_json(n.{name}) IS NULL THEN q.{name} := NULL;"
                " ELSIF jsonb_typeof(n.{name}) = {shape} THEN q.{name} := n.{name}; END IF;" + misshapen
            )
        case _:
            if table is Table.USERS and field.rule is Rule.FIRST:
                condition += " AND n.{name} IS NOT NULL"
            if table is Table.USER_PROFILES and field.default is not None:
                condition += " AND unification_text(n.{name}) IS NOT NULL"
            body = "q.{name} := {value};"
            if field.width is not None and _wider(sources, table, field):
                body = (
                    "IF char_length(n.{name}) > {width} THEN PERFORM unification_sync_left_out(p.id, {label}, 'width',"
                    " 'profiles', p.id::text, to_jsonb(q.{name}), {table}, {key}, to_jsonb(n.{name}));"
                    " ELSE q.{name} := {value}; END IF;"
                )
                parts["width"] = sql.Literal(field.width)
    return sql.SQL("IF " + condition + " THEN\n        " + body + "\n    END IF;").format(**parts)


def _wider(sources: Sources, table: Table, field: Field) -> bool:
    """Whether the legacy column holds more characters than the profile's."""
    kind = sources.columns.get(table, {}).get(field.column)
    if kind is None:
        return False
    if not kind.startswith("character varying("):
        return True
    return int(kind.removeprefix("character varying(").removesuffix(")")) > (field.width or 0)


BLOCK = tuple(field for field in FIELD_MAP if field.rule is Rule.BLOCK)


def _block(sources: Sources) -> sql.Composed:
    """A row's address goes over as a whole: parts of two are never mixed."""
    names = sql.SQL(", ").join(sql.Identifier("n", field.column) for field in BLOCK)
    old = sql.SQL(", ").join(sql.Identifier("o", field.column) for field in BLOCK)
    return sql.SQL("IF ({}) IS DISTINCT FROM ({}) THEN\n        {}\n    END IF;").format(
        names,
        old,
        sql.SQL("\n        ").join(
            sql.SQL("q.{} := {};").format(sql.Identifier(field.column), profile_value(sources, Table.CUSTOMERS, field))
            for field in BLOCK
        ),
    )


# Where to write, as the take-over decides it: the row's own address, where it is not the login. A guest's address leads to
# the account that was made for it.
LOCK_LOGIN = sql.SQL(
    """IF n.email IS DISTINCT FROM o.email THEN
        is_primary := n.id = ({primary});
        IF is_primary THEN
        {lock}
        END IF;
    END IF;"""
)
EMAIL_OF_CUSTOMER = sql.SQL(
    """IF is_primary THEN
        q.contact_email := unification_sync_email(p, n, u);
    END IF;"""
)

# What the old trigger did: verified is who has verified either; a new login is where to write.
VERIFIED_AND_LOGIN = sql.SQL(
    """IF (n.email_verified, n.phone_verified) IS DISTINCT FROM (o.email_verified, o.phone_verified)
        AND n.id = p.user_id
    THEN
        q.is_verified := n.email_verified IS TRUE OR n.phone_verified IS TRUE;
    END IF;
    IF n.email IS DISTINCT FROM o.email AND n.id = p.user_id AND n.email IS NOT NULL THEN
        q.contact_email := NULL;
    END IF;"""
)
LOCK_OWN_CUSTOMER = sql.SQL(
    """IF (n.email, n.active) IS DISTINCT FROM (o.email, o.active) THEN
        own_id := ({primary});
        IF own_id IS NOT NULL THEN
        {lock}
        END IF;
    END IF;"""
)
WRITE_OWN_CUSTOMER = sql.SQL(
    """IF own_id IS NOT NULL THEN
        UPDATE customers SET
            email = CASE WHEN n.email IS DISTINCT FROM o.email AND n.email IS NOT NULL THEN n.email ELSE email END,
            is_active = CASE WHEN n.active IS DISTINCT FROM o.active THEN n.active ELSE is_active END
        WHERE id = own_id AND (
            n.email IS DISTINCT FROM o.email AND n.email IS NOT NULL AND email IS DISTINCT FROM n.email
            OR n.active IS DISTINCT FROM o.active AND is_active IS DISTINCT FROM n.active)
        RETURNING * INTO c;
        IF FOUND THEN
            PERFORM unification_sync_wrote(c, true);
        END IF;
    END IF;"""
)


# The login's copy of what its own customers row says.
TO_LOGIN = sql.SQL(
    """IF ({before}) IS DISTINCT FROM ({after}) THEN
        {lock}
        {write}
            END IF;"""
)
# Beside the fields of the table.
ALSO_REACHED = {Table.CUSTOMERS: ("contact_email",), Table.USERS: ("contact_email", "is_verified")}


def _from(sources: Sources, table: Table) -> sql.Composed:
    found = [(field, carried(sources, table, field)) for field in fields_of(table)]
    carry: list[sql.Composable] = [
        in_groups("o", "n", [(field, statement) for field, statement in found if statement is not None])
    ]
    # What of a profile a row of this table can change: no more is written, so that what is made of the rest stays as it is.
    reached = [*ALSO_REACHED.get(table, ()), *(field.column for field in fields_of(table))]
    parts: dict[str, sql.Composable] = {
        "declared": sql.SQL(""),
        "lock_more": sql.SQL(""),
        "more": sql.SQL(""),
        "is_own": sql.SQL("false"),
        "to_other_copy": sql.SQL("NULL;"),
    }
    if table is Table.CUSTOMERS:
        carry += [_block(sources), EMAIL_OF_CUSTOMER]
        parts |= {
            "declared": sql.SQL("is_primary boolean;\n    u users;\n    old_u users;"),
            # A linked row is the primary one, and says it already; not where somebody else has written to it since.
            "is_own": sql.SQL("n.user_id = p.user_id AND NOT is_late"),
            "to_other_copy": TO_LOGIN.format(
                before=row("p", USERS),
                after=row("q", USERS),
                lock=lock_login(),
                write=write(sources, Table.USERS, USERS),
            ),
            "lock_more": LOCK_LOGIN.format(
                primary=PRIMARY.format(user=sql.SQL("p.user_id")), lock=locked("users", "u", sql.SQL("p.user_id"))
            ),
        }
    if table is Table.USERS:
        carry.append(VERIFIED_AND_LOGIN)
        parts |= {
            "declared": sql.SQL(
                "own_id uuid;\n    primary_id uuid;\n    c customers;\n    old_c customers;\n    login text;\n    origin text := 'users';"
            ),
            "is_own": sql.SQL("n.id = p.user_id AND NOT is_late"),
            "to_other_copy": sql.SQL("\n        ").join(
                [lock_customer(), write(sources, Table.CUSTOMERS, tuple(f for f in CUSTOMERS if f.column in reached))]
            ),
            "lock_more": LOCK_OWN_CUSTOMER.format(
                primary=PRIMARY.format(user=sql.SQL("n.id")), lock=locked("customers", "c", sql.SQL("own_id"))
            ),
            "more": WRITE_OWN_CUSTOMER,
        }
    return FROM.format(
        name=sql.SQL(table.value),
        relation=sql.Identifier(table),
        table=sql.Literal(str(table)),
        lock_profile=locked("profiles", "p", sql.SQL("person")),
        carry=sql.SQL("\n    ").join(carry),
        times=sql.SQL(
            "IF n.updated_at IS DISTINCT FROM o.updated_at THEN\n"
            "            q.updated_at := greatest(q.updated_at, n.updated_at AT TIME ZONE 'UTC');\n        END IF;"
        ),
        assigned=sql.SQL(", ").join(sql.SQL("{0} = q.{0}").format(sql.Identifier(name)) for name in reached),
        **parts,
    )


WATCHED = ("email", "active", "email_verified", "phone_verified", "session_id")


def _changed(sources: Sources) -> sql.Composed:
    """Condition: more of a users row has changed than a login's own times and rights."""
    known = dict.fromkeys((field.column for field in fields_of(Table.USERS)), "text")
    found = {
        name: kind for name, kind in (sources.columns.get(Table.USERS) or known).items() if name not in LOGIN_COLUMNS
    }
    # Not every type can be compared: those are by their text.
    plain = [*WATCHED, *(name for name in found if name in known or name == "id")]
    odd = [name for name in found if name not in plain]

    def row(alias: str) -> sql.Composed:
        return sql.SQL(", ").join(
            [
                *(sql.Identifier(alias, name) for name in plain),
                *(sql.SQL("{}::text").format(sql.Identifier(alias, name)) for name in odd),
            ]
        )

    return sql.SQL("({}) IS DISTINCT FROM ({})").format(row("o"), row("n"))


def statements(sources: Sources) -> list[sql.Composable]:
    """The functions of this module."""
    made: list[sql.Composable] = [_from(sources, table) for table in Table]
    for table in Table:
        parts: dict[str, sql.Composable] = {
            "name": sql.SQL(table.value),
            "relation": sql.Identifier(table),
            "owner": OWNER[table],
        }
        made.append(
            CHANGED.format(table=sql.Literal(str(table)), first=FIRST.get(table, sql.SQL("")), **parts),
        )
        made.append(
            UPDATED.format(
                key=sql.Identifier(BACKUP_KEYS[table]),
                changed=_changed(sources) if table is Table.USERS else sql.SQL("o *<> n"),
                follow=FOLLOW.format(name=sql.SQL(table.value), noted=noted(table, "change.n", by_us=False)),
                **parts,
            )
        )
    return made


# Before the values: what a change says about whose the row is.
FIRST = {
    Table.CUSTOMERS: sql.SQL(
        """IF n.user_id IS DISTINCT FROM o.user_id THEN
        PERFORM unification_sync_linked(o, n);
    END IF;"""
    ),
    Table.USERS: sql.SQL(
        """IF n.session_id IS DISTINCT FROM o.session_id THEN
        PERFORM unification_sync_session(n);
    END IF;"""
    ),
}
