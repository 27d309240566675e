"""New rows of the legacy tables: whose they are, by the rules of the take-over, and what they bring.

A new user gets a profile and a customers row at once; a guest is matched, gets an account, or stays apart.
"""

from psycopg import sql

from .consolidate import chosen, has_address, said
from .field_map import ADDRESS_KEYS, DEFAULT_COUNTRY, FIELD_MAP, Field, Kind, Rule, Table, fields_of
from .sources import BACKUP_KEYS, Sources
from .sync_from_legacy import profile_value
from .sync_to_legacy import PRIMARY

# Whether an account was made for a guest and nobody has used it.
IS_UNUSED = """
CREATE OR REPLACE FUNCTION unification_sync_is_unused(login users) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT login.password_hash LIKE '!%' AND login.last_login IS NULL AND EXISTS (
        SELECT FROM legacy_identities AS i
        WHERE i.user_id = login.id AND i."case" IN ('new_user', 'separate'))
$$
"""

# Whose a guest's row is: matched with one account, a new user's, or separate; `reason` says why it stays apart.
IDENTIFY = """
CREATE OR REPLACE FUNCTION unification_sync_identify(
    n customers, OUT outcome text, OUT account uuid, OUT reason text, OUT accounts uuid[]
) LANGUAGE plpgsql AS $$
DECLARE
    usable boolean;
    login users;
BEGIN
    SELECT a.usable, a.accounts INTO usable, accounts FROM unification_accounts(n.email) AS a;
    outcome := 'separate';
    IF NOT usable THEN
        RETURN;
    ELSIF accounts IS NULL THEN
        outcome := 'new_user';
    ELSIF cardinality(accounts) > 1 THEN
        reason := 'shared_address';
    ELSE
        SELECT * INTO login FROM users WHERE id = accounts[1];
        IF login.email_verified IS NOT TRUE AND NOT unification_sync_is_unused(login) THEN
            reason := 'unverified_address';
        ELSIF n.date_of_birth <> login.date_of_birth
            OR EXISTS (SELECT FROM profiles WHERE user_id = login.id AND date_of_birth <> n.date_of_birth)
            OR EXISTS (SELECT FROM customers WHERE user_id = login.id AND date_of_birth <> n.date_of_birth)
        THEN
            reason := 'birth_date';
        ELSE
            outcome := 'matched';
            account := login.id;
        END IF;
    END IF;
END
$$
"""

# An account for a guest: nobody knows its password.
MAKE_ACCOUNT = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_make_account(login text, n customers) RETURNS uuid LANGUAGE sql AS $$
    INSERT INTO users (id, email, password_hash, role, active, email_verified, phone_verified, age_verified,
        terms_accepted, created_at, updated_at)
    VALUES (gen_random_uuid(), login,
        '!' || left(translate(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 40),
        'customer'::{role_type}, n.is_active, false, false, false, false, n.created_at, n.updated_at)
    RETURNING id
$$
"""
)

# What a customers row brings to a person who is there already. With `wins` its values are the person's from now on, else
# the person's stay and those that lose are kept as conflicts. Sums add up, and no consent is widened.
ABSORB = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_absorb(p profiles, n customers, wins boolean) RETURNS profiles
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    q profiles := p;
BEGIN
    {values}
    q.updated_at := greatest(q.updated_at, n.updated_at AT TIME ZONE 'UTC');
    RETURN q;
END
$$
"""
)
LOST = sql.SQL(
    """INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
            other_row)
        VALUES (p.id, {label}, {rule}, to_jsonb(q.{name}), 'profiles', p.id::text, to_jsonb({value}), 'customers', n.id::text)
        ON CONFLICT DO NOTHING;"""
)


