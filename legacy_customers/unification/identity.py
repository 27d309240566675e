"""Whose row is whose: each customers row gets its person, and guests without an account get one.

One transaction: it reads the backups, which hold still, and writes legacy_identities, legacy_attachments and the guests'
users. Who registered since the backup is there to be met by a guest, and nobody's row is merged into them.
"Newest" is updated_at, else created_at; ties go to the lowest id. Guests contradict each other when both birth dates are
known and differ: of such guests the newest with a known birth date decides, and those who agree with it are merged.
"""

from django.db import IntegrityError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from . import bulk_load, old_trigger, phases, progress
from .sources import Sources

PHASE = "identity"
TABLES = ("legacy_identities", "legacy_attachments")
TRIES = 5

# Customers rows whose user_id names an existing user.
LINKED = sql.SQL(
    """
INSERT INTO legacy_identities (customer_id, user_id, "case", position)
SELECT c.id, u.id, 'linked', 1
FROM {customers} AS c JOIN {users} AS u ON u.id = c.user_id
"""
)

# Where nothing keeps a user from being linked twice, the newest of the rows is the primary one.
LINKED_TWICE = sql.SQL(
    """
UPDATE legacy_identities AS i SET position = ranked.position
FROM (
    SELECT c.id, row_number() OVER (
        PARTITION BY c.user_id ORDER BY coalesce(c.updated_at, c.created_at) DESC NULLS LAST, c.id) AS position
    FROM {customers} AS c WHERE c.user_id IN (SELECT user_id FROM {customers} GROUP BY user_id HAVING count(*) > 1)
) AS ranked
WHERE i.customer_id = ranked.id AND i.position <> ranked.position
"""
)

# Every other customers row. An address that is none is NULL here.
GUESTS = sql.SQL(
    """
CREATE TEMP TABLE guest ON COMMIT DROP AS
SELECT c.id AS customer_id, CASE WHEN unification_usable(e.email) THEN e.email END AS email,
    c.email AS email_as_it_was, c.date_of_birth, c.is_active, c.created_at, c.updated_at,
    coalesce(c.updated_at, c.created_at) AS newest
FROM {customers} AS c
CROSS JOIN LATERAL (SELECT unification_email(c.email) AS email) AS e
WHERE NOT EXISTS (SELECT FROM {users} AS u WHERE u.id = c.user_id)
"""
)

# Every login that a guest or a user_profiles row may be, under the one spelling in which addresses are compared. One that was
# made since the backup is not to be trusted yet: its own row comes later.
LOGINS = sql.SQL(
    """
CREATE TEMP TABLE login ON COMMIT DROP AS
SELECT u.id AS user_id, e.email, b.email_verified IS TRUE AS verified
FROM users AS u
LEFT JOIN {users} AS b ON b.id = u.id
CROSS JOIN LATERAL (SELECT unification_email(u.email) AS email) AS e
WHERE e.email IN (SELECT email FROM guest UNION ALL SELECT unification_email(email) FROM {user_profiles})
"""
)

# What the guest's address meets: no account, one, or several.
MEETINGS = sql.SQL(
    """
CREATE TEMP TABLE meeting ON COMMIT DROP AS
SELECT g.*, l.user_id AS account_id, l.accounts,
    CASE
        WHEN g.email IS NULL THEN 'separate'
        WHEN l.accounts IS NULL THEN 'new_user'
        WHEN l.accounts = 1 AND l.verified
            AND coalesce(g.date_of_birth = u.date_of_birth, true)
            AND coalesce(g.date_of_birth = ALL (b.birth_dates), true)
        THEN 'matched'
        ELSE 'separate'
    END AS outcome,
    CASE
        WHEN l.accounts > 1 THEN 'shared_address'
        WHEN l.accounts = 1 AND NOT l.verified THEN 'unverified_address'
        WHEN l.accounts = 1 THEN 'birth_date'
    END AS reason
FROM guest AS g
LEFT JOIN (
    SELECT email, count(*) AS accounts, (array_agg(user_id))[1] AS user_id, bool_and(verified) AS verified
    FROM login WHERE email IN (SELECT email FROM guest) GROUP BY email
) AS l ON l.email = g.email
LEFT JOIN {users} AS u ON l.accounts = 1 AND u.id = l.user_id
LEFT JOIN (
    SELECT user_id, array_agg(date_of_birth) AS birth_dates FROM {customers}
    WHERE date_of_birth IS NOT NULL
        AND user_id IN (SELECT user_id FROM login WHERE email IN (SELECT email FROM guest))
    GROUP BY user_id
) AS b ON b.user_id = l.user_id
"""
)

