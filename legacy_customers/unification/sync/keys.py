"""Legacy rows that get another key: the old one keeps leading to its person, and so does the new one."""

from psycopg import sql

from ..field_map import Table

# The trigger over whole statements finds no row of this key before, so this one carries over what else has changed.
KEY_CHANGED = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_{name}_key_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    via text := current_setting('unified.via', true);
BEGIN
    PERFORM unification_sync_left(OLD), unification_sync_wrote(NEW, false);
    PERFORM set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true);
    {follow}
    PERFORM set_config('unification.sync', '', true), set_config('unified.via', coalesce(via, ''), true);
    RETURN NULL;
END
$$
"""
)
FOLLOW: dict[Table, sql.SQL] = {
    # Under an id that was somebody's already, a row is theirs.
    Table.CUSTOMERS: sql.SQL(
        """INSERT INTO legacy_identities (customer_id, user_id, "case", position, reason)
    SELECT NEW.id, i.user_id, i."case",
        (SELECT max(known.position) + 1 FROM legacy_identities AS known WHERE known.user_id = i.user_id), i.reason
    FROM legacy_identities AS i WHERE i.customer_id = OLD.id
        AND NOT EXISTS (SELECT FROM legacy_identities AS taken WHERE taken.customer_id = NEW.id);
    IF FOUND THEN
        INSERT INTO profile_aliases (id, profile_id)
        SELECT NEW.id, coalesce(p.merged_into_id, p.id)
        FROM legacy_identities AS i JOIN profiles AS p ON p.user_id = i.user_id WHERE i.customer_id = NEW.id
        ON CONFLICT DO NOTHING;
        PERFORM unification_sync_customers_changed(OLD, NEW);
    ELSE
        PERFORM unification_sync_customers_arrived(NEW);
    END IF;"""
    ),
    # Another spelling is the same customer; a chat that turns out to be a customer's brings what it held.
    Table.CUSTOMER_PROFILES: sql.SQL(
        """IF unification_uuid(OLD.customer_id) = unification_uuid(NEW.customer_id) THEN
        PERFORM unification_sync_attach(a.source, NEW.customer_id, a.user_id)
        FROM legacy_attachments AS a WHERE a.source = 'customer_profiles' AND a.key = OLD.customer_id;
        PERFORM unification_sync_customer_profiles_changed(OLD, NEW);
    ELSE
        PERFORM unification_sync_customer_profiles_arrived(NEW);
    END IF;"""
    ),
    Table.USER_PROFILES: sql.SQL(
        """PERFORM unification_sync_attach(a.source, NEW.id::text, a.user_id)
    FROM legacy_attachments AS a
    WHERE a.source = 'user_profiles' AND a.key = OLD.id::text AND a.user_id IS NOT NULL;
    PERFORM unification_sync_user_profiles_changed(OLD, NEW);"""
    ),
}


def statements() -> list[sql.Composable]:
    """The functions of this module. A users row's key stays: its profile points at it."""
    return [KEY_CHANGED.format(name=sql.SQL(table.value), follow=follow) for table, follow in FOLLOW.items()]