def _absorbed(sources: Sources, field: Field) -> sql.Composable:
    name = sql.Identifier(field.column)
    value = profile_value(sources, Table.CUSTOMERS, field)
    parts: dict[str, sql.Composable] = {
        "name": name,
        "value": value,
        "said": said(field, value),
        "chosen": chosen(field, value),
        "own": chosen(field, sql.SQL("q.{}").format(name)),
        "label": sql.Literal(field.column),
    }
    rule = "consent" if field.rule is Rule.VERIFIED else "shape" if field.rule is Rule.UNION else field.rule.value
    parts["lost"] = LOST.format(rule=sql.Literal(rule), **parts)
    match field.rule:
        case Rule.FIRST:
            text = """IF ({chosen} IS NOT NULL) THEN
        IF wins OR {own} IS NULL THEN
            q.{name} := {value};
        ELSIF {value} IS DISTINCT FROM q.{name} THEN
            {lost}
        END IF;
    END IF;"""
        case Rule.SUM:
            text = "q.{name} := q.{name} + coalesce(n.{name}, 0);"
        case Rule.GREATEST:
            text = "q.{name} := greatest(q.{name}, {value});"
        case Rule.LEAST:
            text = "q.{name} := least(q.{name}, {value});"
        case Rule.UNION:
            text = """q.{name} := unification_union(ARRAY[q.{name}, unification_list(n.{name})]);
    IF jsonb_typeof(n.{name}) <> 'array' AND unification_json(n.{name}) IS NOT NULL THEN
        {lost}
    END IF;"""
        case Rule.NOTES:
            text = "q.{name} := unification_notes_changed(q.{name}, NULL, n.{name});"
        case Rule.CONSENT:
            text = """q.{name} := q.{name} AND {value};
    IF {value} AND NOT q.{name} THEN
        {lost}
    END IF;"""
        case Rule.VERIFIED:
            text = """IF wins THEN
        q.{name} := {value};
    ELSIF {value} AND NOT q.{name} THEN
        {lost}
    END IF;"""
        case _:
            raise NotImplementedError(field.rule)
    return sql.SQL(text).format(**parts)


BLOCK = tuple(field for field in FIELD_MAP if field.rule is Rule.BLOCK)


def _absorb(sources: Sources) -> sql.Composed:
    fields = [f for f in fields_of(Table.CUSTOMERS) if f.rule is not Rule.BLOCK and f.column != "updated_at"]
    own_address = sql.SQL(" OR ").join(
        sql.SQL("{} IS NOT NULL").format(chosen(field, sql.Identifier("q", field.column))) for field in BLOCK
    )
    taken = sql.SQL("\n            ").join(
        sql.SQL("q.{} := {};").format(sql.Identifier(f.column), first_value(sources, f)) for f in BLOCK
    )
    lost = sql.SQL("\n            ").join(
        sql.SQL(
            "IF ({chosen} IS NOT NULL AND {value} IS DISTINCT FROM q.{name}) THEN\n            {lost}\n            END IF;"
        ).format(
            chosen=chosen(f, profile_value(sources, Table.CUSTOMERS, f)),
            value=profile_value(sources, Table.CUSTOMERS, f),
            name=sql.Identifier(f.column),
            lost=LOST.format(
                rule=sql.Literal("block"),
                label=sql.Literal(f.column),
                name=sql.Identifier(f.column),
                value=profile_value(sources, Table.CUSTOMERS, f),
            ),
        )
        for f in BLOCK
    )
    block = sql.SQL(
        """IF {has_address} THEN
        IF wins OR NOT ({own_address}) THEN
            {taken}
        ELSE
            {lost}
        END IF;
    END IF;"""
    ).format(has_address=has_address(sources, "n"), own_address=own_address, taken=taken, lost=lost)
    return ABSORB.format(values=sql.SQL("\n    ").join([block, *(_absorbed(sources, field) for field in fields)]))


