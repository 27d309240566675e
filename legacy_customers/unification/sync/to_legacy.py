"""From a profile to the legacy tables: its primary customers row, its users row, and the newest row attached to it.

A value goes to every live copy. A sum, a list, an object travels as a difference. Rows that were merged in stay as they are.
"""

from collections.abc import Iterator

from psycopg import sql

from ..backup import row_hash
from ..field_map import AUTH_COLUMNS, FIELD_MAP, Field, Kind, Rule, Table, fields_of
from ..sources import BACKUP_KEYS, Sources

LOGIN_COLUMNS = ("email", "updated_at", *AUTH_COLUMNS)
# Rules whose values are parts of several rows: they travel as differences.
DIFFERENCES = (Rule.SUM, Rule.UNION, Rule.MERGE, Rule.NOTES)
BITS = {"smallint": 16, "integer": 32, "bigint": 64}
LEGACY_TYPES = {Kind.INTEGER: "integer", Kind.MONEY: "numeric(12,2)"}

# The customers row that stands for a user: the one linked to it, else the first of its rows that is there.
PRIMARY = sql.SQL(
    """SELECT own.id FROM legacy_identities AS known JOIN customers AS own ON own.id = known.customer_id
        WHERE known.user_id = {user} ORDER BY (own.user_id = {user}) IS NOT TRUE, known.position LIMIT 1"""
)

# What does not fit the old column stays out of it, and is kept in a conflict until it fits again. `value` is what the
# column holds, `difference` what is to be added to it.
FIT = """
CREATE OR REPLACE FUNCTION unification_sync_fit(
    profile uuid, name text, relation text, key text, value numeric, difference numeric, lowest numeric, highest numeric
) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    wanted numeric := value + difference;
    owed numeric;
BEGIN
    SELECT (chosen_value #>> '{}')::numeric INTO owed FROM field_conflicts
    WHERE profile_id = profile AND field = concat(relation, '.', name) AND path = '' AND other_table = relation
        AND other_row = key AND rule = 'width';
    IF owed IS NOT NULL THEN
        wanted := owed + difference;
    END IF;
    IF wanted BETWEEN lowest AND highest THEN
        IF owed IS NOT NULL THEN
            DELETE FROM field_conflicts WHERE profile_id = profile AND field = concat(relation, '.', name)
                AND path = '' AND other_table = relation AND other_row = key;
        END IF;
        RETURN wanted;
    END IF;
    PERFORM unification_sync_left_out(
        profile, name, 'width', 'profiles', profile::text, to_jsonb(wanted), relation, key, to_jsonb(value)
    );
    RETURN value;
END
$$
"""

# A value that one side has and the other cannot take. One per cell; the field is named after the table, for what lost in
# the take-over is kept under the column's own name.
LEFT_OUT = """
CREATE OR REPLACE FUNCTION unification_sync_left_out(
    profile uuid, name text, rule text, chosen_table text, chosen_row text, chosen jsonb,
    other_table text, other_row text, other jsonb
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
        other_row)
    VALUES (profile, concat(other_table, '.', name), rule, chosen, chosen_table, chosen_row, other, other_table, other_row)
    ON CONFLICT (profile_id, field, path, other_table, other_row) DO UPDATE SET rule = EXCLUDED.rule,
        chosen_value = EXCLUDED.chosen_value, other_value = EXCLUDED.other_value, resolved_by_id = NULL, resolved_at = NULL
$$
"""

# A row as its last writer left it, so that a change behind the triggers shows; and who still writes here. In the functions
# that every write passes it stands as a statement, elsewhere it is called.
NOTED = sql.SQL(
    """INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ({table}, ({row}).{key}::text, unification_sync_hash({row}), {writes}, clock_timestamp(), {by})
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash{more};"""
)
WROTE = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_hash(src {relation}) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT {hash}
$$;
CREATE OR REPLACE FUNCTION unification_sync_wrote(src {relation}, by_us boolean) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    IF by_us THEN
        {by_us}
    ELSE
        {by_them}
    END IF;