# Among guests who would be one person, the newest known birth date decides who stays.
DECIDED = sql.SQL(
    """
CREATE TEMP TABLE decided ON COMMIT DROP AS
WITH asked AS (
    SELECT m.*, CASE WHEN outcome <> 'separate' THEN
        first_value(date_of_birth) OVER (
            PARTITION BY outcome, email ORDER BY date_of_birth IS NULL, newest DESC NULLS LAST, customer_id)
    END AS birth_date_of_the_person
    FROM meeting AS m
)
SELECT customer_id, email, email_as_it_was, is_active, created_at, updated_at, newest, account_id,
    CASE WHEN date_of_birth <> birth_date_of_the_person THEN 'separate' ELSE outcome END AS outcome,
    CASE
        WHEN date_of_birth <> birth_date_of_the_person THEN 'birth_date'
        WHEN outcome = 'separate' THEN reason
    END AS reason
FROM asked
"""
)

# One user per address of a new person, one per guest who stays apart.
PERSONS = sql.SQL(
    """
CREATE TEMP TABLE person ON COMMIT DROP AS
SELECT DISTINCT ON (email)
    gen_random_uuid() AS user_id, email AS found_by_email, NULL::uuid AS found_by_id,
    btrim(email_as_it_was, unification_white_space()) AS login, is_active, created_at, updated_at
FROM decided WHERE outcome = 'new_user'
ORDER BY email, newest DESC NULLS LAST, customer_id
"""
)
SEPARATE_PERSONS = sql.SQL(
    """
INSERT INTO person
SELECT gen_random_uuid(), NULL, customer_id, NULL, is_active, created_at, updated_at
FROM decided WHERE outcome = 'separate'
"""
)

# The guests' accounts. The password is Django's unusable one: '!' and a random text that no hash equals.
NEW_USERS = sql.SQL(
    """
INSERT INTO users (id, email, password_hash, role, active, email_verified, phone_verified, age_verified,
    terms_accepted, created_at, updated_at)
SELECT user_id, login,
    '!' || left(translate(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 40),
    'customer'::{role_type}, is_active, false, false, false, false, created_at, updated_at
FROM person
"""
)

GUEST_IDENTITIES = sql.SQL(
    """
INSERT INTO legacy_identities (customer_id, user_id, "case", position, reason)
SELECT found.customer_id, found.user_id, outcome,
    coalesce(linked.rows, 0)
        + row_number() OVER (PARTITION BY found.user_id ORDER BY newest DESC NULLS LAST, found.customer_id),
    found.reason
FROM (
    SELECT d.customer_id, d.outcome, d.reason, d.newest, coalesce(e.user_id, s.user_id, d.account_id) AS user_id
    FROM decided AS d
    LEFT JOIN person AS e ON d.outcome = 'new_user' AND e.found_by_email = d.email
    LEFT JOIN person AS s ON d.outcome = 'separate' AND s.found_by_id = d.customer_id
) AS found
LEFT JOIN (
    SELECT i.user_id, count(*) AS rows FROM legacy_identities AS i
    WHERE i.user_id IN (SELECT account_id FROM decided WHERE outcome = 'matched') GROUP BY i.user_id
) AS linked ON outcome = 'matched' AND linked.user_id = found.user_id
"""
)

# customer_profiles belong to the customers row that their key spells, in any spelling of a uuid.
CUSTOMER_PROFILES = sql.SQL(
    """
CREATE TEMP TABLE attached ON COMMIT DROP AS
SELECT 'customer_profiles' AS source, p.customer_id::text AS key, i.user_id,
    CASE WHEN i.user_id IS NULL THEN 'no_customer' END AS reason,
    coalesce(p.updated_at, p.created_at) AS newest
FROM {customer_profiles} AS p
LEFT JOIN legacy_identities AS i ON i.customer_id = unification_uuid(p.customer_id::text)
"""
)