def first_value(sources: Sources, field: Field) -> sql.Composable:
    """What the only row `n` of a person makes of a column: blanks say nothing, a JSON address fills blank columns."""
    value = profile_value(sources, Table.CUSTOMERS, field)
    own = said(field, value)
    match field.rule:
        case Rule.BLOCK if field.column in ADDRESS_KEYS:
            part = sql.SQL("unification_part(unification_object({}), {}, {})").format(
                sources.address("n"), sql.Literal(ADDRESS_KEYS[field.column]), sql.Literal(field.width)
            )
            if field.default is None:
                return sql.SQL("coalesce({}, {})").format(own, part)
            return sql.SQL("coalesce(nullif({0}, {1}), {2}, {0})").format(own, sql.Literal(DEFAULT_COUNTRY), part)
        case Rule.SUM:
            return sql.SQL("coalesce({}, 0)").format(value)
        case Rule.UNION:
            return sql.SQL("unification_list({})").format(value)
    if field.default is not None:
        return sql.SQL("coalesce({}, {})").format(own, sql.Literal(field.default))
    return own


# A new customers row. Its person is locked; what it brings goes over; every id leads to its person.
ARRIVED = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_customers_arrived(n customers) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    o customers;
    p profiles;
    q profiles;
    owner uuid;
    person uuid;
    kind text := 'linked';
    why text;
    others uuid[];
    login text;
    was_there jsonb;
BEGIN
    -- A row that was deleted and comes back is whose it was, and brings what has changed in it since.
    SELECT i.user_id INTO owner FROM legacy_identities AS i WHERE i.customer_id = n.id;
    IF owner IS NOT NULL THEN
        SELECT coalesce(r.merged_into_id, r.id) INTO person FROM profiles AS r WHERE r.user_id = owner;
        SELECT d.row INTO was_there FROM legacy_deletions AS d
        WHERE d.source = 'customers' AND d.key = n.id::text ORDER BY d.id DESC LIMIT 1;
        DELETE FROM legacy_deletions AS d WHERE d.source = 'customers' AND d.key = n.id::text;
        o := coalesce(jsonb_populate_record(NULL::customers, was_there), n);
        person := unification_sync_person(person);
        IF NOT unification_sync_from_customers(person, o, n) THEN
            PERFORM unification_sync_hand_over(person, 'customers', to_jsonb(o), to_jsonb(n));
        ELSIF n.id = ({primary}) THEN
            SELECT * INTO q FROM profiles WHERE id = person;
            p := q;
            {as_written}
            PERFORM unification_sync_push(p, q, 'customers', person);
        END IF;
        RETURN;
    END IF;
    SELECT u.id INTO owner FROM users AS u WHERE u.id = n.user_id;
    WHILE owner IS NULL LOOP
        SELECT k.outcome, k.account, k.reason, k.accounts INTO kind, owner, why, others
        FROM unification_sync_identify(n) AS k;
        EXIT WHEN kind = 'matched';
        login := CASE kind WHEN 'new_user' THEN btrim(n.email, unification_white_space()) END;
        BEGIN
            owner := unification_sync_make_account(login, n);
        EXCEPTION WHEN unique_violation THEN
            owner := NULL;  -- somebody registered with that address at this instant
        END;
    END LOOP;
    INSERT INTO legacy_identities (customer_id, user_id, "case", position, reason)
    VALUES (n.id, owner, kind,
        (SELECT coalesce(max(i.position), 0) + 1 FROM legacy_identities AS i WHERE i.user_id = owner), why);
    IF kind IN ('new_user', 'separate') THEN
        INSERT INTO profiles (id, user_id, contact_email, {columns})
        VALUES (n.id, owner, CASE kind WHEN 'separate' THEN n.email END, {values});
        {misshapen}
        INSERT INTO merge_suggestions (profile_id, other_profile_id, reason)
        SELECT n.id, coalesce(r.merged_into_id, r.id), why FROM profiles AS r
        WHERE r.user_id = ANY(others) AND why IS NOT NULL
        ON CONFLICT DO NOTHING;
        person := n.id;
    ELSE
        SELECT coalesce(r.merged_into_id, r.id) INTO person FROM profiles AS r WHERE r.user_id = owner;
        person := unification_sync_person(person);
        {lock_profile}
        IF n.id <> p.id THEN
            INSERT INTO profile_aliases (id, profile_id) VALUES (n.id, person) ON CONFLICT DO NOTHING;
        END IF;
        q := unification_sync_absorb(p, n, kind = 'linked');
        IF kind = 'linked' AND NOT unification_same_address(n.email, owner) THEN
            q.contact_email := n.email;
        END IF;
        PERFORM unification_sync_push(p, q, 'customers', person);
        UPDATE profiles SET contact_email = q.contact_email, {assigned} WHERE id = p.id AND q *<> p;
        IF kind = 'linked' THEN
            -- It is the row that stands for the person now: what it did not say is filled in.
            p := q;
            {as_written}
            PERFORM unification_sync_push(p, q, 'customers', person);
        END IF;
    END IF;
    -- A chat's row that knew this id before it was a customer's.
    PERFORM unification_sync_customer_profiles_arrived(r) FROM customer_profiles AS r
    WHERE r.customer_id = n.id::text AND EXISTS (
        SELECT FROM legacy_attachments AS a
        WHERE a.source = 'customer_profiles' AND a.key = r.customer_id AND a.user_id IS NULL);