END
$$
"""
)


def noted(table: Table, row: str, *, by_us: bool) -> sql.Composed:
    """The statement that notes how the row in the variable `row` was left, by the sync or by the old application."""
    return NOTED.format(
        table=sql.Literal(str(table)),
        row=sql.SQL(row),
        key=sql.Identifier(BACKUP_KEYS[table]),
        writes=sql.SQL("0" if by_us else "1"),
        by=sql.SQL("''" if by_us else "session_user"),
        more=sql.SQL(
            ""
            if by_us
            else ",\n            writes = w.writes + 1, last_at = EXCLUDED.last_at, last_by = EXCLUDED.last_by"
        ),
    )


# The row is locked for us, or there is none: go on; else leave the change to whoever has it.
LOCKED = sql.SQL(
    """SELECT * INTO {row} FROM {table} WHERE {key}{cast} = {wanted} FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            IF NOT unification_sync_wait({name}, {key_name}, {wanted}::text) THEN
                RETURN false;
            END IF;
            SELECT * INTO {row} FROM {table} WHERE {key}{cast} = {wanted} FOR NO KEY UPDATE;
        END IF;"""
)


def locked(table: str, row: str, wanted: sql.Composable) -> sql.Composed:
    """Statements that lock a row and read it into the variable `row`."""
    key = BACKUP_KEYS.get(table, "id")
    return LOCKED.format(
        row=sql.Identifier(row),
        table=sql.Identifier(table),
        key=sql.Identifier(key),
        cast=sql.SQL(""),
        wanted=wanted,
        name=sql.Literal(table),
        key_name=sql.Literal(key),
    )


SPREAD = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_spread(
    p profiles, q profiles, origin text, person uuid
) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    -- What of the change concerns each table.
    to_customers boolean := ({customers_p}) IS DISTINCT FROM ({customers_q});
    to_users boolean := ({users_p}) IS DISTINCT FROM ({users_q});
    to_shared boolean := ({shared_p}) IS DISTINCT FROM ({shared_q});
    to_sessions boolean := ({sessions_p}) IS DISTINCT FROM ({sessions_q});
    primary_id uuid;
    c customers;
    u users;
    home record;
    shared_key text;
    shared_source text;
    session_key text;
    cp customer_profiles;
    up user_profiles;
    patience text := current_setting('lock_timeout');
    old_c customers;
    old_u users;
    old_cp customer_profiles;
    old_up user_profiles;
    login text;
BEGIN
    -- Lock all of them before anything is written, for half a change cannot be left to somebody else.
    IF to_customers THEN
        {lock_customers}
    END IF;
    IF to_users OR to_sessions THEN
        {lock_users}
    END IF;
    IF to_shared OR to_sessions THEN
        FOR home IN
            SELECT a.source, a.key FROM legacy_attachments AS a
            LEFT JOIN customer_profiles AS r ON a.source = 'customer_profiles' AND r.customer_id = a.key
            LEFT JOIN user_profiles AS s ON a.source = 'user_profiles' AND s.id = unification_uuid(a.key)
            WHERE a.user_id = q.user_id AND (r.customer_id IS NOT NULL OR s.id IS NOT NULL)
            ORDER BY a.position
        LOOP
            IF shared_key IS NULL THEN
                shared_source := home.source;
                shared_key := home.key;
            END IF;
            IF session_key IS NULL AND home.source = 'user_profiles' THEN
                session_key := home.key;
            END IF;
        END LOOP;
        IF to_shared AND shared_source = 'customer_profiles' THEN
        {lock_customer_profiles}
        END IF;
        IF session_key IS NOT NULL AND (to_sessions OR shared_source = 'user_profiles') THEN
        {lock_user_profiles}
        END IF;
    END IF;
    -- Rows that are wanting. Whoever is about to insert one of them waits for the person, whom we have.
    IF origin = 'profiles' AND (
        to_customers AND c.id IS NULL OR to_shared AND shared_key IS NULL OR to_sessions AND session_key IS NULL)
    THEN
        BEGIN
            PERFORM set_config('lock_timeout', '10ms', true);
            IF to_customers AND c.id IS NULL THEN
                PERFORM unification_sync_make_customer(q);
            END IF;
            IF to_shared AND shared_key IS NULL THEN
                cp := unification_sync_make_customer_profile(q);
            END IF;
            IF to_sessions AND session_key IS NULL THEN
                up := unification_sync_make_user_profile(q);
            END IF;
            PERFORM set_config('lock_timeout', patience, true);
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            RETURN false;
        END;
    END IF;

    IF to_customers THEN
        {write_customers}
    END IF;
    IF to_users THEN
        {write_users}
    END IF;
    IF to_shared AND cp.customer_id IS NOT NULL THEN
        old_cp := cp;
        {set_customer_profiles}
        IF cp *<> old_cp THEN
            cp.updated_at := greatest(cp.updated_at, q.updated_at AT TIME ZONE 'UTC');
            UPDATE customer_profiles SET {assign_customer_profiles} WHERE customer_id = cp.customer_id RETURNING * INTO cp;
            {noted_customer_profiles}
        END IF;
    END IF;
    IF up.id IS NOT NULL THEN
        old_up := up;
        IF to_shared AND cp.customer_id IS NULL THEN
            {set_shared_user_profiles}
        END IF;
        {set_user_profiles}
        IF up *<> old_up THEN
            up.updated_at := greatest(up.updated_at, q.updated_at AT TIME ZONE 'UTC');
            UPDATE user_profiles SET {assign_user_profiles} WHERE id = up.id RETURNING * INTO up;
            {noted_user_profiles}
        END IF;
    END IF;
    RETURN true;
END
$$
"""
)


