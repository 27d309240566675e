"""Rows that leave the legacy tables or change hands: nobody is lost, every old id keeps resolving, and the deleted row is kept."""

from psycopg import sql

from ..field_map import Table
from ..sources import BACKUP_KEYS

# The row's person keeps what it brought. A row that comes back is known again.
LEFT = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_left(gone {relation}) RETURNS void LANGUAGE sql AS $$
    INSERT INTO legacy_deletions (source, key, row, deleted_by)
    VALUES ({table}, gone.{key}::text, to_jsonb(gone){without}, session_user)
$$
"""
)
DELETED = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_{name}_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM unification_sync_left(ROW(r.*)::{relation}) FROM before AS r;
    RETURN NULL;
END
$$
"""
)

# The profile of a deleted user moves to a login that nobody can use, and with it all that points at the user and is ours.
# Orders that named the user by themselves stay: where the old world refuses to delete their user, it still does.
USER_DELETED = """
CREATE OR REPLACE FUNCTION unification_sync_user_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM unification_sync_move_login(OLD);
    RETURN OLD;
END
$$
"""
MOVE_LOGIN = """
CREATE OR REPLACE FUNCTION unification_sync_move_login(gone users) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    person uuid;
    login users := gone;
    reference record;
    via text := current_setting('unified.via', true);
    syncing text := current_setting('unification.sync', true);
BEGIN
    SELECT coalesce(p.merged_into_id, p.id) INTO person FROM profiles AS p WHERE p.user_id = gone.id;
    IF person IS NULL THEN
        RETURN;
    END IF;
    PERFORM unification_sync_person(person);
    PERFORM set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true),
        set_config('unified.keep_dates', 'on', true);
    INSERT INTO users (email, password_hash, role, active, email_verified, phone_verified, age_verified, terms_accepted,
        created_at, updated_at)
    SELECT NULL, '!' || left(translate(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 40),
        'customer', gone.active, false, false, gone.age_verified, gone.terms_accepted, gone.created_at, gone.updated_at
    RETURNING * INTO login;
    INSERT INTO legacy_moved_logins (user_id, moved_to) VALUES (gone.id, login.id)
    ON CONFLICT (user_id) DO UPDATE SET moved_to = EXCLUDED.moved_to;
    UPDATE profiles SET user_id = login.id, contact_email = coalesce(contact_email, gone.email) WHERE user_id = gone.id;
    UPDATE legacy_identities SET user_id = login.id WHERE user_id = gone.id;
    UPDATE legacy_attachments SET user_id = login.id WHERE user_id = gone.id;
    UPDATE orders AS o SET user_id = login.id WHERE o.user_id = gone.id AND NOT (
        EXISTS (SELECT FROM backup_orders AS b WHERE b.id = o.id AND b.user_id = gone.id)
        AND EXISTS (
            SELECT FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
            WHERE c.conrelid = 'orders'::regclass AND c.confrelid = 'users'::regclass AND c.contype = 'f'
                AND a.attname = 'user_id' AND NOT c.condeferrable));
    FOR reference IN
        SELECT c.conrelid::regclass AS relation, a.attname AS name
        FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
        WHERE c.confrelid = 'users'::regclass AND c.contype = 'f' AND c.condeferrable AND cardinality(c.conkey) = 1
            AND (c.conrelid, a.attname) NOT IN (('orders'::regclass, 'user_id'), ('profiles'::regclass, 'user_id'))
    LOOP
        EXECUTE format('UPDATE %s SET %I = $1 WHERE %I = $2', reference.relation, reference.name, reference.name)
        USING login.id, gone.id;
    END LOOP;
    PERFORM set_config('unification.sync', coalesce(syncing, ''), true), set_config('unified.via', coalesce(via, ''), true),
        set_config('unified.keep_dates', '', true);
END
$$
"""

# The old application links a row to an account, to another one, or to none. Of a guest whose account nobody has used the
# profile goes up in the account's. Any other row stays whose it was, and whoever looks after suggestions decides.
LINKED = """
CREATE OR REPLACE FUNCTION unification_sync_linked(o customers, n customers) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    guest profiles;
    account profiles;
    login users;
BEGIN
    SELECT p.* INTO account FROM profiles AS p WHERE p.user_id = n.user_id;
    SELECT p.* INTO guest FROM legacy_identities AS i JOIN profiles AS p ON p.user_id = i.user_id WHERE i.customer_id = n.id;
    IF account.id IS NULL OR guest.id IS NULL
        OR coalesce(account.merged_into_id, account.id) = coalesce(guest.merged_into_id, guest.id)
    THEN
        RETURN;
    END IF;
    SELECT * INTO login FROM users WHERE id = guest.user_id;
    IF guest.merged_into_id IS NULL AND guest.erased_at IS NULL AND unification_sync_is_unused(login)
        AND NOT EXISTS (SELECT FROM profiles WHERE merged_into_id = guest.id)
    THEN
        PERFORM unification_sync_merge(coalesce(account.merged_into_id, account.id), guest.id);
    ELSE
        INSERT INTO merge_suggestions (profile_id, other_profile_id, reason)
        VALUES (coalesce(guest.merged_into_id, guest.id), coalesce(account.merged_into_id, account.id), 'linked')
        ON CONFLICT DO NOTHING;
    END IF;
END
$$
"""