END
$$
"""
)
# Whether a linked row's address is no other than the login.
SAME_ADDRESS = """
CREATE OR REPLACE FUNCTION unification_same_address(address text, account uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT unification_text(address) IS NULL OR EXISTS (
        SELECT FROM users WHERE id = account AND unification_email(email) = unification_email(address))
$$
"""

CUSTOMERS_INSERTED = """
CREATE OR REPLACE FUNCTION unification_sync_customers_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    n customers;
    person uuid;
    via text := current_setting('unified.via', true);
BEGIN
    -- Addresses first, then persons, each in their order, as long as there are several.
    IF (SELECT count(*) FROM (SELECT FROM after LIMIT 2) AS first_two) = 2 THEN
        PERFORM unification_accounts(a.email)
        FROM (SELECT email FROM after WHERE user_id IS NULL ORDER BY unification_email(email) COLLATE "C") AS a;
        FOR person IN
            SELECT DISTINCT coalesce(p.merged_into_id, p.id) FROM after AS a
            JOIN users AS u ON u.id = a.user_id OR a.user_id IS NULL AND unification_email(u.email) = unification_email(a.email)
            JOIN profiles AS p ON p.user_id = u.id ORDER BY 1
        LOOP
            PERFORM unification_sync_person(person);
        END LOOP;
    END IF;
    PERFORM set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true);
    FOR n IN SELECT * FROM after ORDER BY coalesce(updated_at, created_at) NULLS FIRST, id DESC LOOP
        PERFORM unification_sync_wrote(n, false);
        PERFORM unification_sync_customers_arrived(n);
    END LOOP;
    PERFORM set_config('unification.sync', '', true), set_config('unified.via', coalesce(via, ''), true);
    RETURN NULL;
