-- The floor: the joined rows written once into a table without indexes. The same indexes are built afterwards.
CREATE TABLE profiles AS
SELECT coalesce(c.id, gen_random_uuid()) AS id, coalesce(u.id, c.id) AS user_id, CASE WHEN c.email <> u.email THEN c.email END AS contact_email,
    coalesce(c.first_name, u.first_name) AS first_name, coalesce(c.last_name, u.last_name) AS last_name,
    coalesce(c.phone, u.phone) AS phone, coalesce(c.date_of_birth, u.date_of_birth) AS date_of_birth,
    c.address, c.city, c.state, c.postal_code, c.country, c.loyalty_points::bigint, c.customer_type,
    c.preferred_payment_method, c.total_spent::numeric(14, 2), c.order_count::bigint,
    c.last_order_date AT TIME ZONE 'UTC' AS last_order_date,
    coalesce(cp.preferences, '{}') AS preferences, coalesce(up.needs, '[]') AS needs, up.experience_level,
    coalesce(up.medical_conditions, '[]') AS medical_conditions,
    coalesce(up.preferred_categories, '[]') AS preferred_categories,
    coalesce(up.preferred_effects, '[]') AS preferred_effects, up.price_range,
    coalesce(cp.purchase_history, '[]') AS purchase_history, coalesce(cp.interaction_count, 0)::bigint AS interaction_count,
    up.language, up.timezone, c.marketing_consent, c.sms_consent, c.tags, c.notes, c.is_verified,
    u.created_at AT TIME ZONE 'UTC' AS created_at, u.updated_at AT TIME ZONE 'UTC' AS updated_at,
    profile_search_text(coalesce(c.first_name, u.first_name), coalesce(c.last_name, u.last_name),
        CASE WHEN c.email <> u.email THEN c.email END, coalesce(c.phone, u.phone)) AS search_text
FROM users AS u
FULL JOIN customers AS c ON c.user_id = u.id
LEFT JOIN customer_profiles AS cp ON cp.customer_id = c.id::text
LEFT JOIN user_profiles AS up ON up.session_id = u.session_id;