def is_attached(field: Field) -> bool:
    """Whether its home is a row that is attached to the person, not the customers row."""
    return Table.CUSTOMERS not in field.sources


CUSTOMERS = tuple(f for f in fields_of(Table.CUSTOMERS) if f.column != "updated_at")
USERS = tuple(f for f in fields_of(Table.USERS) if f.rule not in (Rule.LEAST, Rule.GREATEST))
SHARED = tuple(f for f in FIELD_MAP if is_attached(f) and Table.CUSTOMER_PROFILES in f.sources)
SESSIONS = tuple(f for f in FIELD_MAP if is_attached(f) and Table.CUSTOMER_PROFILES not in f.sources)


def row(alias: str, fields: tuple[Field, ...], *more: str) -> sql.Composed:
    names = [*more, *(field.column for field in fields)]
    return sql.SQL(", ").join(sql.Identifier(alias, name) for name in names)


def assign(alias: str, names: list[str]) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Identifier(alias, name)) for name in names
    )


def legacy_value(sources: Sources, field: Field, value: sql.Composable) -> sql.Composable:
    """A profile's value as a legacy column holds it."""
    if field.kind is Kind.TIME:
        return sql.SQL("{} AT TIME ZONE 'UTC'").format(value)
    if field.kind is Kind.ADDRESS and sources.json_address:
        return sql.SQL("coalesce(unification_object({0}), to_jsonb({0}))").format(value)
    return value


def bounds(sources: Sources, table: str, field: Field) -> dict[str, sql.SQL]:
    """The lowest and highest number that fit the legacy column."""
    kind = sources.columns.get(table, {}).get(field.column, LEGACY_TYPES[field.kind])
    if kind.startswith("numeric("):
        digits, _, places = kind.removeprefix("numeric(").removesuffix(")").partition(",")
        nines = "9" * (int(digits) - int(places or 0)) + (f".{'9' * int(places)}" if places not in ("", "0") else "")
        return {"lowest": sql.SQL(f"-{nines}"), "highest": sql.SQL(nines)}
    bits = BITS.get(kind, 1000)  # numeric without digits, float
    return {"lowest": sql.SQL(f"{-(2 ** (bits - 1))}::numeric"), "highest": sql.SQL(f"{2 ** (bits - 1) - 1}")}


def between(sources: Sources, table: str, field: Field) -> sql.Composed:
    return sql.SQL("{lowest} AND {highest}").format(**bounds(sources, table, field))


def narrow(sources: Sources, table: str, field: Field) -> int | None:
    """How many characters the legacy column holds, where that is fewer than the profile's."""
    kind = sources.columns.get(table, {}).get(field.column, "")
    if field.width is None or not kind.startswith("character varying("):
        return None
    width = int(kind.removeprefix("character varying(").removesuffix(")"))
    return width if width < field.width else None