END
$$
"""

# A new user gets a profile and, as the old trigger did, a customers row of the same id.
USERS_ARRIVED = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_users_arrived(n users) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    new_id uuid := gen_random_uuid();
    is_guest boolean := n.email IS NULL
        OR (n.password_hash LIKE '!%' AND n.last_login IS NULL AND n.role::text = 'customer');
    c customers;
    others uuid[];
BEGIN
    -- Where nothing keeps a row from naming a user who is not there yet, that row is theirs; one that came with them,
    -- and is nobody's yet, is their primary row.
    SELECT * INTO c FROM customers WHERE user_id = n.id LIMIT 1;
    IF c.id IS NOT NULL AND NOT EXISTS (SELECT FROM legacy_identities WHERE customer_id = c.id) THEN
        new_id := c.id;
    END IF;
    INSERT INTO profiles (id, user_id, {columns}) VALUES (new_id, n.id, {values}) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF c.id IS NOT NULL THEN
        PERFORM unification_sync_linked(c, c);
    ELSE
        INSERT INTO customers (id, user_id, email, {customer_columns}, is_verified, is_active)
        VALUES (new_id, CASE WHEN NOT is_guest THEN n.id END, coalesce(n.email, ''), {customer_values},
            n.email_verified OR n.phone_verified, n.active)
        RETURNING * INTO c;
        INSERT INTO legacy_identities (customer_id, user_id, "case", position)
        VALUES (new_id, n.id,
            CASE WHEN NOT is_guest THEN 'linked' WHEN n.email IS NULL THEN 'separate' ELSE 'new_user' END, 1);
        PERFORM unification_sync_wrote(c, true);
    END IF;
    -- Logins that differ in case or white space alone, and guests whose address it was.
    IF unification_usable(unification_email(n.email)) THEN
        INSERT INTO merge_suggestions (profile_id, other_profile_id, reason)
        SELECT p.id, coalesce(o.merged_into_id, o.id), 'same_login'
        FROM users AS u JOIN profiles AS o ON o.user_id = u.id, profiles AS p
        WHERE p.user_id = n.id AND unification_email(u.email) = unification_email(n.email) AND u.id <> n.id
        ON CONFLICT DO NOTHING;
        INSERT INTO merge_suggestions (profile_id, other_profile_id, reason)
        SELECT o.id, p.id, 'unverified_address'
        FROM profiles AS o JOIN users AS u ON u.id = o.user_id, profiles AS p
        WHERE p.user_id = n.id AND o.contact_email = n.email AND u.email IS NULL AND o.merged_into_id IS NULL
        ON CONFLICT DO NOTHING;
    END IF;
    PERFORM unification_sync_session(n) WHERE unification_text(n.session_id) IS NOT NULL;
END
$$
"""
)
USERS_INSERTED = """
CREATE OR REPLACE FUNCTION unification_sync_users_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    n users;
    via text := current_setting('unified.via', true);
BEGIN
    PERFORM set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true);
    FOR n IN SELECT * FROM after LOOP
        PERFORM unification_sync_wrote(n, false);
        PERFORM unification_sync_users_arrived(n);
    END LOOP;
    PERFORM set_config('unification.sync', '', true), set_config('unified.via', coalesce(via, ''), true);
    RETURN NULL;
END
$$
"""

# Somebody registers, through the old application, with the address of an account that was made for a guest and that nobody
# has used: as in the old world they may. The guest stays apart from now on, with the address as contact.
FREE_ADDRESS = """
CREATE OR REPLACE FUNCTION unification_sync_free_address() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    guest users;
    via text := current_setting('unified.via', true);
BEGIN
    SELECT * INTO guest FROM users AS u WHERE u.email = NEW.email AND u.id <> NEW.id AND u.password_hash LIKE '!%'
        AND u.last_login IS NULL AND NOT coalesce(u.email_verified, false);
    IF FOUND AND unification_sync_is_unused(guest) THEN
        PERFORM unification_sync_person(coalesce(p.merged_into_id, p.id)) FROM profiles AS p WHERE p.user_id = guest.id;
        PERFORM set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true);
        UPDATE users SET email = NULL WHERE id = guest.id RETURNING * INTO guest;
        PERFORM unification_sync_wrote(guest, true);
        UPDATE profiles SET contact_email = coalesce(contact_email, NEW.email) WHERE user_id = guest.id;
        PERFORM set_config('unification.sync', '', true), set_config('unified.via', coalesce(via, ''), true);
    END IF;
    RETURN NEW;
END
$$
"""

ATTACHED_ARRIVED = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_{name}_arrived(n {relation}) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    nothing {relation};
    owner uuid;
    person uuid;
    why text;
    was_there jsonb;
