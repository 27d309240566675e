-- A generated legacy database. people.py runs the statements one by one, with the number of people as a parameter.
-- Names in braces are the places where an older installation's types differ.

-- The people behind the users, numbered from 1; everything below is derived from this list.
CREATE TEMPORARY TABLE sample_people ON COMMIT DROP AS
SELECT n, h,
       md5('user' || n)::uuid AS user_id,
       md5('customer' || n)::uuid AS customer_id,
       first_name, last_name,
       -- The first are the sample logins. Every 5000th address is the one before it in capitals: two users, one mailbox.
       CASE WHEN n <= cardinality(%(login_emails)s::text[]) THEN (%(login_emails)s::text[])[n]
            WHEN mod(n, 5000) = 0 THEN upper('member' || n - 1 || '@example.org')
            WHEN mod(n, 5000) = 4999 THEN 'member' || n || '@example.org'
            WHEN mod(n, 50) = 0 THEN plain_name || n || '@Example.com'
            ELSE lower(plain_name) || n || '@'
                 || (ARRAY['example.com', 'example.org', 'example.net', 'mail.example'])[1 + (h >> 10 & 3)]
       END AS email,
       CASE WHEN mod(n, 8) <> 0 THEN '+1416' || lpad((h >> 12 & 8388607)::text, 7, '0') END AS phone,
       CASE WHEN mod(n, 4) <> 0 THEN date '1950-01-01' + (h >> 16 & 16383)::integer END AS date_of_birth,
       n <= cardinality(%(login_emails)s::text[]) OR (h >> 40 & 7) <> 0 AS email_verified,
       (h >> 43 & 1) = 1 AS marketing_consent,
       -- Members join in the order of their numbers over about three years; the fraction keeps the times apart.
       timestamp '2023-01-01 08:00' + (n * 94608000.0 / %(people)s) * interval '1 second' AS created_at,
       timestamp '2026-01-01 08:00' + (h >> 20 & 16777215) * interval '1 second' AS updated_at
FROM (
    SELECT n, h,
           (ARRAY['Ann', 'Boris', 'Chloé', 'Dmitri', 'Elif', 'Farid', 'Grace', 'Hiro', 'Ines', 'Jamal', 'Karin',
                  'Liam', 'Mei', 'Noor', 'Olga', 'Paulo'])[1 + (h & 15)] AS first_name,
           (ARRAY['Anderson', 'Brown', 'Castillo', 'Dubois', 'Eriksen', 'Fischer', 'García', 'Hughes', 'Ivanova',
                  'Jansen', 'Kowalski', 'Lopez', 'Müller', 'Nguyen', 'Okafor', 'Patel'])[1 + (h >> 4 & 15)]
               AS last_name
    FROM (SELECT n, hashint8extended(n, 1) & 9223372036854775807 AS h FROM generate_series(1, %(people)s) AS n) AS hashed
) AS named
CROSS JOIN LATERAL (SELECT translate(first_name || '.' || last_name, 'éíü', 'eiu') AS plain_name) AS plain;

INSERT INTO users (id, email, password_hash, first_name, last_name, phone, date_of_birth, marketing_consent, role,
                   active, email_verified, phone_verified, age_verified, terms_accepted, session_id, last_login,
                   created_at, updated_at)
SELECT user_id, email, %(password_hash)s, first_name, last_name, phone, date_of_birth, marketing_consent,
       (CASE WHEN n <= cardinality(%(login_roles)s::text[]) THEN (%(login_roles)s::text[])[n]
             WHEN mod(n, 2000) = 12 THEN 'store_manager' WHEN mod(n, 500) = 13 THEN 'staff'
             ELSE %(customer_role)s END)::{role_type},
       mod(n, 200) <> 12, email_verified, mod(n, 9) = 0, mod(n, 3) <> 0, true,
       CASE WHEN mod(n, 50) = 5 THEN 'session-' || md5('session' || n) END,
       CASE WHEN mod(n, 7) <> 0 THEN updated_at END,
       created_at, updated_at - interval '3 days'
FROM sample_people;

-- One linked row for all but every hundredth user. About one row in twenty disagrees with its user in each of names,
-- phone, consent; one in a hundred in birth date, address of mail, or activity.
INSERT INTO customers (id, user_id, email, first_name, last_name, phone, date_of_birth, address, city, state,
                       postal_code, country, loyalty_points, total_spent, order_count, last_order_date,
                       customer_type, preferred_payment_method, marketing_consent, sms_consent, tags, notes,
                       is_active, is_verified, created_at, updated_at)
