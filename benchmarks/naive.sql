-- The straightforward way: one transaction, simple joins, rows into the fully indexed table. No conflicts, no aliases, no
-- verification, and a guest's rows beyond the newest are lost. Tables have their indexes before they are filled, as Django's
-- own migrations would leave them. The measure that `migrate` is held against.
DROP TRIGGER create_customer_on_user_insert ON users;

CREATE TABLE backup_users AS SELECT * FROM users;
CREATE TABLE backup_customers AS SELECT * FROM customers;
CREATE TABLE backup_customer_profiles AS SELECT * FROM customer_profiles;
CREATE TABLE backup_user_profiles AS SELECT * FROM user_profiles;
CREATE TABLE backup_orders AS SELECT * FROM orders;

INSERT INTO users (email, password_hash, first_name, last_name, phone, role, active, created_at, updated_at)
SELECT DISTINCT ON (lower(c.email)) c.email, '$2b$10$dummy.hash.for.orphaned.customers', c.first_name, c.last_name,
    c.phone, 'customer', c.is_active, c.created_at, c.updated_at
FROM customers AS c
WHERE c.user_id IS NULL AND NOT EXISTS (SELECT FROM users AS u WHERE lower(u.email) = lower(c.email))
ORDER BY lower(c.email), c.updated_at DESC;

UPDATE customers AS c SET user_id = u.id
FROM users AS u
WHERE c.user_id IS NULL AND lower(u.email) = lower(c.email)
    AND NOT EXISTS (SELECT FROM customers AS other WHERE other.user_id = u.id)
    AND c.id = (SELECT newest.id FROM customers AS newest WHERE newest.email = c.email
        ORDER BY newest.updated_at DESC, newest.id LIMIT 1);

INSERT INTO profiles (id, user_id, first_name, last_name, phone, date_of_birth, address, city, state, postal_code,
    country, loyalty_points, customer_type, preferred_payment_method, total_spent, order_count, last_order_date,
    preferences, needs, experience_level, medical_conditions, preferred_categories, preferred_effects, price_range,
    purchase_history, interaction_count, language, timezone, marketing_consent, sms_consent, tags, notes, is_verified,
    created_at, updated_at)
SELECT coalesce(c.id, gen_random_uuid()), u.id, coalesce(c.first_name, u.first_name), coalesce(c.last_name, u.last_name),
    coalesce(c.phone, u.phone), coalesce(c.date_of_birth, u.date_of_birth), c.address, c.city, c.state, c.postal_code,
    c.country, coalesce(c.loyalty_points, 0), coalesce(c.customer_type, 'regular'), c.preferred_payment_method,
    coalesce(c.total_spent, 0), coalesce(c.order_count, 0), c.last_order_date AT TIME ZONE 'UTC',
    coalesce(cp.preferences, '{}'), coalesce(up.needs, '[]'), up.experience_level, coalesce(up.medical_conditions, '[]'),
    coalesce(up.preferred_categories, '[]'), coalesce(up.preferred_effects, '[]'), up.price_range,
    coalesce(cp.purchase_history, '[]'), coalesce(cp.interaction_count, 0), up.language, up.timezone,
    coalesce(c.marketing_consent, u.marketing_consent, false), coalesce(c.sms_consent, false), coalesce(c.tags, '[]'),
    c.notes, coalesce(c.is_verified, u.email_verified, false), u.created_at AT TIME ZONE 'UTC',
    u.updated_at AT TIME ZONE 'UTC'
FROM users AS u
LEFT JOIN customers AS c ON c.user_id = u.id
LEFT JOIN customer_profiles AS cp ON cp.customer_id = c.id::text
LEFT JOIN user_profiles AS up ON up.session_id = u.session_id;

UPDATE orders AS o SET user_id = c.user_id
FROM customers AS c
WHERE o.customer_id = c.id AND o.user_id IS NULL AND c.user_id IS NOT NULL;

CREATE VIEW customers_view AS
SELECT p.id, p.user_id, u.email, p.first_name, p.last_name, p.phone, p.total_spent, p.order_count, p.created_at
FROM profiles AS p JOIN users AS u ON u.id = p.user_id;