BEGIN
    SELECT a.user_id INTO owner FROM legacy_attachments AS a WHERE a.source = {table} AND a.key = n.{key}::text;
    IF owner IS NULL THEN
        {found}
        IF owner IS NULL THEN
            INSERT INTO legacy_attachments (source, key, reason) VALUES ({table}, n.{key}::text, why)
            ON CONFLICT (source, key) DO UPDATE SET reason = EXCLUDED.reason;
            RETURN;
        END IF;
        PERFORM unification_sync_attach({table}, n.{key}::text, owner);
    ELSE
        -- It was deleted, and comes back.
        SELECT d.row INTO was_there FROM legacy_deletions AS d
        WHERE d.source = {table} AND d.key = n.{key}::text ORDER BY d.id DESC LIMIT 1;
        DELETE FROM legacy_deletions AS d WHERE d.source = {table} AND d.key = n.{key}::text;
        nothing := coalesce(jsonb_populate_record(NULL::{relation}, was_there), nothing);
    END IF;
    SELECT coalesce(p.merged_into_id, p.id) INTO person FROM profiles AS p WHERE p.user_id = owner;
    person := unification_sync_person(person);
    {first}
    IF NOT unification_sync_from_{name}(person, nothing, n) THEN
        PERFORM unification_sync_hand_over(person, {table}, to_jsonb(nothing), to_jsonb(n));
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION unification_sync_{name}_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    n {relation};
    via text := current_setting('unified.via', true);
BEGIN
    PERFORM set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true);
    FOR n IN SELECT * FROM after AS r ORDER BY ({order}), r.{key} LOOP
        PERFORM unification_sync_wrote(n, false);
        PERFORM unification_sync_{name}_arrived(n);
    END LOOP;
    PERFORM set_config('unification.sync', '', true), set_config('unified.via', coalesce(via, ''), true);
    RETURN NULL;
END
$$
"""
)
# What a session said first of a person is kept, also when another one comes: the later value is a conflict. Gives the row
# from which the change is reckoned: nothing, but for what is known already.
SESSION_VALUES = tuple(f for f in fields_of(Table.USER_PROFILES) if f.rule is Rule.FIRST)
SAID_BEFORE = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_said_before(person uuid, n user_profiles) RETURNS user_profiles
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    known profiles;
    result user_profiles;
BEGIN
    SELECT * INTO known FROM profiles WHERE id = person;
    {fields}
    RETURN result;
END
$$
"""
)
SAID_FIRST = sql.SQL(
    """IF ({known} IS NOT NULL) THEN
        IF ({new} IS NOT NULL) AND n.{name} IS DISTINCT FROM known.{name} THEN
            PERFORM unification_sync_left_out(person, {label}, 'first', 'profiles', person::text, to_jsonb(known.{name}),
                'user_profiles', n.id::text, to_jsonb(n.{name}));
        END IF;
        result.{name} := n.{name};
    END IF;"""
)


def _said_before() -> sql.Composed:
    return SAID_BEFORE.format(
        fields=sql.SQL("\n    ").join(
            SAID_FIRST.format(
                name=sql.Identifier(field.column),
                label=sql.Literal(field.column),
                known=chosen(field, sql.Identifier("known", field.column)),
                new=chosen(field, sql.Identifier("n", field.column)),
            )
            for field in SESSION_VALUES
        )
    )