SELECT customer_id, user_id,
       CASE WHEN mod(n, 100) = 11 THEN 'old.' || email ELSE email END,
       CASE WHEN mod(n, 20) = 7 THEN left(first_name, 1) || '.' WHEN mod(n, 20) <> 13 THEN first_name END,
       CASE WHEN mod(n, 20) = 17 THEN upper(last_name) ELSE last_name END,
       CASE WHEN mod(n, 20) = 8 THEN '+1647' || lpad(mod(n, 10000000)::text, 7, '0') ELSE phone END,
       CASE WHEN mod(n, 100) = 10 THEN date_of_birth + 1 ELSE date_of_birth END,
       CASE WHEN mod(n, 100) = 33 THEN {address_json}
            WHEN mod(n, 10) < 7 THEN {address_text} END,
       CASE WHEN mod(n, 10) < 7 AND mod(n, 100) <> 33
            THEN (ARRAY['Toronto', 'Ottawa', 'Montréal', 'Seattle', 'Denver', 'Québec', 'Halifax', 'Boise'])[1 + (h >> 30 & 7)] END,
       CASE WHEN mod(n, 10) < 7 AND mod(n, 100) <> 33
            THEN (ARRAY['ON', 'ON', 'QC', 'WA', 'CO', 'QC', 'NS', 'ID'])[1 + (h >> 30 & 7)] END,
       CASE WHEN mod(n, 10) < 7 AND mod(n, 100) <> 33 THEN lpad((h >> 33 & 65535)::text, 5, '0') END,
       CASE WHEN mod(n, 10) < 7 AND mod(n, 100) <> 33 AND (h >> 30 & 7) IN (0, 1, 2, 5, 6) THEN 'Canada' ELSE 'USA' END,
       (h >> 25 & 2047)::integer, (h >> 15 & 262143) / 100.0, (h >> 35 & 31)::integer,
       CASE WHEN (h >> 35 & 31) > 0 THEN updated_at END,
       CASE WHEN mod(n, 25) = 4 THEN 'vip' WHEN mod(n, 25) = 9 THEN 'medical' WHEN mod(n, 50) = 14 THEN 'wholesale'
            WHEN mod(n, 25) = 19 THEN 'recreational' ELSE 'regular' END,
       (ARRAY['cash', 'credit', 'debit', NULL])[1 + (h >> 50 & 3)],
       marketing_consent <> (mod(n, 20) = 9), (h >> 44 & 3) = 0,
       CASE mod(n, 4) WHEN 0 THEN '[]'::jsonb WHEN 1 THEN '["newsletter"]'
                      WHEN 2 THEN '["early-bird", "loyal"]' ELSE '["loyal", "newsletter", "no-calls"]' END,
       CASE WHEN mod(n, 15) = 6 THEN 'Prefers pick-up after ' || 12 + (h & 7) || ':00; asked about order ' || n || '.' END,
       mod(n, 100) <> 12, email_verified, created_at, updated_at
FROM sample_people WHERE mod(n, 100) <> 0;

-- Guests by hundreds: 32 use a member's address (5 of them spelled differently, 2 with another birth date), 25 share
-- ten addresses among themselves (one with another birth date), 1 has no usable address, the rest one of their own.
INSERT INTO customers (id, user_id, email, first_name, last_name, phone, date_of_birth, address, city, state,
                       postal_code, country, loyalty_points, total_spent, order_count, last_order_date,
                       customer_type, marketing_consent, sms_consent, tags, notes, is_active, is_verified,
                       created_at, updated_at)
