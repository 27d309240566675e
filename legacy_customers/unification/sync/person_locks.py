"""Who may write to a person: one writer at a time, of either application, and none that waits for another in a circle.

A writer comes with its own row locked, by its own statement, and then wants the same person's other rows. So two writers can
each hold the row that the other one wants. Every trigger first takes the person's advisory lock. Whoever has that and finds
a row locked by somebody who waits for it does not wait: it leaves its change (legacy_handovers) to that one, who carries it
over once the lock is free. Persons are locked in the order of their ids.
"""

from psycopg import sql

# The person's lock, to the end of the transaction; gives who they are by then, for a merge may have come first.
PERSON = """
CREATE OR REPLACE FUNCTION unification_sync_person(person uuid) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    survivor uuid;
    locked text;
BEGIN
    LOOP
        locked := pg_advisory_xact_lock(uuid_hash_extended(person, 1));
        SELECT coalesce(merged_into_id, id) INTO survivor FROM profiles WHERE id = person;
        EXIT WHEN survivor IS NULL OR survivor = person;
        person := survivor;
    END LOOP;
    RETURN person;
END
$$
"""

# Whether somebody who has the row locked waits for us, or for one who waits for us.
WAITS = """
CREATE OR REPLACE FUNCTION unification_sync_waits_for_us(relation text, name text, key text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    locker xid;
    lockers xid[];
BEGIN
    EXECUTE format(
        'SELECT xmax FROM %I WHERE %I = $1::%s', relation, name,
        CASE relation WHEN 'customer_profiles' THEN 'text' ELSE 'uuid' END
    ) INTO locker USING key;
    lockers := ARRAY[locker];
    IF NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND transactionid = locker) THEN
        BEGIN
            lockers := ARRAY(SELECT xid FROM pg_get_multixact_members(locker));
        EXCEPTION WHEN OTHERS THEN
            RETURN false;  -- nobody has it any more
        END;
    END IF;
    RETURN EXISTS (
        WITH RECURSIVE waiting (pid) AS (
            SELECT pid FROM pg_locks WHERE locktype = 'transactionid' AND granted AND transactionid = ANY(lockers)
                AND pid <> pg_backend_pid()
            UNION
            SELECT blocking.pid FROM waiting AS w CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS blocking (pid)
        )
        SELECT FROM waiting WHERE pid = pg_backend_pid()
    );
END
$$
"""

# Wait for a row that somebody else has locked. False: they wait for us, and are to be left our change. Each wait is
# far shorter than deadlock_timeout, so that they are seen before PostgreSQL ends one of the two, or a third who waits for
# them and happens to have waited that long.
WAIT = """
CREATE OR REPLACE FUNCTION unification_sync_wait(relation text, name text, key text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    patience interval := current_setting('lock_timeout')::interval;
    started timestamptz := clock_timestamp();
    slice integer := 2;
BEGIN
    LOOP
        IF unification_sync_waits_for_us(relation, name, key) THEN
            RETURN false;
        END IF;
        BEGIN
            PERFORM set_config('lock_timeout', slice || 'ms', true);
            EXECUTE format(
                'SELECT FROM %I WHERE %I = $1::%s FOR NO KEY UPDATE', relation, name,
                CASE relation WHEN 'customer_profiles' THEN 'text' ELSE 'uuid' END
            ) USING key;
            PERFORM set_config('lock_timeout', extract(epoch FROM patience) * 1000 || 'ms', true);
            RETURN true;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            slice := least(slice * 2, 4);
        END;
        IF patience > interval '0' AND clock_timestamp() > started + patience THEN
            RAISE lock_not_available USING
                MESSAGE = format('%s %s stays locked by somebody else', relation, key), HINT = 'Try again.';
        END IF;
    END LOOP;
END
$$
"""

# Leave a change to whoever gets the person's lock next.
HAND_OVER = """
CREATE OR REPLACE FUNCTION unification_sync_hand_over(person uuid, source text, before jsonb, after jsonb) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO legacy_handovers (person_id, source, before, after) VALUES (person, source, before, after)
$$
"""

# Carry over what others left to us. It comes after the own change: theirs and ours were made at once, and no copy is left
# behind whichever comes last.
SETTLE = sql.SQL(
    """
CREATE OR REPLACE FUNCTION unification_sync_settle(person uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    left_to_us legacy_handovers;
    settled boolean;
    before profiles;
    after profiles;
    now_is profiles;
BEGIN
    FOR left_to_us IN SELECT * FROM legacy_handovers AS h WHERE h.person_id = person ORDER BY h.id LOOP
        CASE left_to_us.source
        {sources}
        WHEN 'profiles' THEN
            before := jsonb_populate_record(NULL::profiles, left_to_us.before);
            after := jsonb_populate_record(NULL::profiles, left_to_us.after);
            SELECT * INTO now_is FROM profiles WHERE id = after.id;
            {latest}
            settled := unification_sync_spread(before, after, 'profiles', person);
        END CASE;
        IF settled THEN
            DELETE FROM legacy_handovers WHERE id = left_to_us.id;
        END IF;
    END LOOP;
END
$$
"""
)
SETTLE_SOURCE = sql.SQL(
    """WHEN {table} THEN
            settled := unification_sync_from_{name}(
                person, jsonb_populate_record(NULL::{relation}, left_to_us.before),
                jsonb_populate_record(NULL::{relation}, left_to_us.after), true
            );"""
)


def statements() -> list[sql.Composable]:
    """The functions of this module."""
    from ..field_map import FIELD_MAP, Rule, Table

    differences = (Rule.SUM, Rule.UNION, Rule.MERGE, Rule.NOTES)
    values = ["contact_email", *(field.column for field in FIELD_MAP if field.rule not in differences)]
    return [
        sql.SQL(PERSON),
        sql.SQL(WAITS),
        sql.SQL(WAIT),
        sql.SQL(HAND_OVER),
        SETTLE.format(
            sources=sql.SQL("\n        ").join(
                SETTLE_SOURCE.format(table=sql.Literal(str(t)), name=sql.SQL(t.value), relation=sql.Identifier(t))
                for t in Table
            ),
            # A value is carried over as it is by now; differences are carried as they were.
            latest=sql.SQL("\n            ").join(
                sql.SQL("IF before.{0} IS DISTINCT FROM after.{0} THEN after.{0} := now_is.{0}; END IF;").format(
                    sql.Identifier(name)
                )
                for name in values
            ),
        ),
    ]