FOUND: dict[Table, str] = {
    Table.CUSTOMER_PROFILES: """SELECT i.user_id INTO owner FROM legacy_identities AS i
        WHERE i.customer_id = unification_uuid(n.customer_id::text);
        why := 'no_customer';""",
    Table.USER_PROFILES: """SELECT CASE WHEN count(*) = 1 THEN (array_agg(u.id))[1] END,
            CASE WHEN count(*) > 1 THEN 'several' WHEN count(*) = 0 THEN 'nobody' END
        INTO owner, why FROM users AS u
        WHERE u.session_id = n.session_id AND unification_text(n.session_id) IS NOT NULL;
        IF owner IS NULL AND why = 'nobody' AND unification_usable(unification_email(n.email)) THEN
            SELECT CASE WHEN count(*) = 1 AND bool_and(u.email_verified IS TRUE) THEN (array_agg(u.id))[1] END,
                CASE WHEN count(*) > 1 THEN 'several' WHEN count(*) = 0 THEN 'nobody' ELSE 'unverified' END
            INTO owner, why FROM users AS u WHERE unification_email(u.email) = unification_email(n.email);
        END IF;""",
}
SINCE = {
    Table.USER_PROFILES: sql.SQL(
        "IF was_there IS NULL THEN\n        nothing := unification_sync_said_before(person, n);\n    END IF;"
    )
}
ORDER: dict[Table, str] = {
    Table.CUSTOMER_PROFILES: "SELECT coalesce(p.merged_into_id, p.id) FROM legacy_identities AS i JOIN profiles AS p"
    " ON p.user_id = i.user_id WHERE i.customer_id = unification_uuid(r.customer_id::text)",
    Table.USER_PROFILES: "SELECT min(coalesce(p.merged_into_id, p.id)::text) FROM users AS u JOIN profiles AS p"
    " ON p.user_id = u.id WHERE u.session_id = r.session_id",
}

# A user who takes over a session brings what it knew.
SESSION = """
CREATE OR REPLACE FUNCTION unification_sync_session(n users) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF unification_text(n.session_id) IS NOT NULL THEN
        PERFORM unification_sync_user_profiles_arrived(s) FROM user_profiles AS s
        WHERE s.session_id = n.session_id AND NOT EXISTS (
            SELECT FROM legacy_attachments AS a
            WHERE a.source = 'user_profiles' AND a.key = s.id::text AND a.user_id IS NOT NULL);
    END IF;
END
$$
"""

# A new profile, made by the new application for a user who has none, gets its customers row.
PROFILES_INSERTED = """
CREATE OR REPLACE FUNCTION unification_sync_profiles_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    n profiles;
    nothing profiles;
    person uuid;
    via text := current_setting('unified.via', true);
BEGIN
    FOR n IN SELECT * FROM after ORDER BY id LOOP
        person := unification_sync_person(n.id);
        nothing := unification_sync_as_legacy_has_it(n);
        PERFORM set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true);
        IF NOT unification_sync_push(nothing, n, 'profiles', person) THEN
            PERFORM unification_sync_hand_over(person, 'profiles', to_jsonb(nothing), to_jsonb(n));
        END IF;
        PERFORM set_config('unification.sync', '', true), set_config('unified.via', coalesce(via, ''), true);
    END LOOP;
    RETURN NULL;
END
$$
"""
# What the legacy rows say already of somebody whose profile was not there; nothing, as a rule.
AS_LEGACY_HAS_IT = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_as_legacy_has_it(n profiles) RETURNS profiles LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    found profiles;
BEGIN
    found.id := n.id;
    found.user_id := n.user_id;
    found.preferences := '{{}}';
    SELECT {customers} INTO {customers_into}
    FROM legacy_identities AS i JOIN customers AS c ON c.id = i.customer_id WHERE i.user_id = n.user_id;
    SELECT coalesce(sum(coalesce(cp.interaction_count, up.interaction_count)), 0) INTO found.interaction_count
    FROM legacy_attachments AS a
    LEFT JOIN customer_profiles AS cp ON a.source = 'customer_profiles' AND cp.customer_id = a.key
    LEFT JOIN user_profiles AS up ON a.source = 'user_profiles' AND up.id = unification_uuid(a.key)
    WHERE a.user_id = n.user_id;
    {lists}
    RETURN found;
