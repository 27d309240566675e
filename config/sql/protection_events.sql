-- Event triggers that refuse to lose a protected table, its name or a column of it. In a schema of their own: they must
-- outlive the one that is dropped with everything in it. Only some roles may create them; see config/protection.py.

CREATE SCHEMA IF NOT EXISTS protection;

CREATE OR REPLACE FUNCTION protection.refuse_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF to_regclass('protected_tables') IS NULL THEN
        RAISE EXCEPTION 'refused: this would take the list of protected tables, and those that are on it';
    END IF;
    PERFORM protection_refuse(array_agg(
        CASE d.object_type WHEN 'table' THEN 'table ' ELSE 'column ' END || array_to_string(d.address_names[2:], '.')
        ORDER BY d.object_identity
    ))
    FROM pg_event_trigger_dropped_objects() AS d
    JOIN protected_tables AS p ON (p.schema, p.name) = (d.address_names[1], d.address_names[2])
    WHERE d.object_type IN ('table', 'table column');
    DELETE FROM protected_tables AS p USING pg_event_trigger_dropped_objects() AS d
    WHERE d.object_type = 'table' AND (p.schema, p.name) = (d.schema_name, d.object_name);
END
$$;

CREATE OR REPLACE FUNCTION protection.refuse_rename() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF to_regclass('protected_tables') IS NULL THEN
        RAISE EXCEPTION 'refused: this would move the list of protected tables, and those that are on it';
    END IF;
    PERFORM protection_refuse(array_agg(r.lost ORDER BY r.lost)) FROM (
        SELECT format('the name of table %s', p.name) FROM protected_tables AS p
        JOIN pg_class AS c ON c.oid = p.relation JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE (n.nspname, c.relname) <> (p.schema, p.name)
        UNION ALL
        SELECT format('the name of a column, now %s', d.object_identity) FROM pg_event_trigger_ddl_commands() AS d
        JOIN protected_tables AS p ON d.classid = 'pg_class'::regclass AND d.objid = p.relation
        WHERE d.objsubid > 0
    ) AS r (lost);
    UPDATE protected_tables AS p SET name = c.relname, schema = n.nspname
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = p.relation AND (n.nspname, c.relname) <> (p.schema, p.name);
END
$$;