SELECT md5('guest' || g)::uuid, NULL,
       CASE WHEN kind < 5 THEN ' ' || upper(person.email)
            WHEN kind < 32 THEN person.email
            WHEN kind < 57 THEN 'guest' || g / 100 || '.' || mod(kind, 10) || '@example.net'
            WHEN kind = 57 THEN (ARRAY['', 'none', 'guest@', 'two words@example.com'])[1 + mod(g / 100, 4)]
            ELSE 'guest.' || lower(person.last_name) || g || '@example.com' END,
       person.first_name, CASE WHEN mod(g, 7) <> 0 THEN person.last_name END,
       CASE WHEN mod(g, 3) <> 0 THEN '+1905' || lpad((guest.h >> 12 & 8388607)::text, 7, '0') END,
       CASE WHEN kind < 30 AND mod(g, 2) = 0 THEN person.date_of_birth
            WHEN kind IN (30, 31) THEN person.date_of_birth + 400
            WHEN kind = 56 THEN date '1991-12-31'
            WHEN kind BETWEEN 32 AND 40 THEN date '1990-06-15'
            WHEN kind > 57 AND mod(g, 2) = 0 THEN date '1950-01-01' + (guest.h >> 16 & 16383)::integer END,
       CASE WHEN mod(g, 2) = 0 THEN {guest_address} END,
       CASE WHEN mod(g, 2) = 0 THEN 'Toronto' END, CASE WHEN mod(g, 2) = 0 THEN 'ON' END,
       CASE WHEN mod(g, 2) = 0 THEN 'M5V ' || mod(g, 10) || 'A1' END,
       CASE WHEN mod(g, 2) = 0 THEN 'Canada' ELSE 'USA' END,
       (guest.h >> 25 & 255)::integer, (guest.h >> 15 & 65535) / 100.0, 1 + (guest.h >> 35 & 3)::integer,
       timestamp '2026-01-01 08:00' + (guest.h >> 20 & 16777215) * interval '1 second',
       CASE WHEN mod(g, 30) = 0 THEN 'medical' ELSE 'regular' END,
       mod(g, 5) = 0, mod(g, 10) = 0,
       CASE mod(g, 3) WHEN 0 THEN '["guest"]'::jsonb WHEN 1 THEN '["guest", "web"]' ELSE '[]' END,
       CASE WHEN mod(g, 15) = 6 THEN 'Guest checkout ' || g || ', call before delivery.' END,
       true, false,
       timestamp '2025-01-01 08:00' + (guest.h >> 22 & 16777215) * interval '1 second',
       timestamp '2026-01-01 08:00' + (guest.h >> 20 & 16777215) * interval '1 second'
FROM (
    SELECT g, h, mod(g, 100) AS kind, 1 + mod(h, %(people)s) AS n
    FROM (SELECT g, hashint8extended(g, 2) & 9223372036854775807 AS h FROM generate_series(1, %(guests)s) AS g) AS hashed
) AS guest
LEFT JOIN sample_people AS person USING (n)
ORDER BY g;

-- Of 30 in a hundred linked rows, of one guest in five, and of chats that name nobody.
INSERT INTO customer_profiles (customer_id, preferences, purchase_history, interaction_count, created_at, updated_at)
SELECT customer_id,
       jsonb_build_object('theme', (ARRAY['dark', 'light'])[1 + (h & 1)], 'channel',
                          (ARRAY['email', 'sms', 'none', 'app'])[1 + (h >> 1 & 3)],
                          'delivery', jsonb_build_object('window', (ARRAY['am', 'pm'])[1 + (h >> 3 & 1)])),
       jsonb_build_array(jsonb_build_object('sku', 'SKU-' || (h >> 5 & 4095), 'qty', 1 + (h >> 17 & 3)),
                         jsonb_build_object('sku', 'SKU-' || (h >> 19 & 4095), 'qty', 1)),
       (h >> 31 & 63)::integer,
       timestamp '2025-01-01 08:00' + (h >> 22 & 16777215) * interval '1 second',
       timestamp '2026-01-01 08:00' + (h >> 20 & 16777215) * interval '1 second'
FROM (
    SELECT CASE WHEN mod(n, 10) = 3 THEN upper(customer_id::text) ELSE customer_id::text END AS customer_id,
           hashint8extended(n, 3) & 9223372036854775807 AS h
    FROM sample_people WHERE mod(n, 100) BETWEEN 1 AND 30
    UNION ALL
    SELECT md5('guest' || g)::uuid::text, hashint8extended(g, 4) & 9223372036854775807
    FROM generate_series(5::bigint, %(guests)s, 5) AS g
    UNION ALL
    SELECT 'chat-' || md5('chat' || c), hashint8extended(c, 5) & 9223372036854775807
    FROM generate_series(1::bigint, %(people)s / 50) AS c
) AS known;

-- A third carries a user's session, a third only a user's address, a third nobody.
INSERT INTO user_profiles (id, session_id, email, phone, age_verified, customer_type, preferences, needs,
                           experience_level, medical_conditions, preferred_categories, preferred_effects, price_range,
                           purchase_history, interaction_count, language, timezone, created_at, updated_at)
