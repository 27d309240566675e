"""The loyalty ledger: what writes it with every change of points, and the triggers that keep it from everybody else."""

import uuid
from typing import Any

from django.db import connection
from psycopg import sql

# What a profile had before its first change becomes its opening entry, so that the entries add up from nothing. The row
# of the profile is locked by its update, so two changes of one person's points come one after the other. It is done
# whichever column a statement names, for a trigger before it may have changed the points. Who signs with a text that
# is no id, or that is too long, is not named; the change itself stands. Part of the function that writes the history.
ENTER = sql.SQL(
    """IF OLD.loyalty_points <> NEW.loyalty_points THEN
        IF OLD.loyalty_points <> 0 AND NOT EXISTS (SELECT FROM loyalty_entries WHERE profile_id = NEW.id) THEN
            INSERT INTO loyalty_entries (profile_id, delta, balance, reason, source, created_at)
            VALUES (NEW.id, OLD.loyalty_points, OLD.loyalty_points, 'opening balance', 'opening', clock_timestamp());
        END IF;
        INSERT INTO loyalty_entries (profile_id, delta, balance, reason, source, order_id, created_at, created_by) VALUES (
            NEW.id, NEW.loyalty_points - OLD.loyalty_points, NEW.loyalty_points,
            coalesce(nullif(current_setting('unified.reason', true), ''), 'changed directly'),
            coalesce(nullif(left(current_setting('unified.via', true), 63), ''), 'sql'),
            loyalty_entries_uuid(current_setting('unified.order', true)),
            clock_timestamp(), loyalty_entries_uuid(current_setting('unified.actor', true))
        );
    END IF;"""
)

# Entries are neither changed nor deleted, nor written by anybody else: only their words may be (an erasure).
CREATE_GUARDS = """
CREATE FUNCTION loyalty_entries_uuid(value text) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN value ~ '^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$' THEN value::uuid END
$$;
CREATE FUNCTION loyalty_entries_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' AND pg_trigger_depth() > 1 THEN
        RETURN NEW;
    END IF;
    RAISE feature_not_supported USING
        MESSAGE = 'loyalty_entries follow profiles.loyalty_points and are not written by hand',
        HINT = 'Change the points of the profile: that writes the entry.';
END
$$;
CREATE TRIGGER loyalty_entries_guard BEFORE INSERT OR DELETE ON loyalty_entries FOR EACH ROW
    EXECUTE FUNCTION loyalty_entries_guard();
CREATE TRIGGER loyalty_entries_keep BEFORE UPDATE OF id, profile_id, delta, balance ON loyalty_entries FOR EACH ROW
    WHEN ((OLD.id, OLD.profile_id, OLD.delta, OLD.balance) IS DISTINCT FROM (NEW.id, NEW.profile_id, NEW.delta, NEW.balance))
    EXECUTE FUNCTION loyalty_entries_guard();
"""

DROP_GUARDS = """
DROP TRIGGER loyalty_entries_guard ON loyalty_entries;
DROP TRIGGER loyalty_entries_keep ON loyalty_entries;
DROP FUNCTION loyalty_entries_guard();
DROP FUNCTION loyalty_entries_uuid(text);
-- Of an earlier release.
DROP TRIGGER IF EXISTS loyalty_entries_of_profiles ON profiles;
DROP FUNCTION IF EXISTS loyalty_entries_record();
"""

# Each entry starts where the one before it ended, and the last one ends where the profile stands. A profile without
# entries has not changed since it came.
DRIFT = """
SELECT profile_id FROM (
    SELECT e.profile_id, e.balance, e.delta, p.loyalty_points,
        lag(e.balance, 1, 0::bigint) OVER entries AS before,
        lead(e.id) OVER entries IS NULL AS is_last
    FROM loyalty_entries AS e JOIN profiles AS p ON p.id = e.profile_id
    WINDOW entries AS (PARTITION BY e.profile_id ORDER BY e.id)
) AS entry
WHERE balance::numeric <> before::numeric + delta OR (is_last AND balance <> loyalty_points)
GROUP BY profile_id ORDER BY profile_id
"""


def drift(limit: int | None = None) -> list[uuid.UUID]:
    """Profiles whose entries do not add up, or do not lead to the balance: none, unless triggers were bypassed."""
    with connection.cursor() as cursor:
        cursor.execute(DRIFT if limit is None else DRIFT + " LIMIT %s", None if limit is None else [limit])
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return [row[0] for row in rows]
