"""New customers and users of the old application, and new profiles: whose a row is, by the rules of the take-over.

A new user gets a profile and a customers row at once; a guest is matched, gets an account, or stays apart.
"""

from psycopg import sql

from ..consolidate import said
from ..field_map import FIELD_MAP, Kind, Rule, Table, fields_of
from ..sources import Sources
from .absorb import first_value
from .from_legacy import profile_value
from .to_legacy import PRIMARY

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
            PERFORM unification_sync_spread(p, q, 'customers', person);
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
        IF why IS NOT NULL THEN
            INSERT INTO merge_suggestions (profile_id, other_profile_id, reason)
            SELECT n.id, coalesce(r.merged_into_id, r.id), why FROM profiles AS r WHERE r.user_id = ANY(others)
            ON CONFLICT DO NOTHING;
        END IF;
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
        PERFORM unification_sync_spread(p, q, 'customers', person);
        UPDATE profiles SET contact_email = q.contact_email, {assigned} WHERE id = p.id AND q *<> p;
        IF kind = 'linked' THEN
            -- It is the row that stands for the person now: what it did not say is filled in.
            p := q;
            {as_written}
            PERFORM unification_sync_spread(p, q, 'customers', person);
        END IF;
    END IF;
    IF EXISTS (SELECT FROM legacy_handovers) THEN
        PERFORM unification_sync_settle(person);
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
        IF NOT unification_sync_spread(nothing, n, 'profiles', person) THEN
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
    return [
        _arrived(sources),
        sql.SQL(CUSTOMERS_INSERTED),
        _new_user(sources),
        sql.SQL(USERS_INSERTED),
        _as_legacy_has_it(),
        sql.SQL(PROFILES_INSERTED),
    ]