# A guest's profile goes up in another: its rows bring to that one what they would have brought had they come there.
MERGE = """
CREATE OR REPLACE FUNCTION unification_sync_merge(survivor uuid, other uuid) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    guest profiles;
    p profiles;
    q profiles;
    c customers;
    cp customer_profiles;
    up user_profiles;
    no_cp customer_profiles;
    owner uuid;
BEGIN
    survivor := unification_sync_person(survivor);
    SELECT * INTO guest FROM profiles WHERE id = other FOR UPDATE;
    SELECT user_id INTO owner FROM profiles WHERE id = survivor FOR UPDATE;
    UPDATE profiles SET loyalty_points = 0, total_spent = 0, order_count = 0, interaction_count = 0,
        merged_into_id = survivor WHERE id = other;
    FOR c IN SELECT r.* FROM legacy_identities AS i JOIN customers AS r ON r.id = i.customer_id
        WHERE i.user_id = guest.user_id ORDER BY i.position
    LOOP
        SELECT * INTO p FROM profiles WHERE id = survivor;
        q := unification_sync_absorb(p, c, false);
        PERFORM unification_sync_spread(p, q, 'customers', survivor);
        UPDATE profiles SET {assigned} WHERE id = survivor;
    END LOOP;
    FOR cp IN SELECT r.* FROM legacy_attachments AS a JOIN customer_profiles AS r ON r.customer_id = a.key
        WHERE a.source = 'customer_profiles' AND a.user_id = guest.user_id ORDER BY a.position DESC
    LOOP
        PERFORM unification_sync_from_customer_profiles(survivor, no_cp, cp);
    END LOOP;
    FOR up IN SELECT r.* FROM legacy_attachments AS a JOIN user_profiles AS r ON r.id = unification_uuid(a.key)
        WHERE a.source = 'user_profiles' AND a.user_id = guest.user_id ORDER BY a.position DESC
    LOOP
        PERFORM unification_sync_from_user_profiles(survivor, unification_sync_said_before(survivor, up), up);
    END LOOP;
    UPDATE users SET active = false WHERE id = guest.user_id AND active IS DISTINCT FROM false;
    PERFORM set_config('unified.keep_dates', 'on', true);
    UPDATE orders SET user_id = owner WHERE user_id = guest.user_id;
    PERFORM set_config('unified.keep_dates', '', true);
    UPDATE profile_aliases SET profile_id = survivor WHERE profile_id = other;
    UPDATE field_conflicts SET profile_id = survivor WHERE profile_id = other;
    UPDATE merge_suggestions SET status = 'merged', decided_at = now()
    WHERE other IN (profile_id, other_profile_id) AND status = 'open';
END
$$
"""

# TRUNCATE names no rows: what it takes away could not be kept.
TRUNCATED = """
CREATE OR REPLACE FUNCTION unification_sync_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE feature_not_supported USING
        MESSAGE = format('TRUNCATE of %s refused: it is being kept in step with the profiles', TG_TABLE_NAME),
        HINT = 'DELETE the rows: each is then kept, and its person stays.';
END
$$
"""

# A guest's row gets another address: the account that was made for the guest, and that nobody has used, goes by it.
EMAIL = """
CREATE OR REPLACE FUNCTION unification_sync_email(p profiles, n customers, login users) RETURNS text LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    usable boolean;
    accounts uuid[];
    found users;
BEGIN
    IF n.user_id IS NOT NULL OR NOT unification_sync_is_unused(login) THEN
        RETURN CASE WHEN unification_same_address(n.email, login.id) THEN NULL ELSE n.email END;
    END IF;
    SELECT a.usable, a.accounts INTO usable, accounts FROM unification_accounts(n.email) AS a;
    accounts := array_remove(accounts, login.id);
    IF usable AND coalesce(cardinality(accounts), 0) = 0 THEN
        BEGIN
            UPDATE users SET email = btrim(n.email, unification_white_space()) WHERE id = login.id RETURNING * INTO found;
            PERFORM unification_sync_wrote(found, true);
            RETURN NULL;
        EXCEPTION WHEN unique_violation THEN
            NULL;  -- somebody registered with it at this instant
        END;
    END IF;
    IF login.email IS NOT NULL THEN
        UPDATE users SET email = NULL WHERE id = login.id RETURNING * INTO found;
        PERFORM unification_sync_wrote(found, true);
    END IF;
    INSERT INTO merge_suggestions (profile_id, other_profile_id, reason)
    SELECT p.id, coalesce(r.merged_into_id, r.id), CASE
        WHEN cardinality(accounts) > 1 THEN 'shared_address'
        WHEN u.email_verified THEN 'verified_address'
        ELSE 'unverified_address' END
    FROM profiles AS r JOIN users AS u ON u.id = r.user_id WHERE u.id = ANY(accounts)
    ON CONFLICT DO NOTHING;
    RETURN n.email;
END
$$
"""


def statements() -> list[sql.Composable]:
    """The functions of this module."""
    from ..field_map import fields_of

    made: list[sql.Composable] = []
    for table, key in BACKUP_KEYS.items():
        relation = sql.Identifier(table)
        made.append(
            LEFT.format(
                relation=relation,
                table=sql.Literal(table),
                key=sql.Identifier(key),
                without=sql.SQL(" - 'password_hash'" if table == "users" else ""),
            )
        )
        made.append(DELETED.format(name=sql.SQL(table), relation=relation))
    assigned = sql.SQL(", ").join(
        sql.SQL("{0} = q.{0}").format(sql.Identifier(field.column)) for field in fields_of(Table.CUSTOMERS)
    )
    return [
        *made,
        sql.SQL(MOVE_LOGIN),
        sql.SQL(USER_DELETED),
        sql.SQL(MERGE).format(assigned=assigned),
        sql.SQL(LINKED),
        sql.SQL(TRUNCATED),
        sql.SQL(EMAIL),
    ]
