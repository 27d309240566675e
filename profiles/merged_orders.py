"""Triggers on orders that belong to merging: whoever writes an order, it is the survivor's, and moving it is no change."""

# An order of a profile that was merged is the survivor's, also one that was on its way while the merge ran, also one that
# the old application writes. The lock makes a merge wait for it and it for a merge; the writer may have no rights on
# profiles. A repointing does not date the order: this trigger is the last by its name, and takes the date back.
CREATE_TRIGGERS = """
CREATE FUNCTION orders_follow_merges() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    survivor uuid;
BEGIN
    SELECT merged_into_id INTO survivor FROM profiles WHERE user_id = NEW.user_id FOR KEY SHARE;
    IF survivor IS NOT NULL THEN
        SELECT user_id INTO NEW.user_id FROM profiles WHERE id = survivor;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER orders_follow_merges BEFORE INSERT OR UPDATE OF user_id ON orders FOR EACH ROW
    WHEN (NEW.user_id IS NOT NULL) EXECUTE FUNCTION orders_follow_merges();
CREATE FUNCTION orders_keep_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := OLD.updated_at;
    RETURN NEW;
END
$$;
CREATE TRIGGER zz_orders_keep_updated_at BEFORE UPDATE ON orders FOR EACH ROW
    WHEN (current_setting('unified.keep_dates', true) = 'on') EXECUTE FUNCTION orders_keep_updated_at();
"""

DROP_TRIGGERS = """
DROP TRIGGER zz_orders_keep_updated_at ON orders;
DROP FUNCTION orders_keep_updated_at();
DROP TRIGGER orders_follow_merges ON orders;
DROP FUNCTION orders_follow_merges();
"""
KEEP_DATES = "SELECT set_config('unified.keep_dates', %s, true)"