END
$$
"""
)


def _new_user(sources: Sources) -> sql.Composed:
    fields = fields_of(Table.USERS)
    values = []
    for field in fields:
        value: sql.Composable = sql.Identifier("n", field.column)
        if field.kind is Kind.TIME:
            value = sql.SQL("{} AT TIME ZONE 'UTC'").format(value)
        elif field.kind is Kind.BOOLEAN:
            value = sql.SQL("{} IS TRUE").format(value)
        values.append(said(field, value))
    return USERS_ARRIVED.format(
        columns=sql.SQL(", ").join([*(sql.Identifier(f.column) for f in fields), sql.SQL("is_verified")]),
        values=sql.SQL(", ").join([*values, sql.SQL("n.email_verified IS TRUE OR n.phone_verified IS TRUE")]),
        customer_columns=sql.SQL(", ").join(sql.Identifier(f.column) for f in fields),
        customer_values=sql.SQL(", ").join(sql.Identifier("n", f.column) for f in fields),
    )


def _arrived(sources: Sources) -> sql.Composed:
    fields = fields_of(Table.CUSTOMERS)
    misshapen = sql.SQL("\n        ").join(
        sql.SQL(
            """IF jsonb_typeof(n.{name}) <> 'array' AND unification_json(n.{name}) IS NOT NULL THEN
            PERFORM unification_sync_left_out(
                n.id, {label}, 'shape', 'profiles', n.id::text, '[]', 'customers', n.id::text, n.{name});
        END IF;"""
        ).format(name=sql.Identifier(field.column), label=sql.Literal(field.column))
        for field in fields
        if field.kind is Kind.LIST
    )
    as_written = sql.SQL("\n            ").join(
        sql.SQL("p.{} := {};").format(sql.Identifier(f.column), profile_value(sources, Table.CUSTOMERS, f))
        for f in fields
        if f.rule in (Rule.FIRST, Rule.BLOCK, Rule.CONSENT, Rule.VERIFIED)
    )
    return ARRIVED.format(
        columns=sql.SQL(", ").join(sql.Identifier(f.column) for f in fields),
        values=sql.SQL(", ").join(first_value(sources, f) for f in fields),
        misshapen=misshapen,
        # A new row's person is waited for: there is no older state of the row that somebody else could carry over.
        lock_profile=sql.SQL("SELECT * INTO p FROM profiles WHERE id = person FOR NO KEY UPDATE;"),
        assigned=sql.SQL(", ").join(sql.SQL("{0} = q.{0}").format(sql.Identifier(f.column)) for f in fields),
        as_written=as_written,
        primary=PRIMARY.format(user=sql.SQL("owner")),
    )


def _as_legacy_has_it() -> sql.Composed:
    sums = [f.column for f in fields_of(Table.CUSTOMERS) if f.rule is Rule.SUM]
    lists = [f.column for f in FIELD_MAP if f.kind is Kind.LIST]
    return AS_LEGACY_HAS_IT.format(
        customers=sql.SQL(", ").join(sql.SQL("coalesce(sum(c.{}), 0)").format(sql.Identifier(name)) for name in sums),
        customers_into=sql.SQL(", ").join(sql.SQL("found.{}").format(sql.Identifier(name)) for name in sums),
        lists=sql.SQL("\n    ").join(sql.SQL("found.{} := '[]';").format(sql.Identifier(name)) for name in lists),
    )


def statements(sources: Sources) -> list[sql.Composable]:
    """The functions of this module."""
    made: list[sql.Composable] = [
        sql.SQL(SAME_ADDRESS),
        _said_before(),
        sql.SQL(IS_UNUSED),
        sql.SQL(IDENTIFY),
        MAKE_ACCOUNT.format(role_type=sql.SQL(sources.role_type)),
        _absorb(sources),
        _arrived(sources),
        sql.SQL(CUSTOMERS_INSERTED),
        _new_user(sources),
        sql.SQL(USERS_INSERTED),
        sql.SQL(FREE_ADDRESS),
    ]
    for table, found in FOUND.items():
        made.append(
            ATTACHED_ARRIVED.format(
                name=sql.SQL(table.value),
                relation=sql.Identifier(table),
                table=sql.Literal(str(table)),
                key=sql.Identifier(BACKUP_KEYS[table]),
                found=sql.SQL(found),
                order=sql.SQL(ORDER[table]),
                first=SINCE.get(table, sql.SQL("")),
            )
        )
    return [*made, sql.SQL(SESSION), _as_legacy_has_it(), sql.SQL(PROFILES_INSERTED)]
