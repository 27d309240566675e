-- Orders point at users (unification/orders.py). REPOINT_TURN runs once per batch of pages and turn.
-- Rendered by `manage.py render_sql` for a current installation. To be read, not run.

-- KEEP_DATE
CREATE OR REPLACE FUNCTION unification_keep_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := OLD.updated_at;
    RETURN NEW;
END
$$;
DROP TRIGGER IF EXISTS zz_unification_keep_updated_at ON orders;
CREATE TRIGGER zz_unification_keep_updated_at BEFORE UPDATE ON orders FOR EACH ROW
    WHEN (current_setting('unification.repointing', true) = 'on') EXECUTE FUNCTION unification_keep_updated_at();

-- FIND, a work table
SELECT *, ntile(4) OVER (PARTITION BY (place::text::point)[0] ORDER BY place) AS turn
FROM (
    SELECT src.ctid AS place, src.customer_id, i.user_id
    FROM orders AS src JOIN legacy_identities AS i ON i.customer_id = src.customer_id
    WHERE src.user_id IS NULL
) AS found;

-- REPOINT_TURN
UPDATE orders AS src SET user_id = todo.user_id
FROM unification_repointing AS todo
WHERE src.ctid = todo.place AND src.customer_id = todo.customer_id AND src.user_id IS NULL
    AND todo.turn = 1 AND true AND src.ctid >= '(0,0)'::tid AND src.ctid <= (SELECT max(place) FROM unification_repointing WHERE turn = 1);

-- LEFT_OVER, a work table
SELECT row_number() OVER () AS number, src.ctid AS place, src.user_id AS was, src.customer_id, i.user_id
FROM orders AS src JOIN legacy_identities AS i ON i.customer_id = src.customer_id JOIN users AS u ON u.id = i.user_id
WHERE src.user_id IS NULL
    AND NOT EXISTS (SELECT FROM unification_changes AS g WHERE g.source = 'orders' AND g.key = src.id::text);

-- DANGLING, a work table, where there is no foreign key
SELECT row_number() OVER () AS number, src.ctid AS place, src.user_id AS was, src.customer_id, i.user_id
FROM orders AS src LEFT JOIN legacy_identities AS i ON i.customer_id = src.customer_id
WHERE src.user_id IS NOT NULL AND src.user_id IS DISTINCT FROM i.user_id
    AND NOT EXISTS (SELECT FROM users AS u WHERE u.id = src.user_id)
    AND NOT EXISTS (SELECT FROM backup_users AS u WHERE u.id = src.user_id);

-- REPOINT_SOME, in batches
UPDATE orders AS src SET user_id = todo.user_id
FROM left_over AS todo
WHERE src.ctid = todo.place AND (src.user_id, src.customer_id) IS NOT DISTINCT FROM (todo.was, todo.customer_id)
    AND todo.number > %s AND todo.number <= %s;

-- DISAGREEING, a work table
SELECT o.id, o.user_id, i.user_id AS customers_user_id
FROM "backup_orders" AS o
JOIN legacy_identities AS i ON i.customer_id = o.customer_id
WHERE o.user_id <> i.user_id;

-- RECORD_DISAGREEING
INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row,
    other_value, other_table, other_row)
SELECT p.id, 'orders.user_id', 'order', to_jsonb(o.user_id), 'orders', o.id::text,
    to_jsonb(o.customers_user_id), 'customers', o.id::text
FROM disagreeing AS o JOIN profiles AS p ON p.user_id = o.user_id
ON CONFLICT (profile_id, field, path, other_table, other_row) DO NOTHING;

-- ADD_FOREIGN_KEY, where there is none
ALTER TABLE orders DROP CONSTRAINT IF EXISTS unification_orders_user_id_fkey,
ADD CONSTRAINT unification_orders_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id)
DEFERRABLE INITIALLY DEFERRED NOT VALID;

-- VALIDATE
ALTER TABLE orders VALIDATE CONSTRAINT unification_orders_user_id_fkey;

-- STOP_KEEPING
DROP TRIGGER IF EXISTS zz_unification_keep_updated_at ON orders;
DROP FUNCTION IF EXISTS unification_keep_updated_at();