# user_profiles belong to the one account that carries their session, else to the one verified account with their address.
USER_PROFILES = sql.SQL(
    """
INSERT INTO attached
SELECT 'user_profiles', p.id::text,
    CASE
        WHEN s.accounts = 1 THEN s.user_id
        WHEN s.accounts IS NULL AND e.accounts = 1 AND e.verified THEN e.user_id
    END,
    CASE
        WHEN s.accounts = 1 THEN NULL
        WHEN s.accounts > 1 OR e.accounts > 1 THEN 'several'
        WHEN e.accounts IS NULL THEN 'nobody'
        WHEN NOT e.verified THEN 'unverified'
    END,
    coalesce(p.updated_at, p.created_at)
FROM {user_profiles} AS p
LEFT JOIN (
    SELECT session_id, count(*) AS accounts, (array_agg(id))[1] AS user_id
    FROM {users}
    WHERE unification_text(session_id) IS NOT NULL AND session_id IN (SELECT session_id FROM {user_profiles})
    GROUP BY session_id
) AS s ON s.session_id = p.session_id
LEFT JOIN (
    SELECT email, count(*) AS accounts, (array_agg(user_id))[1] AS user_id, bool_and(verified) AS verified
    FROM login
    WHERE email IN (SELECT unification_email(email) FROM {user_profiles}) AND unification_usable(email)
    GROUP BY email
) AS e ON e.email = unification_email(p.email)
"""
)

ATTACHMENTS = sql.SQL(
    """
INSERT INTO legacy_attachments (source, key, user_id, position, reason)
SELECT source, key, user_id,
    CASE WHEN user_id IS NOT NULL THEN
        row_number() OVER (PARTITION BY user_id ORDER BY newest DESC NULLS LAST, source, key COLLATE "C")
    END,
    reason
FROM attached
"""
)


def statements(sources: Sources) -> list[tuple[str, sql.Composed]]:
    """Every statement in order, by the name of the constant that explains it."""
    parts = {name: sources.table(name) for name in ("users", "customers", "customer_profiles", "user_profiles")} | {
        "role_type": sql.SQL(sources.role_type)
    }  # format_type() quotes what needs it
    names = (
        "LINKED",
        "LINKED_TWICE",
        "GUESTS",
        "LOGINS",
        "MEETINGS",
        "DECIDED",
        "PERSONS",
        "SEPARATE_PERSONS",
        "NEW_USERS",
        "GUEST_IDENTITIES",
        "CUSTOMER_PROFILES",
        "USER_PROFILES",
        "ATTACHMENTS",
    )
    return [(name, globals()[name].format(**parts)) for name in names]


def identify(connection: BaseDatabaseWrapper, sources: Sources) -> None:
    """Decide for every row of the legacy tables whose it is, once: what was decided before a kill stays.

    Errors: IntegrityError after five starts.
    """
    with phases.phase(connection, PHASE) as detail:
        # Deciding again would take the guests' new accounts for somebody else's.
        if not counts(connection):
            _decide_or_start_over(connection, sources)
        for table in TABLES:
            bulk_load.put_back(connection, PHASE, table)
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))
        detail["cases"] = counts(connection)
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM legacy_attachments")
            detail["rows"] = sum(detail["cases"].values()) + cursor.fetchone()[0]


def _decide_or_start_over(connection: BaseDatabaseWrapper, sources: Sources) -> None:
    """A registration that takes a guest's address while this runs makes it start over with the new account in view."""
    for attempt in range(TRIES):
        try:
            with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
                _decide(connection, cursor, sources)
            return
        except IntegrityError:
            if attempt == TRIES - 1:
                raise
            progress.tell("identity: a login appeared meanwhile, starting over")


def _decide(connection: BaseDatabaseWrapper, cursor: CursorWrapper, sources: Sources) -> None:
    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    phases.tune(cursor)
    cursor.execute(old_trigger.MAKING_GUESTS)
    for table in TABLES:
        cursor.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
        bulk_load.set_aside(connection, PHASE, table)
    for name, statement in statements(sources.backups()):
        cursor.execute(statement)
        if name in _ANALYZED:
            cursor.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(_ANALYZED[name])))


_ANALYZED = {"GUESTS": "guest", "LOGINS": "login", "PERSONS": "person", "DECIDED": "decided"}


def counts(connection: BaseDatabaseWrapper) -> dict[str, int]:
    """How many customers rows fell under each case of identity."""
    with connection.cursor() as cursor:
        cursor.execute('SELECT "case", count(*) FROM legacy_identities GROUP BY 1 ORDER BY 1')
        return dict(cursor.fetchall())
