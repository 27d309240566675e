"""Rows of customer_profiles and user_profiles that come: whose they are, and what they bring."""

from psycopg import sql

from ..consolidate import chosen
from ..field_map import Rule, Table, fields_of
from ..sources import BACKUP_KEYS

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
    ELSIF EXISTS (SELECT FROM legacy_handovers) THEN
        PERFORM unification_sync_settle(person);
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


def statements() -> list[sql.Composable]:
    """The functions of this module."""
    arrived = [
        ATTACHED_ARRIVED.format(
            name=sql.SQL(table.value),
            relation=sql.Identifier(table),
            table=sql.Literal(str(table)),
            key=sql.Identifier(BACKUP_KEYS[table]),
            found=sql.SQL(found),
            order=sql.SQL(ORDER[table]),
            first=SINCE.get(table, sql.SQL("")),
        )
        for table, found in FOUND.items()
    ]
    return [_said_before(), *arrived, sql.SQL(SESSION)]
