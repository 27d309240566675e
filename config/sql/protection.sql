-- What keeps protected tables from being lost by accident; see config/protection.py.

CREATE TABLE IF NOT EXISTS protected_tables (
    name text PRIMARY KEY,
    schema text NOT NULL,
    relation regclass NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);
-- A transaction is known by its number and its time: numbers begin anew in a restored database.
CREATE TABLE IF NOT EXISTS protection_releases (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    by text NOT NULL DEFAULT session_user,
    application text NOT NULL DEFAULT current_setting('application_name'),
    transaction bigint NOT NULL,
    reason text NOT NULL,
    lost text[] NOT NULL DEFAULT '{}'
);

CREATE OR REPLACE FUNCTION protection_is_released() RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT EXISTS (
        SELECT FROM protection_releases WHERE transaction = pg_current_xact_id()::text::bigint AND at = now())
$$;

CREATE OR REPLACE FUNCTION protection_refuse(what text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF what IS NULL THEN
        RETURN;
    ELSIF NOT protection_is_released() THEN
        RAISE EXCEPTION 'refused, for it is protected: %', array_to_string(what, ', ') USING
            HINT = 'If you mean it: BEGIN; SELECT release_protection(''why''); then this statement, and COMMIT.';
    END IF;
    UPDATE protection_releases SET lost = lost || what
    WHERE transaction = pg_current_xact_id()::text::bigint AND at = now();
END
$$;

CREATE OR REPLACE FUNCTION protection_refuse_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM protection_refuse(ARRAY[format('every row of %s', TG_TABLE_NAME)]);
    RETURN NULL;
END
$$;

-- Where there are no event triggers: a view that reads every column, so that neither they nor the table go but with CASCADE.
CREATE OR REPLACE FUNCTION protection_guard(relation regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    name text := (SELECT 'protection_of_' || relname FROM pg_class WHERE oid = relation);
    columns text := (
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped);
BEGIN
    EXECUTE format('DROP VIEW IF EXISTS %I', name);
    EXECUTE format('CREATE VIEW %I AS SELECT ROW(%s) IS NULL AS nothing FROM %s WHERE false', name, columns, relation);
END
$$;

-- At the end of a transaction that was released, what is left is guarded again.
CREATE OR REPLACE FUNCTION protection_guard_again() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM protected_tables AS p WHERE NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = p.relation);
    IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'protection_drop') THEN
        PERFORM protection_guard(p.relation) FROM protected_tables AS p
        WHERE to_regclass(quote_ident('protection_of_' || p.name)) IS NULL;
    END IF;
    RETURN NULL;
END
$$;
DROP TRIGGER IF EXISTS protection_guard_again ON protection_releases;
CREATE CONSTRAINT TRIGGER protection_guard_again AFTER INSERT ON protection_releases DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION protection_guard_again();

CREATE OR REPLACE FUNCTION protection_unguard() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    guard regclass;
BEGIN
    FOR guard IN
        SELECT c.oid FROM protected_tables AS p JOIN pg_class AS c ON c.oid = to_regclass(quote_ident('protection_of_' || p.name))
    LOOP
        EXECUTE format('DROP VIEW %s', guard);
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION release_protection(reason text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF btrim(coalesce(reason, '')) = '' THEN
        RAISE EXCEPTION 'a release needs a reason: SELECT release_protection(''why'')';
    END IF;
    INSERT INTO protection_releases (transaction, reason) VALUES (pg_current_xact_id()::text::bigint, reason);
    PERFORM protection_unguard();
    RETURN 'released until the end of this transaction';
END
$$;
-- Whoever may drop the tables is who ran `migrate`, or is a member of that role.
REVOKE EXECUTE ON FUNCTION release_protection(text), protection_unguard(), protection_guard(regclass) FROM PUBLIC;
