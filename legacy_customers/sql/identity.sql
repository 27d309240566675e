-- Whose row is whose (unification/identity.py).
-- Rendered by `manage.py render_sql` for a current installation. To be read, not run.

-- LINKED
INSERT INTO legacy_identities (customer_id, user_id, "case", position)
SELECT c.id, u.id, 'linked', 1
FROM "backup_customers" AS c JOIN "backup_users" AS u ON u.id = c.user_id;

-- LINKED_TWICE
UPDATE legacy_identities AS i SET position = ranked.position
FROM (
    SELECT c.id, row_number() OVER (
        PARTITION BY c.user_id ORDER BY coalesce(c.updated_at, c.created_at) DESC NULLS LAST, c.id) AS position
    FROM "backup_customers" AS c WHERE c.user_id IN (SELECT user_id FROM "backup_customers" GROUP BY user_id HAVING count(*) > 1)
) AS ranked
WHERE i.customer_id = ranked.id AND i.position <> ranked.position;

-- GUESTS
CREATE TEMP TABLE guest ON COMMIT DROP AS
SELECT c.id AS customer_id, CASE WHEN unification_usable(e.email) THEN e.email END AS email,
    c.email AS email_as_it_was, c.date_of_birth, c.is_active, c.created_at, c.updated_at,
    coalesce(c.updated_at, c.created_at) AS newest
FROM "backup_customers" AS c
CROSS JOIN LATERAL (SELECT unification_email(c.email) AS email) AS e
WHERE NOT EXISTS (SELECT FROM "backup_users" AS u WHERE u.id = c.user_id);

-- LOGINS
CREATE TEMP TABLE login ON COMMIT DROP AS
SELECT u.id AS user_id, e.email, b.email_verified IS TRUE AS verified
FROM users AS u
LEFT JOIN "backup_users" AS b ON b.id = u.id
CROSS JOIN LATERAL (SELECT unification_email(u.email) AS email) AS e
WHERE e.email IN (SELECT email FROM guest UNION ALL SELECT unification_email(email) FROM "backup_user_profiles");

-- MEETINGS
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
LEFT JOIN "backup_users" AS u ON l.accounts = 1 AND u.id = l.user_id
LEFT JOIN (
    SELECT user_id, array_agg(date_of_birth) AS birth_dates FROM "backup_customers"
    WHERE date_of_birth IS NOT NULL
        AND user_id IN (SELECT user_id FROM login WHERE email IN (SELECT email FROM guest))
    GROUP BY user_id
) AS b ON b.user_id = l.user_id;

-- DECIDED
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
FROM asked;

-- PERSONS
CREATE TEMP TABLE person ON COMMIT DROP AS
SELECT DISTINCT ON (email)
    gen_random_uuid() AS user_id, email AS found_by_email, NULL::uuid AS found_by_id,
    btrim(email_as_it_was, unification_white_space()) AS login, is_active, created_at, updated_at
FROM decided WHERE outcome = 'new_user'
ORDER BY email, newest DESC NULLS LAST, customer_id;

-- SEPARATE_PERSONS
INSERT INTO person
SELECT gen_random_uuid(), NULL, customer_id, NULL, is_active, created_at, updated_at
FROM decided WHERE outcome = 'separate';

-- NEW_USERS
INSERT INTO users (id, email, password_hash, role, active, email_verified, phone_verified, age_verified,
    terms_accepted, created_at, updated_at)
SELECT user_id, login,
    '!' || left(translate(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 40),
    'customer'::user_role_simple, is_active, false, false, false, false, created_at, updated_at
FROM person;

-- GUEST_IDENTITIES
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
) AS linked ON outcome = 'matched' AND linked.user_id = found.user_id;

-- CUSTOMER_PROFILES
CREATE TEMP TABLE attached ON COMMIT DROP AS
SELECT 'customer_profiles' AS source, p.customer_id::text AS key, i.user_id,
    CASE WHEN i.user_id IS NULL THEN 'no_customer' END AS reason,
    coalesce(p.updated_at, p.created_at) AS newest
FROM "backup_customer_profiles" AS p
LEFT JOIN legacy_identities AS i ON i.customer_id = unification_uuid(p.customer_id::text);

-- USER_PROFILES
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
FROM "backup_user_profiles" AS p
LEFT JOIN (
    SELECT session_id, count(*) AS accounts, (array_agg(id))[1] AS user_id
    FROM "backup_users"
    WHERE unification_text(session_id) IS NOT NULL AND session_id IN (SELECT session_id FROM "backup_user_profiles")
    GROUP BY session_id
) AS s ON s.session_id = p.session_id
LEFT JOIN (
    SELECT email, count(*) AS accounts, (array_agg(user_id))[1] AS user_id, bool_and(verified) AS verified
    FROM login
    WHERE email IN (SELECT unification_email(email) FROM "backup_user_profiles") AND unification_usable(email)
    GROUP BY email
) AS e ON e.email = unification_email(p.email);

-- ATTACHMENTS
INSERT INTO legacy_attachments (source, key, user_id, position, reason)
SELECT source, key, user_id,
    CASE WHEN user_id IS NOT NULL THEN
        row_number() OVER (PARTITION BY user_id ORDER BY newest DESC NULLS LAST, source, key COLLATE "C")
    END,
    reason
FROM attached;