def pushed(sources: Sources, table: Table, alias: str, field: Field) -> sql.Composed:
    """The statement that brings a column of the row `alias` in step with a profile's change from `p` to `q`."""
    name, cell = sql.Identifier(field.column), sql.Identifier(alias, field.column)
    key = sql.SQL("{}::text").format(sql.Identifier(alias, BACKUP_KEYS[table]))
    parts = {
        "name": name,
        "cell": cell,
        "value": legacy_value(sources, field, sql.SQL("q.{}").format(name)),
        "label": sql.Literal(field.column),
        "table": sql.Literal(str(table)),
        "key": key,
    }
    match field.rule:
        case Rule.SUM:
            return sql.SQL(
                """IF origin = 'profiles' AND p.{name} <> q.{name} THEN
            {cell} := CASE WHEN p.{name} BETWEEN {range} AND q.{name} BETWEEN {range}
                    AND coalesce({cell}, 0)::numeric + q.{name} - p.{name} BETWEEN {range}
                THEN coalesce({cell}, 0)::numeric + q.{name} - p.{name}
                ELSE unification_sync_fit(
                    q.id, {label}, {table}, {key}, coalesce({cell}, 0), q.{name}::numeric - p.{name}, {lowest}, {highest})
                END;
        END IF;"""
            ).format(range=between(sources, table, field), **bounds(sources, table, field), **parts)
        case Rule.UNION:
            changed = "unification_list_changed({cell}, p.{name}, q.{name})"
        case Rule.MERGE:
            changed = "unification_object_changed({cell}, p.{name}, q.{name})"
        case Rule.NOTES:
            return sql.SQL(
                "IF origin = 'profiles' AND p.{name} IS DISTINCT FROM q.{name} THEN {cell} := q.{name}; END IF;"
            ).format(**parts)
        case _:
            changed = "{value}"
            if width := narrow(sources, table, field):
                return sql.SQL(
                    """IF p.{name} IS DISTINCT FROM q.{name} AND char_length(q.{name}) > {width} THEN
            PERFORM unification_sync_left_out(q.id, {label}, 'width', 'profiles', q.id::text, to_jsonb(q.{name}),
                {table}, {key}, to_jsonb({cell}));
        ELSIF p.{name} IS DISTINCT FROM q.{name} THEN {cell} := {value}; END IF;"""
                ).format(width=sql.Literal(width), **parts)
    return sql.SQL("IF p.{name} IS DISTINCT FROM q.{name} THEN {cell} := " + changed + "; END IF;").format(**parts)


# Most of a row stays as it was, and one comparison for several cells costs less than one for each.
GROUP = 6
IN_GROUP = sql.SQL("IF ({old}) IS DISTINCT FROM ({new}) THEN\n        {statements}\n        END IF;")


def in_groups(old: str, new: str, statements: list[tuple[Field, sql.Composed]]) -> sql.Composed:
    """Statements that do nothing where their field of the rows `old` and `new` is the same."""
    groups = [statements[start : start + GROUP] for start in range(0, len(statements), GROUP)]
    return sql.SQL("\n        ").join(
        IN_GROUP.format(
            old=row(old, tuple(field for field, _ in group)),
            new=row(new, tuple(field for field, _ in group)),
            statements=sql.SQL("\n        ").join(statement for _, statement in group),
        )
        for group in groups
    )


def _pushes(sources: Sources, table: Table, alias: str, fields: tuple[Field, ...]) -> sql.Composed:
    return in_groups("p", "q", [(field, pushed(sources, table, alias, field)) for field in fields])


CONTACT = sql.SQL(
    """IF origin <> 'customers' AND p.contact_email IS DISTINCT FROM q.contact_email THEN
            SELECT email INTO login FROM users WHERE id = q.user_id;
            c.email := coalesce(q.contact_email, login, '');
        END IF;
        """
)


