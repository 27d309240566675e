"""Guests and their addresses: which account a guest's row belongs to, and the accounts that are made for them."""

from psycopg import sql

from ..sources import Sources

# Whether an account was made for a guest and nobody has used it. This and the next are in PL/pgSQL because PostgreSQL parses and
# plans a function in SQL that asks tables anew with every call.
IS_UNUSED = """
CREATE OR REPLACE FUNCTION unification_sync_is_unused(login users) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN login.password_hash LIKE '!%' AND login.last_login IS NULL AND EXISTS (
        SELECT FROM legacy_identities AS i
        WHERE i.user_id = login.id AND i."case" IN ('new_user', 'separate'));
END
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
CREATE OR REPLACE FUNCTION unification_sync_make_account(login text, n customers) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    made uuid := gen_random_uuid();
BEGIN
    INSERT INTO users (id, email, password_hash, role, active, email_verified, phone_verified, age_verified,
        terms_accepted, created_at, updated_at)
    VALUES (made, login,
        '!' || left(translate(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 40),
        'customer'::{role_type}, n.is_active, false, false, false, false, n.created_at, n.updated_at);
    RETURN made;
END
$$
"""
)

# Whether a linked row's address is no other than the login.
SAME_ADDRESS = """
CREATE OR REPLACE FUNCTION unification_same_address(address text, account uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
BEGIN
    RETURN unification_text(address) IS NULL OR EXISTS (
        SELECT FROM users AS u WHERE u.id = account AND unification_email(u.email) = unification_email(address));
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


def statements(sources: Sources) -> list[sql.Composable]:
    """The functions of this module."""
    return [
        sql.SQL(SAME_ADDRESS),
        sql.SQL(IS_UNUSED),
        sql.SQL(IDENTIFY),
        MAKE_ACCOUNT.format(role_type=sql.SQL(sources.role_type)),
        sql.SQL(FREE_ADDRESS),
    ]
