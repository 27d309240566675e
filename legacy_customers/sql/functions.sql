-- What the rules need and SQL lacks. Each is a pure function of its arguments; `migrate` installs them, and
-- `migrate legacy_customers zero` removes them.

-- Every character that Unicode calls white space.
CREATE OR REPLACE FUNCTION unification_white_space() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT U&'\0009\000A\000B\000C\000D\001C\001D\001E\001F\0020\0085\00A0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200A\2028\2029\202F\205F\3000'
$$;

-- A text that says something, as it is; NULL where it is '' or white space alone. The first branch is the
-- common case, decided by two byte comparisons.
CREATE OR REPLACE FUNCTION unification_text(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN value COLLATE "C" >= '!' AND value COLLATE "C" < '~' THEN value
        WHEN btrim(value, unification_white_space()) <> '' THEN value
    END
$$;

-- The text of an address: JSON that says nothing is blank too.
CREATE OR REPLACE FUNCTION unification_address(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN btrim(value, unification_white_space())
            NOT IN ('', 'null', '{}', '[]', '""') THEN value
    END
$$;

-- JSON that says something; NULL for null, {}, [] and "".
CREATE OR REPLACE FUNCTION unification_json(value jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN value NOT IN ('null', '{}', '[]', '""') THEN value END
$$;

-- The one spelling under which addresses are compared: trimmed of any white space, in lower case. An index is built by it,
-- which happens under a search path that knows none of our functions: so the characters are here once more.
CREATE OR REPLACE FUNCTION unification_email(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lower(btrim(value, U&'\0009\000A\000B\000C\000D\001C\001D\001E\001F\0020\0085\00A0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200A\2028\2029\202F\205F\3000'))
$$;

-- Whether such a spelling looks like an address: one @, no white space, a dot in the domain, 254 characters at most.
CREATE OR REPLACE FUNCTION unification_usable(email text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT char_length(email) <= 254
        AND email ~ ('^[^@' || unification_white_space() || ']+@[^@' || unification_white_space()
            || ']+[.][^@' || unification_white_space() || ']+$')
$$;

-- A uuid from any spelling that PostgreSQL reads as one; NULL from any other text.
CREATE OR REPLACE FUNCTION unification_uuid(value text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN value ~ '^([0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}$' OR value ~ '^\{([0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}\}$'
        THEN value::uuid
    END
$$;

-- The object that a text spells; NULL where it is broken JSON or something else. Catching the error takes a
-- subtransaction, which no parallel plan may start.
CREATE OR REPLACE FUNCTION unification_object(value text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE AS $$
DECLARE
    parsed jsonb;
BEGIN
    IF left(btrim(value, E' \t\n\r'), 1) IS DISTINCT FROM '{' THEN
        RETURN NULL;
    END IF;
    parsed := value::jsonb;
    RETURN CASE WHEN jsonb_typeof(parsed) = 'object' THEN parsed END;
EXCEPTION
    WHEN data_exception OR statement_too_complex OR program_limit_exceeded OR syntax_error THEN
        RETURN NULL;
END
$$;

-- The part of an address object under `key`, where it is a text or a number that fits `width` characters.
CREATE OR REPLACE FUNCTION unification_part(parts jsonb, key text, width integer) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN jsonb_typeof(parts -> key) IN ('string', 'number') AND char_length(parts ->> key) <= width
        THEN unification_text(parts ->> key)
    END
$$;

-- The entries of all lists among `sources`, in order, each once. What is no list is passed over.
CREATE OR REPLACE FUNCTION unification_union(sources jsonb[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(jsonb_agg(entry ORDER BY first_at), '[]')
    FROM (
        SELECT entry, min(ARRAY[source_at, entry_at]) AS first_at
        FROM unnest(sources) WITH ORDINALITY AS s (source, source_at)
        CROSS JOIN LATERAL jsonb_array_elements(
            CASE WHEN jsonb_typeof(source) = 'array' THEN source ELSE '[]' END
        ) WITH ORDINALITY AS e (entry, entry_at)
        GROUP BY entry
    ) AS entries
$$;

-- A list with each entry once. What is no list is empty; up to three entries, the usual case, are compared in place.
CREATE OR REPLACE FUNCTION unification_list(value jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN jsonb_typeof(value) IS DISTINCT FROM 'array' THEN '[]'::jsonb
        WHEN jsonb_array_length(value) < 2 THEN value
        WHEN jsonb_array_length(value) = 2 AND value -> 0 <> value -> 1 THEN value
        WHEN jsonb_array_length(value) = 3 AND value -> 0 <> value -> 1 AND value -> 0 <> value -> 2
            AND value -> 1 <> value -> 2 THEN value
        ELSE unification_union(ARRAY[value])
    END
$$;

-- Two objects as one: `newer` wins key by key, at any depth (below 64 whole), but a blank never wins.
CREATE OR REPLACE FUNCTION unification_merge_two(newer jsonb, older jsonb, depth integer DEFAULT 0) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    result jsonb := older || newer;
    shared text;
BEGIN
    FOR shared IN SELECT k FROM jsonb_object_keys(newer) AS k WHERE older ? k LOOP
        IF unification_json(newer -> shared) IS NULL THEN
            IF unification_json(older -> shared) IS NOT NULL THEN
                result := jsonb_set(result, ARRAY[shared], older -> shared);
            END IF;
        ELSIF depth < 63
            AND jsonb_typeof(newer -> shared) = 'object' AND jsonb_typeof(older -> shared) = 'object'
        THEN
            result := jsonb_set(
                result, ARRAY[shared], unification_merge_two(newer -> shared, older -> shared, depth + 1)
            );
        END IF;
    END LOOP;
    RETURN result;
END
$$;

-- All objects among `sources`, newest first, as one. What is no object is passed over.
CREATE OR REPLACE FUNCTION unification_merge(sources jsonb[]) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    result jsonb := '{}';
    source jsonb;
BEGIN
    FOREACH source IN ARRAY sources LOOP
        IF jsonb_typeof(source) = 'object' THEN
            result := unification_merge_two(result, source);
        END IF;
    END LOOP;
    RETURN result;
END
$$;

-- What of `source` is not in the merged `result`: a row per key path with both values. Blanks do not count.
CREATE OR REPLACE FUNCTION unification_lost(source jsonb, result jsonb, at text[] DEFAULT '{}')
RETURNS TABLE (path text[], chosen jsonb, other jsonb)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    key text;
BEGIN
    IF cardinality(at) < 64 AND jsonb_typeof(source) = 'object' AND jsonb_typeof(result) = 'object' THEN
        FOR key IN SELECT k FROM jsonb_object_keys(source) AS k LOOP
            RETURN QUERY SELECT * FROM unification_lost(source -> key, result -> key, at || key);
        END LOOP;
    ELSIF unification_json(source) IS NOT NULL AND source IS DISTINCT FROM result THEN
        RETURN QUERY SELECT at, result, source;
    END IF;
END
$$;

-- A key path as an RFC 6901 pointer.
CREATE OR REPLACE FUNCTION unification_pointer(path text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(string_agg('/' || replace(replace(key, '~', '~0'), '/', '~1'), '' ORDER BY at), '')
    FROM unnest(path) WITH ORDINALITY AS keys (key, at)
$$;

-- A list after a change of one of the rows that it came from: what left `before` leaves it, what came in `after` is added.
-- What is no list is empty.
CREATE OR REPLACE FUNCTION unification_list_changed(value jsonb, before jsonb, after jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN value = before THEN unification_list(after)
    ELSE unification_union(ARRAY[
        (
            SELECT coalesce(jsonb_agg(entry ORDER BY at), '[]')
            FROM jsonb_array_elements(unification_list(value)) WITH ORDINALITY AS kept (entry, at)
            WHERE entry IN (SELECT jsonb_array_elements(unification_list(after)))
                OR entry NOT IN (SELECT jsonb_array_elements(unification_list(before)))
        ), (
            SELECT coalesce(jsonb_agg(entry ORDER BY at), '[]')
            FROM jsonb_array_elements(unification_list(after)) WITH ORDINALITY AS added (entry, at)
            WHERE entry NOT IN (SELECT jsonb_array_elements(unification_list(before)))
        )
    ]) END
$$;

-- An object after a change of one of the rows that it came from: each key path that differs between `before` and `after`
-- is as it is there; all others stay. What is no object is empty.
CREATE OR REPLACE FUNCTION unification_object_changed(value jsonb, before jsonb, after jsonb, depth integer DEFAULT 0)
RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    result jsonb := CASE WHEN jsonb_typeof(value) = 'object' THEN value ELSE '{}' END;
    old jsonb := CASE WHEN jsonb_typeof(before) = 'object' THEN before ELSE '{}' END;
    new jsonb := CASE WHEN jsonb_typeof(after) = 'object' THEN after ELSE '{}' END;
    name text;
BEGIN
    IF result = old THEN
        RETURN new;
    END IF;
    FOR name IN SELECT k FROM jsonb_object_keys(old || new) AS k WHERE old -> k IS DISTINCT FROM new -> k LOOP
        IF NOT new ? name THEN
            result := result - name;
        ELSIF depth < 63 AND jsonb_typeof(old -> name) = 'object' AND jsonb_typeof(new -> name) = 'object'
            AND jsonb_typeof(result -> name) = 'object'
        THEN
            result := jsonb_set(
                result, ARRAY[name], unification_object_changed(result -> name, old -> name, new -> name, depth + 1)
            );
        ELSE
            result := result || jsonb_build_object(name, new -> name);
        END IF;
    END LOOP;
    RETURN result;
END
$$;

-- Notes after a change of one of the rows that they came from: its part is replaced, or taken out; where it has none, what
-- is new comes last. Parts are parted by a blank line.
CREATE OR REPLACE FUNCTION unification_notes_changed(value text, before text, after text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN value IS NOT DISTINCT FROM before OR unification_text(value) IS NULL THEN after
        WHEN unification_text(before) IS NOT NULL AND at > 0 AND unification_text(after) IS NOT NULL
        THEN left(value, at - 1) || after || substr(value, at + length(before))
        WHEN unification_text(before) IS NOT NULL AND at = 1 THEN substr(value, length(before) + 3)
        WHEN unification_text(before) IS NOT NULL AND at > 1
        THEN left(value, at - 3) || substr(value, at + length(before))
        WHEN unification_text(after) IS NULL OR strpos(parted, E'\n\n' || after || E'\n\n') > 0 THEN value
        ELSE value || E'\n\n' || after
    END
    FROM (SELECT E'\n\n' || value || E'\n\n' AS parted) AS whole
    CROSS JOIN LATERAL (SELECT strpos(parted, E'\n\n' || before || E'\n\n') AS at) AS place
$$;