# A person's customers row, locked: as a rule the first of them, linked, which is one step into an index.
LOCK_CUSTOMER = sql.SQL(
    """SELECT own.* INTO c FROM customers AS own JOIN legacy_identities AS known ON known.customer_id = own.id
        WHERE own.user_id = q.user_id AND known.user_id = q.user_id AND known.position = 1
        FOR NO KEY UPDATE OF own SKIP LOCKED;
        IF NOT FOUND THEN
            primary_id := ({primary});
            IF primary_id IS NOT NULL THEN
        {lock}
            END IF;
        END IF;"""
)
WRITE = sql.SQL(
    """IF {row}.id IS NOT NULL THEN
            {before} := {row};
        {set}
            IF {row} *<> {before} THEN
                {row}.updated_at := greatest({row}.updated_at, q.updated_at AT TIME ZONE 'UTC');
                UPDATE {table} SET {assign} WHERE id = {row}.id RETURNING * INTO {row};
                {noted}
            END IF;
        END IF;"""
)


def lock_customer() -> sql.Composed:
    """Statements that lock the customers row of `q` and read it into `c`, which stays empty where there is none."""
    return LOCK_CUSTOMER.format(
        primary=PRIMARY.format(user=sql.SQL("q.user_id")), lock=locked("customers", "c", sql.SQL("primary_id"))
    )


def lock_login() -> sql.Composed:
    """The same for its users row, into `u`."""
    return locked("users", "u", sql.SQL("q.user_id"))


def write(sources: Sources, table: Table, fields: tuple[Field, ...]) -> sql.Composed:
    """Statements that bring the locked row, `c` or `u`, in step with a change from `p` to `q` of these fields."""
    row = {Table.CUSTOMERS: "c", Table.USERS: "u"}[table]
    has_address = table is Table.CUSTOMERS
    columns = [*(["email"] if has_address else []), *(field.column for field in fields), "updated_at"]
    return WRITE.format(
        row=sql.SQL(row),
        before=sql.SQL(f"old_{row}"),
        table=sql.Identifier(table),
        set=(CONTACT if has_address else sql.SQL("")) + _pushes(sources, table, row, fields),
        assign=assign(row, columns),
        noted=noted(table, row, by_us=True),
    )


def spread(sources: Sources) -> sql.Composed:
    """The function that carries a change of a profile to its legacy rows; false where it is to be left to somebody else."""

    def assigned(alias: str, fields: tuple[Field, ...]) -> sql.Composed:
        return assign(alias, [*(field.column for field in fields), "updated_at"])

    return SPREAD.format(
        customers_p=row("p", CUSTOMERS, "contact_email"),
        customers_q=row("q", CUSTOMERS, "contact_email"),
        users_p=row("p", USERS),
        users_q=row("q", USERS),
        shared_p=row("p", SHARED),
        shared_q=row("q", SHARED),
        sessions_p=row("p", SESSIONS),
        sessions_q=row("q", SESSIONS),
        lock_customers=lock_customer(),
        lock_users=lock_login(),
        lock_customer_profiles=locked("customer_profiles", "cp", sql.SQL("shared_key")),
        lock_user_profiles=locked("user_profiles", "up", sql.SQL("session_key::uuid")),
        write_customers=write(sources, Table.CUSTOMERS, CUSTOMERS),
        write_users=write(sources, Table.USERS, USERS),
        set_customer_profiles=_pushes(sources, Table.CUSTOMER_PROFILES, "cp", SHARED),
        set_shared_user_profiles=_pushes(sources, Table.USER_PROFILES, "up", SHARED),
        set_user_profiles=_pushes(sources, Table.USER_PROFILES, "up", SESSIONS),
        assign_customer_profiles=assigned("cp", SHARED),
        assign_user_profiles=assigned("up", (*SHARED, *SESSIONS)),
        noted_customer_profiles=noted(Table.CUSTOMER_PROFILES, "cp", by_us=True),
        noted_user_profiles=noted(Table.USER_PROFILES, "up", by_us=True),
    )


# A guest of the legacy world is who cannot log in and never has.
IS_GUEST = sql.SQL(
    "(login.email IS NULL OR (login.password_hash LIKE '!%' AND login.last_login IS NULL AND login.role::text = 'customer'))"
)

