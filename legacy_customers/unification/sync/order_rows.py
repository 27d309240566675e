"""Orders of either application: the old one names a customers row, the new one a user; each finds what it looks for."""

from psycopg import sql

from .to_legacy import PRIMARY

# The lock makes a merge wait for the order, and the order for a merge.
FIND_OWNER = sql.SQL(
    """SELECT p.user_id, p.merged_into_id INTO owner, survivor
    FROM legacy_identities AS i JOIN profiles AS p ON p.user_id = i.user_id
    WHERE i.customer_id = {customer} FOR KEY SHARE OF p;
    IF survivor IS NOT NULL THEN
        SELECT user_id INTO owner FROM profiles WHERE id = survivor;
    END IF;"""
)
OWNER = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_order_owner(customer uuid) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    owner uuid;
    survivor uuid;
BEGIN
    {find}
    RETURN owner;
END
$$
"""
).format(find=FIND_OWNER.format(customer=sql.SQL("customer")))

# Where both are named and they are two people's, the user stands, and a conflict keeps the other.
WRITTEN = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_order_written() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    owner uuid;
    survivor uuid;
    is_new boolean := TG_OP = 'INSERT';
BEGIN
    IF NEW.customer_id IS NULL THEN
        -- An order of the new application. One whose customers row is gone, or that was taken off it, stays so.
        IF NEW.user_id IS NOT NULL AND (is_new OR OLD.user_id IS NULL) THEN
            NEW.customer_id := ({primary});
        END IF;
        RETURN NEW;
    END IF;
    {find_owner}
    IF owner IS NULL OR owner = NEW.user_id THEN
        RETURN NEW;
    END IF;
    IF NEW.user_id IS NULL THEN
        NEW.user_id := owner;
        RETURN NEW;
    END IF;
    IF NOT is_new THEN
        IF NEW.customer_id IS NOT DISTINCT FROM OLD.customer_id THEN
            IF owner = OLD.user_id THEN
                NEW.customer_id := coalesce(({primary}), NEW.customer_id);
            END IF;
            RETURN NEW;
        ELSIF NEW.user_id IS NOT DISTINCT FROM OLD.user_id
            AND NEW.user_id IS NOT DISTINCT FROM unification_sync_order_owner(OLD.customer_id)
        THEN
            NEW.user_id := owner;
            RETURN NEW;
        END IF;
    END IF;
    INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
        other_row)
    SELECT p.id, 'orders.customer_id', 'order', to_jsonb(NEW.user_id), 'orders', NEW.id::text, to_jsonb(owner), 'customers',
        NEW.id::text
    FROM profiles AS p WHERE p.user_id = NEW.user_id
    ON CONFLICT (profile_id, field, path, other_table, other_row) DO UPDATE SET other_value = EXCLUDED.other_value;
    RETURN NEW;
END
$$
"""
).format(
    primary=PRIMARY.format(user=sql.SQL("NEW.user_id")),
    find_owner=FIND_OWNER.format(customer=sql.SQL("NEW.customer_id")),
)

# An order that came with its customers row in one statement: at the end of the transaction its person is known.
LEFT_OVER = """
CREATE OR REPLACE FUNCTION unification_sync_order_left_over() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM set_config('unified.keep_dates', 'on', true);
    UPDATE orders AS o SET user_id = unification_sync_order_owner(o.customer_id)
    WHERE o.id = NEW.id AND o.user_id IS NULL AND o.customer_id IS NOT NULL
        AND unification_sync_order_owner(o.customer_id) IS NOT NULL;
    PERFORM set_config('unified.keep_dates', '', true);
    RETURN NULL;
END
$$
"""

# An order whose person or amount changes, by whomever: how it was left, so that a change behind the triggers shows.
WROTE = """
CREATE OR REPLACE FUNCTION unification_sync_hash(src orders) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT hash_record_extended(ROW(src.user_id, src.customer_id, src.total_amount::text), 0)
$$;
CREATE OR REPLACE FUNCTION unification_sync_orders_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    by_us boolean := coalesce(current_setting('unified.via', true), '') <> '';
BEGIN
    INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
    VALUES ('orders', NEW.id::text, unification_sync_hash(NEW), CASE WHEN by_us THEN 0 ELSE 1 END, clock_timestamp(),
        CASE WHEN by_us THEN '' ELSE session_user END)
    ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash, writes = w.writes + EXCLUDED.writes,
        last_at = CASE WHEN by_us THEN w.last_at ELSE EXCLUDED.last_at END,
        last_by = CASE WHEN by_us THEN w.last_by ELSE EXCLUDED.last_by END;
    RETURN NULL;
END
$$
"""


def statements() -> list[sql.Composable]:
    """The functions of this module."""
    return [OWNER, WRITTEN, sql.SQL(LEFT_OVER), sql.SQL(WROTE)]