SELECT md5('user_profile' || n)::uuid, 'session-' || md5('session' || n),
       CASE WHEN mod(n, 100) <> 45 THEN email END, phone, true,
       CASE WHEN mod(n, 200) = 5 THEN 'medical' ELSE 'regular' END,
       jsonb_build_object('theme', (ARRAY['dark', 'light'])[1 + (h & 1)], 'language', 'en'),
       CASE WHEN mod(n, 3) = 0 THEN '["sleep", "focus"]'::jsonb ELSE '["relaxation"]' END,
       (ARRAY['beginner', 'intermediate', 'expert', NULL])[1 + (h >> 2 & 3)],
       CASE WHEN mod(n, 200) = 5 THEN '["insomnia"]'::jsonb ELSE '[]' END,
       '["edibles", "oils"]', '["calm"]', '{{"min": 10, "max": 60}}', '[]', (h >> 7 & 31)::integer,
       (ARRAY['en', 'fr', 'es', 'en'])[1 + (h >> 12 & 3)], 'America/Toronto', created_at, updated_at
FROM sample_people WHERE mod(n, 100) IN (5, 25, 45)
ORDER BY n;

-- A third names only a customer (one in three of them a guest), a third only a user, a third both; one in a hundred
-- of the last names two different people.
INSERT INTO orders (id, order_number, user_id, customer_id, store_id, items, subtotal, tax_amount, discount_amount,
                    delivery_fee, total_amount, payment_method, payment_status, delivery_address, delivery_status,
                    created_at, updated_at)
SELECT md5('order' || i)::uuid, 'ORD-' || lpad(i::text, 9, '0'),
       CASE mod(i, 3) WHEN 1 THEN md5('user' || n)::uuid WHEN 2 THEN md5('user' || linked)::uuid END,
       CASE WHEN mod(i, 9) = 0 AND %(guests)s > 0 THEN md5('guest' || 1 + mod(h, greatest(%(guests)s, 1)))::uuid
            WHEN mod(i, 3) = 0 THEN md5('customer' || linked)::uuid
            WHEN mod(i, 300) = 2 THEN md5('customer' || other)::uuid
            WHEN mod(i, 3) = 2 THEN md5('customer' || linked)::uuid END,
       (ARRAY['11111111-1111-4111-8111-111111111111'::uuid, '22222222-2222-4222-8222-222222222222'])[1 + (h >> 9 & 1)],
       format('[{{"sku": "SKU-%%s", "name": "Product %%s", "quantity": 1, "price": %%s}},'
              ' {{"sku": "SKU-%%s", "name": "Product %%s", "quantity": 1, "price": 5}}]',
              h >> 11 & 4095, h >> 11 & 4095, subtotal - 5, h >> 23 & 4095, h >> 23 & 4095)::jsonb,
       subtotal, round(subtotal * 0.13, 2), 0, 0, subtotal + round(subtotal * 0.13, 2),
       (ARRAY['cash', 'credit', 'debit', 'etransfer'])[1 + (h >> 35 & 3)],
       (ARRAY['pending', 'completed', 'completed', 'paid', 'paid', 'completed', 'failed', 'refunded'])[1 + (h >> 37 & 7)],
       CASE WHEN mod(i, 4) = 0 THEN jsonb_build_object('street', 1 + (h >> 40 & 511) || ' King Street', 'city', 'Toronto') END,
       (ARRAY['delivered', 'delivered', 'pending', 'cancelled'])[1 + (h >> 43 & 3)],
       created_at, created_at + interval '2 hours'
FROM (
    SELECT i, h, n,
           -- Every hundredth user has no customers row: the order goes to the one before.
           n - CASE WHEN mod(n, 100) = 0 THEN 1 ELSE 0 END AS linked,
           CASE WHEN mod(n, 100) = 0 THEN n - 2 WHEN mod(n, 100) = 1 THEN least(n + 1, %(people)s) ELSE n - 1 END AS other,
           (5 + (h >> 20 & 16383) / 100.0)::numeric(12,2) AS subtotal,
           timestamp '2023-01-01 08:00' + (i * 108000000.0 / %(orders)s) * interval '1 second' AS created_at
    FROM (
        SELECT i, h, 1 + mod(h, %(people)s) AS n
        FROM (SELECT i, hashint8extended(i, 7) & 9223372036854775807 AS h FROM generate_series(1, %(orders)s) AS i) AS hashed
    ) AS chosen
    OFFSET 0 -- computed once per row, not once per use
) AS placed;