# A customers row for a person who has none. Not for one whose rows the old application deleted, nor for a shell.
MAKE_CUSTOMER = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_make_customer(q profiles) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    login users;
    c customers;
    is_guest boolean;
BEGIN
    SELECT * INTO login FROM users WHERE id = q.user_id;
    IF NOT FOUND OR q.merged_into_id IS NOT NULL
        OR EXISTS (SELECT FROM customers WHERE user_id = q.user_id OR id = q.id)
        OR EXISTS (
            SELECT FROM legacy_deletions AS d JOIN legacy_identities AS i ON i.customer_id::text = d.key
            WHERE d.source = 'customers' AND i.user_id = q.user_id)
    THEN
        RETURN;
    END IF;
    is_guest := {is_guest};
    INSERT INTO customers ({columns}) VALUES ({values}) RETURNING * INTO c;
    {sums}
    INSERT INTO legacy_identities (customer_id, user_id, "case", position)
    VALUES (q.id, q.user_id, CASE WHEN NOT is_guest THEN 'linked' WHEN login.email IS NULL THEN 'separate'
        ELSE 'new_user' END,
        (SELECT coalesce(max(i.position), 0) + 1 FROM legacy_identities AS i WHERE i.user_id = q.user_id))
    ON CONFLICT (customer_id) DO NOTHING;
    PERFORM unification_sync_wrote(c, true);
END
$$
"""
)

MAKE_ATTACHED = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_attach(source_name text, row_key text, owner uuid) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO legacy_attachments (source, key, user_id, position, attached_at)
    SELECT source_name, row_key, owner,
        (SELECT coalesce(max(position), 0) + 1 FROM legacy_attachments WHERE user_id = owner), clock_timestamp()
    ON CONFLICT (source, key) DO UPDATE SET user_id = EXCLUDED.user_id, position = EXCLUDED.position, reason = NULL,
        attached_at = EXCLUDED.attached_at
    WHERE legacy_attachments.user_id IS NULL
$$;
-- An empty row of the recommender's, to which the difference is added.
CREATE OR REPLACE FUNCTION unification_sync_make_customer_profile(q profiles) RETURNS customer_profiles
LANGUAGE plpgsql AS $$
DECLARE
    made customer_profiles;
BEGIN
    INSERT INTO customer_profiles (customer_id) VALUES (q.id::text) ON CONFLICT DO NOTHING RETURNING * INTO made;
    IF made.customer_id IS NOT NULL THEN
        PERFORM unification_sync_wrote(made, true);
        PERFORM unification_sync_attach('customer_profiles', made.customer_id, q.user_id);
    END IF;
    RETURN made;
END
$$;
-- An empty session, to which the user's own session leads.
CREATE OR REPLACE FUNCTION unification_sync_make_user_profile(q profiles) RETURNS user_profiles
LANGUAGE plpgsql AS $$
DECLARE
    made user_profiles;
    login users;
    wanted text;
BEGIN
    SELECT * INTO login FROM users WHERE id = q.user_id;
    wanted := coalesce(unification_text(login.session_id), 'profile-' || q.id);
    INSERT INTO user_profiles (id, session_id, language) VALUES (gen_random_uuid(), wanted, NULL)
    ON CONFLICT DO NOTHING RETURNING * INTO made;
    IF made.id IS NULL THEN
        RETURN NULL;
    END IF;
    IF unification_text(login.session_id) IS NULL THEN
        UPDATE users SET session_id = wanted WHERE id = q.user_id RETURNING * INTO login;
        PERFORM unification_sync_wrote(login, true);
    END IF;
    PERFORM unification_sync_wrote(made, true);
    PERFORM unification_sync_attach('user_profiles', made.id::text, q.user_id);
    RETURN made;
END
$$
"""
)


def _make_customer(sources: Sources) -> sql.Composed:
    values: dict[str, sql.Composable] = {
        "id": sql.SQL("q.id"),
        "user_id": sql.SQL("CASE WHEN NOT is_guest THEN q.user_id END"),
        "email": sql.SQL("coalesce(q.contact_email, login.email, '')"),
        "is_active": sql.SQL("login.active"),
    }
    sums = []
    for field in (*CUSTOMERS, next(f for f in FIELD_MAP if f.column == "updated_at")):
        value: sql.Composable = sql.SQL("q.{}").format(sql.Identifier(field.column))
        if field.rule is Rule.SUM:
            fits = between(sources, "customers", field)
            value = sql.SQL("CASE WHEN {0} BETWEEN {1} THEN {0} ELSE 0 END").format(value, fits)
            sums.append(
                sql.SQL(
                    "IF q.{name} NOT BETWEEN {range} THEN PERFORM unification_sync_fit("
                    "q.id, {label}, 'customers', q.id::text, 0, q.{name}, {lowest}, {highest}); END IF;"
                ).format(
                    name=sql.Identifier(field.column),
                    range=fits,
                    label=sql.Literal(field.column),
                    **bounds(sources, "customers", field),
                )
            )
        elif width := narrow(sources, "customers", field):
            value = sql.SQL("left({}, {})").format(value, sql.Literal(width))
        values[field.column] = legacy_value(sources, field, value)
    return MAKE_CUSTOMER.format(
        is_guest=IS_GUEST,
        columns=sql.SQL(", ").join(map(sql.Identifier, values)),
        values=sql.SQL(", ").join(values.values()),
        sums=sql.SQL("\n    ").join(sums),
    )


def _wrote(sources: Sources) -> Iterator[sql.Composed]:
    for table in Table:
        columns = dict(sources.columns.get(table, {}))
        if table is Table.USERS:
            # What either application may change of a login is judged by its history.
            columns = columns or dict.fromkeys(("id", *(field.column for field in fields_of(table))), "text")
            columns = {name: kind for name, kind in columns.items() if name not in LOGIN_COLUMNS}
        yield WROTE.format(
            relation=sql.Identifier(table),
            by_us=noted(table, "src", by_us=True),
            by_them=noted(table, "src", by_us=False),
            hash=row_hash(columns) if columns else sql.SQL("hash_record_extended(src, 0)"),
        )


# A change of profiles, by whatever statement. One of one row, which is the rule, is found without a join.
UPDATED = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_profiles_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    change record;
    person uuid;
    via text := current_setting('unified.via', true);
    marked text;
BEGIN
    SELECT ROW(o.*)::profiles AS o, ROW(n.*)::profiles AS n,
        n.id = o.id AND ({before}) IS DISTINCT FROM ({after}) AS matters, EXISTS (SELECT FROM after OFFSET 1) AS among_others
    INTO change FROM before AS o, after AS n LIMIT 1;
    IF change.among_others THEN
        FOR change IN
            SELECT ROW(o.*)::profiles AS o, ROW(n.*)::profiles AS n FROM before AS o JOIN after AS n ON n.id = o.id
            WHERE ({before}) IS DISTINCT FROM ({after}) ORDER BY n.id
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
    """person := (change.n).id;
            IF (change.n).merged_into_id IS NULL THEN
                marked := pg_advisory_xact_lock(uuid_hash_extended(person, 1));
            ELSE
                person := unification_sync_person(person);
            END IF;
            marked := set_config('unification.sync', 'on', true) || set_config('unified.via', 'sync', true);
            IF NOT unification_sync_spread(change.o, change.n, 'profiles', person) THEN
                PERFORM unification_sync_hand_over(person, 'profiles', to_jsonb(change.o), to_jsonb(change.n));
            ELSIF EXISTS (SELECT FROM legacy_handovers) THEN
                PERFORM unification_sync_settle((change.n).id), unification_sync_settle(person);
            END IF;
            marked := set_config('unification.sync', '', true) || set_config('unified.via', coalesce(via, ''), true);"""
)


def statements(sources: Sources) -> list[sql.Composable]:
    """The functions of this module, those that others need first."""
    carried = ("user_id", "merged_into_id", "contact_email")
    return [
        sql.SQL(LEFT_OUT),
        sql.SQL(FIT),
        *_wrote(sources),
        _make_customer(sources),
        MAKE_ATTACHED,
        spread(sources),
        UPDATED.format(before=row("o", FIELD_MAP, *carried), after=row("n", FIELD_MAP, *carried), follow=FOLLOW),
    ]
