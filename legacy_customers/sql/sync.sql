-- Two-way sync (unification/sync/): its functions, and the triggers that turn it on.
-- Rendered by `manage.py render_sql` for a current installation. To be read, not run.

CREATE OR REPLACE FUNCTION unification_accounts(address text, OUT usable boolean, OUT accounts uuid[]) LANGUAGE plpgsql AS $$
DECLARE
    spelling text := unification_email(address);
BEGIN
    usable := coalesce(unification_usable(spelling), false);
    IF usable THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(spelling, 0));
        SELECT array_agg(id ORDER BY id) INTO accounts FROM users WHERE unification_email(email) = spelling;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_left_out(
    profile uuid, name text, rule text, chosen_table text, chosen_row text, chosen jsonb,
    other_table text, other_row text, other jsonb
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
        other_row)
    VALUES (profile, concat(other_table, '.', name), rule, chosen, chosen_table, chosen_row, other, other_table, other_row)
    ON CONFLICT (profile_id, field, path, other_table, other_row) DO UPDATE SET rule = EXCLUDED.rule,
        chosen_value = EXCLUDED.chosen_value, other_value = EXCLUDED.other_value, resolved_by_id = NULL, resolved_at = NULL
$$;

CREATE OR REPLACE FUNCTION unification_sync_fit(
    profile uuid, name text, relation text, key text, value numeric, difference numeric, lowest numeric, highest numeric
) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    wanted numeric := value + difference;
    owed numeric;
BEGIN
    SELECT (chosen_value #>> '{}')::numeric INTO owed FROM field_conflicts
    WHERE profile_id = profile AND field = concat(relation, '.', name) AND path = '' AND other_table = relation
        AND other_row = key AND rule = 'width';
    IF owed IS NOT NULL THEN
        wanted := owed + difference;
    END IF;
    IF wanted BETWEEN lowest AND highest THEN
        IF owed IS NOT NULL THEN
            DELETE FROM field_conflicts WHERE profile_id = profile AND field = concat(relation, '.', name)
                AND path = '' AND other_table = relation AND other_row = key;
        END IF;
        RETURN wanted;
    END IF;
    PERFORM unification_sync_left_out(
        profile, name, 'width', 'profiles', profile::text, to_jsonb(wanted), relation, key, to_jsonb(value)
    );
    RETURN value;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_hash(src "users") RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT hash_record_extended(ROW("src"."id", "src"."first_name", "src"."last_name", "src"."phone", "src"."date_of_birth", "src"."marketing_consent", "src"."created_at"), 0)
$$;
CREATE OR REPLACE FUNCTION unification_sync_wrote(src "users", by_us boolean) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    IF by_us THEN
        INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('users', (src)."id"::text, unification_sync_hash(src), 0, clock_timestamp(), '')
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash;
    ELSE
        INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('users', (src)."id"::text, unification_sync_hash(src), 1, clock_timestamp(), session_user)
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash,
            writes = w.writes + 1, last_at = EXCLUDED.last_at, last_by = EXCLUDED.last_by;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_hash(src "customers") RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT hash_record_extended(src, 0)
$$;
CREATE OR REPLACE FUNCTION unification_sync_wrote(src "customers", by_us boolean) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    IF by_us THEN
        INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('customers', (src)."id"::text, unification_sync_hash(src), 0, clock_timestamp(), '')
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash;
    ELSE
        INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('customers', (src)."id"::text, unification_sync_hash(src), 1, clock_timestamp(), session_user)
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash,
            writes = w.writes + 1, last_at = EXCLUDED.last_at, last_by = EXCLUDED.last_by;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_hash(src "customer_profiles") RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT hash_record_extended(src, 0)
$$;
CREATE OR REPLACE FUNCTION unification_sync_wrote(src "customer_profiles", by_us boolean) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    IF by_us THEN
        INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('customer_profiles', (src)."customer_id"::text, unification_sync_hash(src), 0, clock_timestamp(), '')
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash;
    ELSE
        INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('customer_profiles', (src)."customer_id"::text, unification_sync_hash(src), 1, clock_timestamp(), session_user)
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash,
            writes = w.writes + 1, last_at = EXCLUDED.last_at, last_by = EXCLUDED.last_by;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_hash(src "user_profiles") RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT hash_record_extended(src, 0)
$$;
CREATE OR REPLACE FUNCTION unification_sync_wrote(src "user_profiles", by_us boolean) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    IF by_us THEN
        INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('user_profiles', (src)."id"::text, unification_sync_hash(src), 0, clock_timestamp(), '')
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash;
    ELSE
        INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('user_profiles', (src)."id"::text, unification_sync_hash(src), 1, clock_timestamp(), session_user)
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash,
            writes = w.writes + 1, last_at = EXCLUDED.last_at, last_by = EXCLUDED.last_by;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_make_customer(q profiles) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    login users;
    c customers;
    is_guest boolean;
BEGIN
    SELECT * INTO login FROM users WHERE id = q.user_id;
    IF NOT FOUND OR q.merged_into_id IS NOT NULL
        OR EXISTS (SELECT FROM customers WHERE user_id = q.user_id OR id = q.id)
        OR EXISTS (
            SELECT FROM legacy_deletions AS d JOIN legacy_identities AS i ON i.customer_id::text = d.key
            WHERE d.source = 'customers' AND i.user_id = q.user_id)
    THEN
        RETURN;
    END IF;
    is_guest := (login.email IS NULL OR (login.password_hash LIKE '!%' AND login.last_login IS NULL AND login.role::text = 'customer'));
    INSERT INTO customers ("id", "user_id", "email", "is_active", "first_name", "last_name", "phone", "date_of_birth", "address", "city", "state", "postal_code", "country", "loyalty_points", "customer_type", "preferred_payment_method", "total_spent", "order_count", "last_order_date", "marketing_consent", "sms_consent", "tags", "notes", "is_verified", "created_at", "updated_at") VALUES (q.id, CASE WHEN NOT is_guest THEN q.user_id END, coalesce(q.contact_email, login.email, ''), login.active, q."first_name", q."last_name", q."phone", q."date_of_birth", q."address", q."city", q."state", q."postal_code", q."country", CASE WHEN q."loyalty_points" BETWEEN -2147483648::numeric AND 2147483647 THEN q."loyalty_points" ELSE 0 END, q."customer_type", q."preferred_payment_method", CASE WHEN q."total_spent" BETWEEN -9999999999.99 AND 9999999999.99 THEN q."total_spent" ELSE 0 END, CASE WHEN q."order_count" BETWEEN -2147483648::numeric AND 2147483647 THEN q."order_count" ELSE 0 END, q."last_order_date" AT TIME ZONE 'UTC', q."marketing_consent", q."sms_consent", q."tags", q."notes", q."is_verified", q."created_at" AT TIME ZONE 'UTC', q."updated_at" AT TIME ZONE 'UTC') RETURNING * INTO c;
    IF q."loyalty_points" NOT BETWEEN -2147483648::numeric AND 2147483647 THEN PERFORM unification_sync_fit(q.id, 'loyalty_points', 'customers', q.id::text, 0, q."loyalty_points", -2147483648::numeric, 2147483647); END IF;
    IF q."total_spent" NOT BETWEEN -9999999999.99 AND 9999999999.99 THEN PERFORM unification_sync_fit(q.id, 'total_spent', 'customers', q.id::text, 0, q."total_spent", -9999999999.99, 9999999999.99); END IF;
    IF q."order_count" NOT BETWEEN -2147483648::numeric AND 2147483647 THEN PERFORM unification_sync_fit(q.id, 'order_count', 'customers', q.id::text, 0, q."order_count", -2147483648::numeric, 2147483647); END IF;
    INSERT INTO legacy_identities (customer_id, user_id, "case", position)
    VALUES (q.id, q.user_id, CASE WHEN NOT is_guest THEN 'linked' WHEN login.email IS NULL THEN 'separate'
        ELSE 'new_user' END,
        (SELECT coalesce(max(i.position), 0) + 1 FROM legacy_identities AS i WHERE i.user_id = q.user_id))
    ON CONFLICT (customer_id) DO NOTHING;
    PERFORM unification_sync_wrote(c, true);
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_attach(source_name text, row_key text, owner uuid) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO legacy_attachments (source, key, user_id, position, attached_at)
    SELECT source_name, row_key, owner,
        (SELECT coalesce(max(position), 0) + 1 FROM legacy_attachments WHERE user_id = owner), clock_timestamp()
    ON CONFLICT (source, key) DO UPDATE SET user_id = EXCLUDED.user_id, position = EXCLUDED.position, reason = NULL,
        attached_at = EXCLUDED.attached_at
    WHERE legacy_attachments.user_id IS NULL
$$;
-- An empty row of the recommender's, to which the difference is added.
CREATE OR REPLACE FUNCTION unification_sync_make_customer_profile(q profiles) RETURNS customer_profiles
LANGUAGE plpgsql AS $$
DECLARE
    made customer_profiles;
BEGIN
    INSERT INTO customer_profiles (customer_id) VALUES (q.id::text) ON CONFLICT DO NOTHING RETURNING * INTO made;
    IF made.customer_id IS NOT NULL THEN
        PERFORM unification_sync_wrote(made, true);
        PERFORM unification_sync_attach('customer_profiles', made.customer_id, q.user_id);
    END IF;
    RETURN made;
END
$$;
-- An empty session, to which the user's own session leads.
CREATE OR REPLACE FUNCTION unification_sync_make_user_profile(q profiles) RETURNS user_profiles
LANGUAGE plpgsql AS $$
DECLARE
    made user_profiles;
    login users;
    wanted text;
BEGIN
    SELECT * INTO login FROM users WHERE id = q.user_id;
    wanted := coalesce(unification_text(login.session_id), 'profile-' || q.id);
    INSERT INTO user_profiles (id, session_id, language) VALUES (gen_random_uuid(), wanted, NULL)
    ON CONFLICT DO NOTHING RETURNING * INTO made;
    IF made.id IS NULL THEN
        RETURN NULL;
    END IF;
    IF unification_text(login.session_id) IS NULL THEN
        UPDATE users SET session_id = wanted WHERE id = q.user_id RETURNING * INTO login;
        PERFORM unification_sync_wrote(login, true);
    END IF;
    PERFORM unification_sync_wrote(made, true);
    PERFORM unification_sync_attach('user_profiles', made.id::text, q.user_id);
    RETURN made;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_spread(
    p profiles, q profiles, origin text, person uuid
) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    -- What of the change concerns each table.
    to_customers boolean := ("p"."contact_email", "p"."first_name", "p"."last_name", "p"."phone", "p"."date_of_birth", "p"."address", "p"."city", "p"."state", "p"."postal_code", "p"."country", "p"."loyalty_points", "p"."customer_type", "p"."preferred_payment_method", "p"."total_spent", "p"."order_count", "p"."last_order_date", "p"."marketing_consent", "p"."sms_consent", "p"."tags", "p"."notes", "p"."is_verified", "p"."created_at") IS DISTINCT FROM ("q"."contact_email", "q"."first_name", "q"."last_name", "q"."phone", "q"."date_of_birth", "q"."address", "q"."city", "q"."state", "q"."postal_code", "q"."country", "q"."loyalty_points", "q"."customer_type", "q"."preferred_payment_method", "q"."total_spent", "q"."order_count", "q"."last_order_date", "q"."marketing_consent", "q"."sms_consent", "q"."tags", "q"."notes", "q"."is_verified", "q"."created_at");
    to_users boolean := ("p"."first_name", "p"."last_name", "p"."phone", "p"."date_of_birth", "p"."marketing_consent") IS DISTINCT FROM ("q"."first_name", "q"."last_name", "q"."phone", "q"."date_of_birth", "q"."marketing_consent");
    to_shared boolean := ("p"."preferences", "p"."purchase_history", "p"."interaction_count") IS DISTINCT FROM ("q"."preferences", "q"."purchase_history", "q"."interaction_count");
    to_sessions boolean := ("p"."needs", "p"."experience_level", "p"."medical_conditions", "p"."preferred_categories", "p"."preferred_effects", "p"."price_range", "p"."language", "p"."timezone") IS DISTINCT FROM ("q"."needs", "q"."experience_level", "q"."medical_conditions", "q"."preferred_categories", "q"."preferred_effects", "q"."price_range", "q"."language", "q"."timezone");
    primary_id uuid;
    c customers;
    u users;
    home record;
    shared_key text;
    shared_source text;
    session_key text;
    cp customer_profiles;
    up user_profiles;
    patience text := current_setting('lock_timeout');
    old_c customers;
    old_u users;
    old_cp customer_profiles;
    old_up user_profiles;
    login text;
BEGIN
    -- Lock all of them before anything is written, for half a change cannot be left to somebody else.
    IF to_customers THEN
        SELECT own.* INTO c FROM customers AS own JOIN legacy_identities AS known ON known.customer_id = own.id
        WHERE own.user_id = q.user_id AND known.user_id = q.user_id AND known.position = 1
        FOR NO KEY UPDATE OF own SKIP LOCKED;
        IF NOT FOUND THEN
            primary_id := (SELECT own.id FROM legacy_identities AS known JOIN customers AS own ON own.id = known.customer_id
        WHERE known.user_id = q.user_id ORDER BY (own.user_id = q.user_id) IS NOT TRUE, known.position LIMIT 1);
            IF primary_id IS NOT NULL THEN
        SELECT * INTO "c" FROM "customers" WHERE "id" = primary_id FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            IF NOT unification_sync_wait('customers', 'id', primary_id::text) THEN
                RETURN false;
            END IF;
            SELECT * INTO "c" FROM "customers" WHERE "id" = primary_id FOR NO KEY UPDATE;
        END IF;
            END IF;
        END IF;
    END IF;
    IF to_users OR to_sessions THEN
        SELECT * INTO "u" FROM "users" WHERE "id" = q.user_id FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            IF NOT unification_sync_wait('users', 'id', q.user_id::text) THEN
                RETURN false;
            END IF;
            SELECT * INTO "u" FROM "users" WHERE "id" = q.user_id FOR NO KEY UPDATE;
        END IF;
    END IF;
    IF to_shared OR to_sessions THEN
        FOR home IN
            SELECT a.source, a.key FROM legacy_attachments AS a
            LEFT JOIN customer_profiles AS r ON a.source = 'customer_profiles' AND r.customer_id = a.key
            LEFT JOIN user_profiles AS s ON a.source = 'user_profiles' AND s.id = unification_uuid(a.key)
            WHERE a.user_id = q.user_id AND (r.customer_id IS NOT NULL OR s.id IS NOT NULL)
            ORDER BY a.position
        LOOP
            IF shared_key IS NULL THEN
                shared_source := home.source;
                shared_key := home.key;
            END IF;
            IF session_key IS NULL AND home.source = 'user_profiles' THEN
                session_key := home.key;
            END IF;
        END LOOP;
        IF to_shared AND shared_source = 'customer_profiles' THEN
        SELECT * INTO "cp" FROM "customer_profiles" WHERE "customer_id" = shared_key FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            IF NOT unification_sync_wait('customer_profiles', 'customer_id', shared_key::text) THEN
                RETURN false;
            END IF;
            SELECT * INTO "cp" FROM "customer_profiles" WHERE "customer_id" = shared_key FOR NO KEY UPDATE;
        END IF;
        END IF;
        IF session_key IS NOT NULL AND (to_sessions OR shared_source = 'user_profiles') THEN
        SELECT * INTO "up" FROM "user_profiles" WHERE "id" = session_key::uuid FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            IF NOT unification_sync_wait('user_profiles', 'id', session_key::uuid::text) THEN
                RETURN false;
            END IF;
            SELECT * INTO "up" FROM "user_profiles" WHERE "id" = session_key::uuid FOR NO KEY UPDATE;
        END IF;
        END IF;
    END IF;
    -- Rows that are wanting. Whoever is about to insert one of them waits for the person, whom we have.
    IF origin = 'profiles' AND (
        to_customers AND c.id IS NULL OR to_shared AND shared_key IS NULL OR to_sessions AND session_key IS NULL)
    THEN
        BEGIN
            PERFORM set_config('lock_timeout', '10ms', true);
            IF to_customers AND c.id IS NULL THEN
                PERFORM unification_sync_make_customer(q);
            END IF;
            IF to_shared AND shared_key IS NULL THEN
                cp := unification_sync_make_customer_profile(q);
            END IF;
            IF to_sessions AND session_key IS NULL THEN
                up := unification_sync_make_user_profile(q);
            END IF;
            PERFORM set_config('lock_timeout', patience, true);
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            RETURN false;
        END;
    END IF;

    IF to_customers THEN
        IF c.id IS NOT NULL THEN
            old_c := c;
        IF origin <> 'customers' AND p.contact_email IS DISTINCT FROM q.contact_email THEN
            SELECT email INTO login FROM users WHERE id = q.user_id;
            c.email := coalesce(q.contact_email, login, '');
        END IF;
        IF ("p"."first_name", "p"."last_name", "p"."phone", "p"."date_of_birth", "p"."address", "p"."city") IS DISTINCT FROM ("q"."first_name", "q"."last_name", "q"."phone", "q"."date_of_birth", "q"."address", "q"."city") THEN
        IF p."first_name" IS DISTINCT FROM q."first_name" THEN "c"."first_name" := q."first_name"; END IF;
        IF p."last_name" IS DISTINCT FROM q."last_name" THEN "c"."last_name" := q."last_name"; END IF;
        IF p."phone" IS DISTINCT FROM q."phone" THEN "c"."phone" := q."phone"; END IF;
        IF p."date_of_birth" IS DISTINCT FROM q."date_of_birth" THEN "c"."date_of_birth" := q."date_of_birth"; END IF;
        IF p."address" IS DISTINCT FROM q."address" THEN "c"."address" := q."address"; END IF;
        IF p."city" IS DISTINCT FROM q."city" THEN "c"."city" := q."city"; END IF;
        END IF;
        IF ("p"."state", "p"."postal_code", "p"."country", "p"."loyalty_points", "p"."customer_type", "p"."preferred_payment_method") IS DISTINCT FROM ("q"."state", "q"."postal_code", "q"."country", "q"."loyalty_points", "q"."customer_type", "q"."preferred_payment_method") THEN
        IF p."state" IS DISTINCT FROM q."state" THEN "c"."state" := q."state"; END IF;
        IF p."postal_code" IS DISTINCT FROM q."postal_code" THEN "c"."postal_code" := q."postal_code"; END IF;
        IF p."country" IS DISTINCT FROM q."country" THEN "c"."country" := q."country"; END IF;
        IF origin = 'profiles' AND p."loyalty_points" <> q."loyalty_points" THEN
            "c"."loyalty_points" := CASE WHEN p."loyalty_points" BETWEEN -2147483648::numeric AND 2147483647 AND q."loyalty_points" BETWEEN -2147483648::numeric AND 2147483647
                    AND coalesce("c"."loyalty_points", 0)::numeric + q."loyalty_points" - p."loyalty_points" BETWEEN -2147483648::numeric AND 2147483647
                THEN coalesce("c"."loyalty_points", 0)::numeric + q."loyalty_points" - p."loyalty_points"
                ELSE unification_sync_fit(
                    q.id, 'loyalty_points', 'customers', "c"."id"::text, coalesce("c"."loyalty_points", 0), q."loyalty_points"::numeric - p."loyalty_points", -2147483648::numeric, 2147483647)
                END;
        END IF;
        IF p."customer_type" IS DISTINCT FROM q."customer_type" THEN "c"."customer_type" := q."customer_type"; END IF;
        IF p."preferred_payment_method" IS DISTINCT FROM q."preferred_payment_method" THEN "c"."preferred_payment_method" := q."preferred_payment_method"; END IF;
        END IF;
        IF ("p"."total_spent", "p"."order_count", "p"."last_order_date", "p"."marketing_consent", "p"."sms_consent", "p"."tags") IS DISTINCT FROM ("q"."total_spent", "q"."order_count", "q"."last_order_date", "q"."marketing_consent", "q"."sms_consent", "q"."tags") THEN
        IF origin = 'profiles' AND p."total_spent" <> q."total_spent" THEN
            "c"."total_spent" := CASE WHEN p."total_spent" BETWEEN -9999999999.99 AND 9999999999.99 AND q."total_spent" BETWEEN -9999999999.99 AND 9999999999.99
                    AND coalesce("c"."total_spent", 0)::numeric + q."total_spent" - p."total_spent" BETWEEN -9999999999.99 AND 9999999999.99
                THEN coalesce("c"."total_spent", 0)::numeric + q."total_spent" - p."total_spent"
                ELSE unification_sync_fit(
                    q.id, 'total_spent', 'customers', "c"."id"::text, coalesce("c"."total_spent", 0), q."total_spent"::numeric - p."total_spent", -9999999999.99, 9999999999.99)
                END;
        END IF;
        IF origin = 'profiles' AND p."order_count" <> q."order_count" THEN
            "c"."order_count" := CASE WHEN p."order_count" BETWEEN -2147483648::numeric AND 2147483647 AND q."order_count" BETWEEN -2147483648::numeric AND 2147483647
                    AND coalesce("c"."order_count", 0)::numeric + q."order_count" - p."order_count" BETWEEN -2147483648::numeric AND 2147483647
                THEN coalesce("c"."order_count", 0)::numeric + q."order_count" - p."order_count"
                ELSE unification_sync_fit(
                    q.id, 'order_count', 'customers', "c"."id"::text, coalesce("c"."order_count", 0), q."order_count"::numeric - p."order_count", -2147483648::numeric, 2147483647)
                END;
        END IF;
        IF p."last_order_date" IS DISTINCT FROM q."last_order_date" THEN "c"."last_order_date" := q."last_order_date" AT TIME ZONE 'UTC'; END IF;
        IF p."marketing_consent" IS DISTINCT FROM q."marketing_consent" THEN "c"."marketing_consent" := q."marketing_consent"; END IF;
        IF p."sms_consent" IS DISTINCT FROM q."sms_consent" THEN "c"."sms_consent" := q."sms_consent"; END IF;
        IF p."tags" IS DISTINCT FROM q."tags" THEN "c"."tags" := unification_list_changed("c"."tags", p."tags", q."tags"); END IF;
        END IF;
        IF ("p"."notes", "p"."is_verified", "p"."created_at") IS DISTINCT FROM ("q"."notes", "q"."is_verified", "q"."created_at") THEN
        IF origin = 'profiles' AND p."notes" IS DISTINCT FROM q."notes" THEN "c"."notes" := q."notes"; END IF;
        IF p."is_verified" IS DISTINCT FROM q."is_verified" THEN "c"."is_verified" := q."is_verified"; END IF;
        IF p."created_at" IS DISTINCT FROM q."created_at" THEN "c"."created_at" := q."created_at" AT TIME ZONE 'UTC'; END IF;
        END IF;
            IF c *<> old_c THEN
                c.updated_at := greatest(c.updated_at, q.updated_at AT TIME ZONE 'UTC');
                UPDATE "customers" SET "email" = "c"."email", "first_name" = "c"."first_name", "last_name" = "c"."last_name", "phone" = "c"."phone", "date_of_birth" = "c"."date_of_birth", "address" = "c"."address", "city" = "c"."city", "state" = "c"."state", "postal_code" = "c"."postal_code", "country" = "c"."country", "loyalty_points" = "c"."loyalty_points", "customer_type" = "c"."customer_type", "preferred_payment_method" = "c"."preferred_payment_method", "total_spent" = "c"."total_spent", "order_count" = "c"."order_count", "last_order_date" = "c"."last_order_date", "marketing_consent" = "c"."marketing_consent", "sms_consent" = "c"."sms_consent", "tags" = "c"."tags", "notes" = "c"."notes", "is_verified" = "c"."is_verified", "created_at" = "c"."created_at", "updated_at" = "c"."updated_at" WHERE id = c.id RETURNING * INTO c;
                INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('customers', (c)."id"::text, unification_sync_hash(c), 0, clock_timestamp(), '')
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash;
            END IF;
        END IF;
    END IF;
    IF to_users THEN
        IF u.id IS NOT NULL THEN
            old_u := u;
        IF ("p"."first_name", "p"."last_name", "p"."phone", "p"."date_of_birth", "p"."marketing_consent") IS DISTINCT FROM ("q"."first_name", "q"."last_name", "q"."phone", "q"."date_of_birth", "q"."marketing_consent") THEN
        IF p."first_name" IS DISTINCT FROM q."first_name" THEN "u"."first_name" := q."first_name"; END IF;
        IF p."last_name" IS DISTINCT FROM q."last_name" THEN "u"."last_name" := q."last_name"; END IF;
        IF p."phone" IS DISTINCT FROM q."phone" THEN "u"."phone" := q."phone"; END IF;
        IF p."date_of_birth" IS DISTINCT FROM q."date_of_birth" THEN "u"."date_of_birth" := q."date_of_birth"; END IF;
        IF p."marketing_consent" IS DISTINCT FROM q."marketing_consent" THEN "u"."marketing_consent" := q."marketing_consent"; END IF;
        END IF;
            IF u *<> old_u THEN
                u.updated_at := greatest(u.updated_at, q.updated_at AT TIME ZONE 'UTC');
                UPDATE "users" SET "first_name" = "u"."first_name", "last_name" = "u"."last_name", "phone" = "u"."phone", "date_of_birth" = "u"."date_of_birth", "marketing_consent" = "u"."marketing_consent", "updated_at" = "u"."updated_at" WHERE id = u.id RETURNING * INTO u;
                INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('users', (u)."id"::text, unification_sync_hash(u), 0, clock_timestamp(), '')
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash;
            END IF;
        END IF;
    END IF;
    IF to_shared AND cp.customer_id IS NOT NULL THEN
        old_cp := cp;
        IF ("p"."preferences", "p"."purchase_history", "p"."interaction_count") IS DISTINCT FROM ("q"."preferences", "q"."purchase_history", "q"."interaction_count") THEN
        IF p."preferences" IS DISTINCT FROM q."preferences" THEN "cp"."preferences" := unification_object_changed("cp"."preferences", p."preferences", q."preferences"); END IF;
        IF p."purchase_history" IS DISTINCT FROM q."purchase_history" THEN "cp"."purchase_history" := unification_list_changed("cp"."purchase_history", p."purchase_history", q."purchase_history"); END IF;
        IF origin = 'profiles' AND p."interaction_count" <> q."interaction_count" THEN
            "cp"."interaction_count" := CASE WHEN p."interaction_count" BETWEEN -2147483648::numeric AND 2147483647 AND q."interaction_count" BETWEEN -2147483648::numeric AND 2147483647
                    AND coalesce("cp"."interaction_count", 0)::numeric + q."interaction_count" - p."interaction_count" BETWEEN -2147483648::numeric AND 2147483647
                THEN coalesce("cp"."interaction_count", 0)::numeric + q."interaction_count" - p."interaction_count"
                ELSE unification_sync_fit(
                    q.id, 'interaction_count', 'customer_profiles', "cp"."customer_id"::text, coalesce("cp"."interaction_count", 0), q."interaction_count"::numeric - p."interaction_count", -2147483648::numeric, 2147483647)
                END;
        END IF;
        END IF;
        IF cp *<> old_cp THEN
            cp.updated_at := greatest(cp.updated_at, q.updated_at AT TIME ZONE 'UTC');
            UPDATE customer_profiles SET "preferences" = "cp"."preferences", "purchase_history" = "cp"."purchase_history", "interaction_count" = "cp"."interaction_count", "updated_at" = "cp"."updated_at" WHERE customer_id = cp.customer_id RETURNING * INTO cp;
            INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('customer_profiles', (cp)."customer_id"::text, unification_sync_hash(cp), 0, clock_timestamp(), '')
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash;
        END IF;
    END IF;
    IF up.id IS NOT NULL THEN
        old_up := up;
        IF to_shared AND cp.customer_id IS NULL THEN
            IF ("p"."preferences", "p"."purchase_history", "p"."interaction_count") IS DISTINCT FROM ("q"."preferences", "q"."purchase_history", "q"."interaction_count") THEN
        IF p."preferences" IS DISTINCT FROM q."preferences" THEN "up"."preferences" := unification_object_changed("up"."preferences", p."preferences", q."preferences"); END IF;
        IF p."purchase_history" IS DISTINCT FROM q."purchase_history" THEN "up"."purchase_history" := unification_list_changed("up"."purchase_history", p."purchase_history", q."purchase_history"); END IF;
        IF origin = 'profiles' AND p."interaction_count" <> q."interaction_count" THEN
            "up"."interaction_count" := CASE WHEN p."interaction_count" BETWEEN -2147483648::numeric AND 2147483647 AND q."interaction_count" BETWEEN -2147483648::numeric AND 2147483647
                    AND coalesce("up"."interaction_count", 0)::numeric + q."interaction_count" - p."interaction_count" BETWEEN -2147483648::numeric AND 2147483647
                THEN coalesce("up"."interaction_count", 0)::numeric + q."interaction_count" - p."interaction_count"
                ELSE unification_sync_fit(
                    q.id, 'interaction_count', 'user_profiles', "up"."id"::text, coalesce("up"."interaction_count", 0), q."interaction_count"::numeric - p."interaction_count", -2147483648::numeric, 2147483647)
                END;
        END IF;
        END IF;
        END IF;
        IF ("p"."needs", "p"."experience_level", "p"."medical_conditions", "p"."preferred_categories", "p"."preferred_effects", "p"."price_range") IS DISTINCT FROM ("q"."needs", "q"."experience_level", "q"."medical_conditions", "q"."preferred_categories", "q"."preferred_effects", "q"."price_range") THEN
        IF p."needs" IS DISTINCT FROM q."needs" THEN "up"."needs" := unification_list_changed("up"."needs", p."needs", q."needs"); END IF;
        IF p."experience_level" IS DISTINCT FROM q."experience_level" THEN "up"."experience_level" := q."experience_level"; END IF;
        IF p."medical_conditions" IS DISTINCT FROM q."medical_conditions" THEN "up"."medical_conditions" := unification_list_changed("up"."medical_conditions", p."medical_conditions", q."medical_conditions"); END IF;
        IF p."preferred_categories" IS DISTINCT FROM q."preferred_categories" THEN "up"."preferred_categories" := unification_list_changed("up"."preferred_categories", p."preferred_categories", q."preferred_categories"); END IF;
        IF p."preferred_effects" IS DISTINCT FROM q."preferred_effects" THEN "up"."preferred_effects" := unification_list_changed("up"."preferred_effects", p."preferred_effects", q."preferred_effects"); END IF;
        IF p."price_range" IS DISTINCT FROM q."price_range" THEN "up"."price_range" := q."price_range"; END IF;
        END IF;
        IF ("p"."language", "p"."timezone") IS DISTINCT FROM ("q"."language", "q"."timezone") THEN
        IF p."language" IS DISTINCT FROM q."language" THEN "up"."language" := q."language"; END IF;
        IF p."timezone" IS DISTINCT FROM q."timezone" THEN "up"."timezone" := q."timezone"; END IF;
        END IF;
        IF up *<> old_up THEN
            up.updated_at := greatest(up.updated_at, q.updated_at AT TIME ZONE 'UTC');
            UPDATE user_profiles SET "preferences" = "up"."preferences", "purchase_history" = "up"."purchase_history", "interaction_count" = "up"."interaction_count", "needs" = "up"."needs", "experience_level" = "up"."experience_level", "medical_conditions" = "up"."medical_conditions", "preferred_categories" = "up"."preferred_categories", "preferred_effects" = "up"."preferred_effects", "price_range" = "up"."price_range", "language" = "up"."language", "timezone" = "up"."timezone", "updated_at" = "up"."updated_at" WHERE id = up.id RETURNING * INTO up;
            INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('user_profiles', (up)."id"::text, unification_sync_hash(up), 0, clock_timestamp(), '')
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash;
        END IF;
    END IF;
    RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_profiles_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    change record;
    person uuid;
    via text := current_setting('unified.via', true);
    marked text;
BEGIN
    SELECT ROW(o.*)::profiles AS o, ROW(n.*)::profiles AS n,
        n.id = o.id AND ("o"."user_id", "o"."merged_into_id", "o"."contact_email", "o"."first_name", "o"."last_name", "o"."phone", "o"."date_of_birth", "o"."address", "o"."city", "o"."state", "o"."postal_code", "o"."country", "o"."loyalty_points", "o"."customer_type", "o"."preferred_payment_method", "o"."total_spent", "o"."order_count", "o"."last_order_date", "o"."preferences", "o"."needs", "o"."experience_level", "o"."medical_conditions", "o"."preferred_categories", "o"."preferred_effects", "o"."price_range", "o"."purchase_history", "o"."interaction_count", "o"."language", "o"."timezone", "o"."marketing_consent", "o"."sms_consent", "o"."tags", "o"."notes", "o"."is_verified", "o"."created_at", "o"."updated_at") IS DISTINCT FROM ("n"."user_id", "n"."merged_into_id", "n"."contact_email", "n"."first_name", "n"."last_name", "n"."phone", "n"."date_of_birth", "n"."address", "n"."city", "n"."state", "n"."postal_code", "n"."country", "n"."loyalty_points", "n"."customer_type", "n"."preferred_payment_method", "n"."total_spent", "n"."order_count", "n"."last_order_date", "n"."preferences", "n"."needs", "n"."experience_level", "n"."medical_conditions", "n"."preferred_categories", "n"."preferred_effects", "n"."price_range", "n"."purchase_history", "n"."interaction_count", "n"."language", "n"."timezone", "n"."marketing_consent", "n"."sms_consent", "n"."tags", "n"."notes", "n"."is_verified", "n"."created_at", "n"."updated_at") AS matters, EXISTS (SELECT FROM after OFFSET 1) AS among_others
    INTO change FROM before AS o, after AS n LIMIT 1;
    IF change.among_others THEN
        FOR change IN
            SELECT ROW(o.*)::profiles AS o, ROW(n.*)::profiles AS n FROM before AS o JOIN after AS n ON n.id = o.id
            WHERE ("o"."user_id", "o"."merged_into_id", "o"."contact_email", "o"."first_name", "o"."last_name", "o"."phone", "o"."date_of_birth", "o"."address", "o"."city", "o"."state", "o"."postal_code", "o"."country", "o"."loyalty_points", "o"."customer_type", "o"."preferred_payment_method", "o"."total_spent", "o"."order_count", "o"."last_order_date", "o"."preferences", "o"."needs", "o"."experience_level", "o"."medical_conditions", "o"."preferred_categories", "o"."preferred_effects", "o"."price_range", "o"."purchase_history", "o"."interaction_count", "o"."language", "o"."timezone", "o"."marketing_consent", "o"."sms_consent", "o"."tags", "o"."notes", "o"."is_verified", "o"."created_at", "o"."updated_at") IS DISTINCT FROM ("n"."user_id", "n"."merged_into_id", "n"."contact_email", "n"."first_name", "n"."last_name", "n"."phone", "n"."date_of_birth", "n"."address", "n"."city", "n"."state", "n"."postal_code", "n"."country", "n"."loyalty_points", "n"."customer_type", "n"."preferred_payment_method", "n"."total_spent", "n"."order_count", "n"."last_order_date", "n"."preferences", "n"."needs", "n"."experience_level", "n"."medical_conditions", "n"."preferred_categories", "n"."preferred_effects", "n"."price_range", "n"."purchase_history", "n"."interaction_count", "n"."language", "n"."timezone", "n"."marketing_consent", "n"."sms_consent", "n"."tags", "n"."notes", "n"."is_verified", "n"."created_at", "n"."updated_at") ORDER BY n.id
        LOOP
            person := (change.n).id;
            IF (change.n).merged_into_id IS NULL THEN
                marked := pg_advisory_xact_lock(uuid_hash_extended(person, 1));
            ELSE
                person := unification_sync_person(person);
            END IF;
            marked := set_config('unification.sync', 'on', true) || set_config('unified.via', 'sync', true);
            IF NOT unification_sync_spread(change.o, change.n, 'profiles', person) THEN
                PERFORM unification_sync_hand_over(person, 'profiles', to_jsonb(change.o), to_jsonb(change.n));
            ELSIF EXISTS (SELECT FROM legacy_handovers) THEN
                PERFORM unification_sync_settle((change.n).id), unification_sync_settle(person);
            END IF;
            marked := set_config('unification.sync', '', true) || set_config('unified.via', coalesce(via, ''), true);
        END LOOP;
    ELSIF change.matters THEN
        person := (change.n).id;
            IF (change.n).merged_into_id IS NULL THEN
                marked := pg_advisory_xact_lock(uuid_hash_extended(person, 1));
            ELSE
                person := unification_sync_person(person);
            END IF;
            marked := set_config('unification.sync', 'on', true) || set_config('unified.via', 'sync', true);
            IF NOT unification_sync_spread(change.o, change.n, 'profiles', person) THEN
                PERFORM unification_sync_hand_over(person, 'profiles', to_jsonb(change.o), to_jsonb(change.n));
            ELSIF EXISTS (SELECT FROM legacy_handovers) THEN
                PERFORM unification_sync_settle((change.n).id), unification_sync_settle(person);
            END IF;
            marked := set_config('unification.sync', '', true) || set_config('unified.via', coalesce(via, ''), true);
    END IF;
    RETURN NULL;
END
$$;

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
$$;

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
$$;

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
$$;

CREATE OR REPLACE FUNCTION unification_sync_hand_over(person uuid, source text, before jsonb, after jsonb) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO legacy_handovers (person_id, source, before, after) VALUES (person, source, before, after)
$$;

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
        WHEN 'users' THEN
            settled := unification_sync_from_users(
                person, jsonb_populate_record(NULL::"users", left_to_us.before),
                jsonb_populate_record(NULL::"users", left_to_us.after), true
            );
        WHEN 'customers' THEN
            settled := unification_sync_from_customers(
                person, jsonb_populate_record(NULL::"customers", left_to_us.before),
                jsonb_populate_record(NULL::"customers", left_to_us.after), true
            );
        WHEN 'customer_profiles' THEN
            settled := unification_sync_from_customer_profiles(
                person, jsonb_populate_record(NULL::"customer_profiles", left_to_us.before),
                jsonb_populate_record(NULL::"customer_profiles", left_to_us.after), true
            );
        WHEN 'user_profiles' THEN
            settled := unification_sync_from_user_profiles(
                person, jsonb_populate_record(NULL::"user_profiles", left_to_us.before),
                jsonb_populate_record(NULL::"user_profiles", left_to_us.after), true
            );
        WHEN 'profiles' THEN
            before := jsonb_populate_record(NULL::profiles, left_to_us.before);
            after := jsonb_populate_record(NULL::profiles, left_to_us.after);
            SELECT * INTO now_is FROM profiles WHERE id = after.id;
            IF before."contact_email" IS DISTINCT FROM after."contact_email" THEN after."contact_email" := now_is."contact_email"; END IF;
            IF before."first_name" IS DISTINCT FROM after."first_name" THEN after."first_name" := now_is."first_name"; END IF;
            IF before."last_name" IS DISTINCT FROM after."last_name" THEN after."last_name" := now_is."last_name"; END IF;
            IF before."phone" IS DISTINCT FROM after."phone" THEN after."phone" := now_is."phone"; END IF;
            IF before."date_of_birth" IS DISTINCT FROM after."date_of_birth" THEN after."date_of_birth" := now_is."date_of_birth"; END IF;
            IF before."address" IS DISTINCT FROM after."address" THEN after."address" := now_is."address"; END IF;
            IF before."city" IS DISTINCT FROM after."city" THEN after."city" := now_is."city"; END IF;
            IF before."state" IS DISTINCT FROM after."state" THEN after."state" := now_is."state"; END IF;
            IF before."postal_code" IS DISTINCT FROM after."postal_code" THEN after."postal_code" := now_is."postal_code"; END IF;
            IF before."country" IS DISTINCT FROM after."country" THEN after."country" := now_is."country"; END IF;
            IF before."customer_type" IS DISTINCT FROM after."customer_type" THEN after."customer_type" := now_is."customer_type"; END IF;
            IF before."preferred_payment_method" IS DISTINCT FROM after."preferred_payment_method" THEN after."preferred_payment_method" := now_is."preferred_payment_method"; END IF;
            IF before."last_order_date" IS DISTINCT FROM after."last_order_date" THEN after."last_order_date" := now_is."last_order_date"; END IF;
            IF before."experience_level" IS DISTINCT FROM after."experience_level" THEN after."experience_level" := now_is."experience_level"; END IF;
            IF before."price_range" IS DISTINCT FROM after."price_range" THEN after."price_range" := now_is."price_range"; END IF;
            IF before."language" IS DISTINCT FROM after."language" THEN after."language" := now_is."language"; END IF;
            IF before."timezone" IS DISTINCT FROM after."timezone" THEN after."timezone" := now_is."timezone"; END IF;
            IF before."marketing_consent" IS DISTINCT FROM after."marketing_consent" THEN after."marketing_consent" := now_is."marketing_consent"; END IF;
            IF before."sms_consent" IS DISTINCT FROM after."sms_consent" THEN after."sms_consent" := now_is."sms_consent"; END IF;
            IF before."is_verified" IS DISTINCT FROM after."is_verified" THEN after."is_verified" := now_is."is_verified"; END IF;
            IF before."created_at" IS DISTINCT FROM after."created_at" THEN after."created_at" := now_is."created_at"; END IF;
            IF before."updated_at" IS DISTINCT FROM after."updated_at" THEN after."updated_at" := now_is."updated_at"; END IF;
            settled := unification_sync_spread(before, after, 'profiles', person);
        END CASE;
        IF settled THEN
            DELETE FROM legacy_handovers WHERE id = left_to_us.id;
        END IF;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_left(gone "users") RETURNS void LANGUAGE sql AS $$
    INSERT INTO legacy_deletions (source, key, row, deleted_by)
    VALUES ('users', gone."id"::text, to_jsonb(gone) - 'password_hash', session_user)
$$;

CREATE OR REPLACE FUNCTION unification_sync_users_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM unification_sync_left(ROW(r.*)::"users") FROM before AS r;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_left(gone "customers") RETURNS void LANGUAGE sql AS $$
    INSERT INTO legacy_deletions (source, key, row, deleted_by)
    VALUES ('customers', gone."id"::text, to_jsonb(gone), session_user)
$$;

CREATE OR REPLACE FUNCTION unification_sync_customers_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM unification_sync_left(ROW(r.*)::"customers") FROM before AS r;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_left(gone "customer_profiles") RETURNS void LANGUAGE sql AS $$
    INSERT INTO legacy_deletions (source, key, row, deleted_by)
    VALUES ('customer_profiles', gone."customer_id"::text, to_jsonb(gone), session_user)
$$;

CREATE OR REPLACE FUNCTION unification_sync_customer_profiles_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM unification_sync_left(ROW(r.*)::"customer_profiles") FROM before AS r;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_left(gone "user_profiles") RETURNS void LANGUAGE sql AS $$
    INSERT INTO legacy_deletions (source, key, row, deleted_by)
    VALUES ('user_profiles', gone."id"::text, to_jsonb(gone), session_user)
$$;

CREATE OR REPLACE FUNCTION unification_sync_user_profiles_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM unification_sync_left(ROW(r.*)::"user_profiles") FROM before AS r;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_left(gone "orders") RETURNS void LANGUAGE sql AS $$
    INSERT INTO legacy_deletions (source, key, row, deleted_by)
    VALUES ('orders', gone."id"::text, to_jsonb(gone), session_user)
$$;

CREATE OR REPLACE FUNCTION unification_sync_orders_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM unification_sync_left(ROW(r.*)::"orders") FROM before AS r;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_move_login(gone users) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    person uuid;
    login users := gone;
    reference record;
    via text := current_setting('unified.via', true);
    syncing text := current_setting('unification.sync', true);
BEGIN
    SELECT coalesce(p.merged_into_id, p.id) INTO person FROM profiles AS p WHERE p.user_id = gone.id;
    IF person IS NULL THEN
        RETURN;
    END IF;
    PERFORM unification_sync_person(person);
    PERFORM set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true),
        set_config('unified.keep_dates', 'on', true);
    INSERT INTO users (email, password_hash, role, active, email_verified, phone_verified, age_verified, terms_accepted,
        created_at, updated_at)
    SELECT NULL, '!' || left(translate(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 40),
        'customer', gone.active, false, false, gone.age_verified, gone.terms_accepted, gone.created_at, gone.updated_at
    RETURNING * INTO login;
    INSERT INTO legacy_moved_logins (user_id, moved_to) VALUES (gone.id, login.id)
    ON CONFLICT (user_id) DO UPDATE SET moved_to = EXCLUDED.moved_to;
    UPDATE profiles SET user_id = login.id, contact_email = coalesce(contact_email, gone.email) WHERE user_id = gone.id;
    UPDATE legacy_identities SET user_id = login.id WHERE user_id = gone.id;
    UPDATE legacy_attachments SET user_id = login.id WHERE user_id = gone.id;
    UPDATE orders AS o SET user_id = login.id WHERE o.user_id = gone.id AND NOT (
        EXISTS (SELECT FROM backup_orders AS b WHERE b.id = o.id AND b.user_id = gone.id)
        AND EXISTS (
            SELECT FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
            WHERE c.conrelid = 'orders'::regclass AND c.confrelid = 'users'::regclass AND c.contype = 'f'
                AND a.attname = 'user_id' AND NOT c.condeferrable));
    FOR reference IN
        SELECT c.conrelid::regclass AS relation, a.attname AS name
        FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
        WHERE c.confrelid = 'users'::regclass AND c.contype = 'f' AND c.condeferrable AND cardinality(c.conkey) = 1
            AND (c.conrelid, a.attname) NOT IN (('orders'::regclass, 'user_id'), ('profiles'::regclass, 'user_id'))
    LOOP
        EXECUTE format('UPDATE %s SET %I = $1 WHERE %I = $2', reference.relation, reference.name, reference.name)
        USING login.id, gone.id;
    END LOOP;
    PERFORM set_config('unification.sync', coalesce(syncing, ''), true), set_config('unified.via', coalesce(via, ''), true),
        set_config('unified.keep_dates', '', true);
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_user_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM unification_sync_move_login(OLD);
    RETURN OLD;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_merge(survivor uuid, other uuid) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    guest profiles;
    p profiles;
    q profiles;
    c customers;
    cp customer_profiles;
    up user_profiles;
    no_cp customer_profiles;
    owner uuid;
BEGIN
    survivor := unification_sync_person(survivor);
    SELECT * INTO guest FROM profiles WHERE id = other FOR UPDATE;
    SELECT user_id INTO owner FROM profiles WHERE id = survivor FOR UPDATE;
    UPDATE profiles SET loyalty_points = 0, total_spent = 0, order_count = 0, interaction_count = 0,
        merged_into_id = survivor WHERE id = other;
    FOR c IN SELECT r.* FROM legacy_identities AS i JOIN customers AS r ON r.id = i.customer_id
        WHERE i.user_id = guest.user_id ORDER BY i.position
    LOOP
        SELECT * INTO p FROM profiles WHERE id = survivor;
        q := unification_sync_absorb(p, c, false);
        PERFORM unification_sync_spread(p, q, 'customers', survivor);
        UPDATE profiles SET "first_name" = q."first_name", "last_name" = q."last_name", "phone" = q."phone", "date_of_birth" = q."date_of_birth", "address" = q."address", "city" = q."city", "state" = q."state", "postal_code" = q."postal_code", "country" = q."country", "loyalty_points" = q."loyalty_points", "customer_type" = q."customer_type", "preferred_payment_method" = q."preferred_payment_method", "total_spent" = q."total_spent", "order_count" = q."order_count", "last_order_date" = q."last_order_date", "marketing_consent" = q."marketing_consent", "sms_consent" = q."sms_consent", "tags" = q."tags", "notes" = q."notes", "is_verified" = q."is_verified", "created_at" = q."created_at", "updated_at" = q."updated_at" WHERE id = survivor;
    END LOOP;
    FOR cp IN SELECT r.* FROM legacy_attachments AS a JOIN customer_profiles AS r ON r.customer_id = a.key
        WHERE a.source = 'customer_profiles' AND a.user_id = guest.user_id ORDER BY a.position DESC
    LOOP
        PERFORM unification_sync_from_customer_profiles(survivor, no_cp, cp);
    END LOOP;
    FOR up IN SELECT r.* FROM legacy_attachments AS a JOIN user_profiles AS r ON r.id = unification_uuid(a.key)
        WHERE a.source = 'user_profiles' AND a.user_id = guest.user_id ORDER BY a.position DESC
    LOOP
        PERFORM unification_sync_from_user_profiles(survivor, unification_sync_said_before(survivor, up), up);
    END LOOP;
    UPDATE users SET active = false WHERE id = guest.user_id AND active IS DISTINCT FROM false;
    PERFORM set_config('unified.keep_dates', 'on', true);
    UPDATE orders SET user_id = owner WHERE user_id = guest.user_id;
    PERFORM set_config('unified.keep_dates', '', true);
    UPDATE profile_aliases SET profile_id = survivor WHERE profile_id = other;
    UPDATE field_conflicts SET profile_id = survivor WHERE profile_id = other;
    UPDATE merge_suggestions SET status = 'merged', decided_at = now()
    WHERE other IN (profile_id, other_profile_id) AND status = 'open';
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_linked(o customers, n customers) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    guest profiles;
    account profiles;
    login users;
BEGIN
    SELECT p.* INTO account FROM profiles AS p WHERE p.user_id = n.user_id;
    SELECT p.* INTO guest FROM legacy_identities AS i JOIN profiles AS p ON p.user_id = i.user_id WHERE i.customer_id = n.id;
    IF account.id IS NULL OR guest.id IS NULL
        OR coalesce(account.merged_into_id, account.id) = coalesce(guest.merged_into_id, guest.id)
    THEN
        RETURN;
    END IF;
    SELECT * INTO login FROM users WHERE id = guest.user_id;
    IF guest.merged_into_id IS NULL AND guest.erased_at IS NULL AND unification_sync_is_unused(login)
        AND NOT EXISTS (SELECT FROM profiles WHERE merged_into_id = guest.id)
    THEN
        PERFORM unification_sync_merge(coalesce(account.merged_into_id, account.id), guest.id);
    ELSE
        INSERT INTO merge_suggestions (profile_id, other_profile_id, reason)
        VALUES (coalesce(guest.merged_into_id, guest.id), coalesce(account.merged_into_id, account.id), 'linked')
        ON CONFLICT DO NOTHING;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE feature_not_supported USING
        MESSAGE = format('TRUNCATE of %s refused: it is being kept in step with the profiles', TG_TABLE_NAME),
        HINT = 'DELETE the rows: each is then kept, and its person stays.';
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_email(p profiles, n customers, login users) RETURNS text LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    usable boolean;
    accounts uuid[];
    found users;
BEGIN
    IF n.user_id IS NOT NULL OR NOT unification_sync_is_unused(login) THEN
        RETURN CASE WHEN unification_same_address(n.email, login.id) THEN NULL ELSE n.email END;
    END IF;
    SELECT a.usable, a.accounts INTO usable, accounts FROM unification_accounts(n.email) AS a;
    accounts := array_remove(accounts, login.id);
    IF usable AND coalesce(cardinality(accounts), 0) = 0 THEN
        BEGIN
            UPDATE users SET email = btrim(n.email, unification_white_space()) WHERE id = login.id RETURNING * INTO found;
            PERFORM unification_sync_wrote(found, true);
            RETURN NULL;
        EXCEPTION WHEN unique_violation THEN
            NULL;  -- somebody registered with it at this instant
        END;
    END IF;
    IF login.email IS NOT NULL THEN
        UPDATE users SET email = NULL WHERE id = login.id RETURNING * INTO found;
        PERFORM unification_sync_wrote(found, true);
    END IF;
    INSERT INTO merge_suggestions (profile_id, other_profile_id, reason)
    SELECT p.id, coalesce(r.merged_into_id, r.id), CASE
        WHEN cardinality(accounts) > 1 THEN 'shared_address'
        WHEN u.email_verified THEN 'verified_address'
        ELSE 'unverified_address' END
    FROM profiles AS r JOIN users AS u ON u.id = r.user_id WHERE u.id = ANY(accounts)
    ON CONFLICT DO NOTHING;
    RETURN n.email;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_from_users(
    person uuid, o "users", n "users", is_late boolean DEFAULT false
) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    p profiles;
    q profiles;
    own_id uuid;
    primary_id uuid;
    c customers;
    old_c customers;
    login text;
    origin text := 'users';
BEGIN
    SELECT * INTO "p" FROM "profiles" WHERE "id" = person FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            IF NOT unification_sync_wait('profiles', 'id', person::text) THEN
                RETURN false;
            END IF;
            SELECT * INTO "p" FROM "profiles" WHERE "id" = person FOR NO KEY UPDATE;
        END IF;
    IF p.merged_into_id IS NOT NULL THEN
        RETURN unification_sync_from_users(unification_sync_person(p.merged_into_id), o, n, is_late);
    END IF;
    IF p.id IS NULL THEN
        RETURN true;
    END IF;
    IF (n.email, n.active) IS DISTINCT FROM (o.email, o.active) THEN
        own_id := (SELECT own.id FROM legacy_identities AS known JOIN customers AS own ON own.id = known.customer_id
        WHERE known.user_id = n.id ORDER BY (own.user_id = n.id) IS NOT TRUE, known.position LIMIT 1);
        IF own_id IS NOT NULL THEN
        SELECT * INTO "c" FROM "customers" WHERE "id" = own_id FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            IF NOT unification_sync_wait('customers', 'id', own_id::text) THEN
                RETURN false;
            END IF;
            SELECT * INTO "c" FROM "customers" WHERE "id" = own_id FOR NO KEY UPDATE;
        END IF;
        END IF;
    END IF;
    q := p;
    IF ("o"."first_name", "o"."last_name", "o"."phone", "o"."date_of_birth", "o"."marketing_consent", "o"."created_at") IS DISTINCT FROM ("n"."first_name", "n"."last_name", "n"."phone", "n"."date_of_birth", "n"."marketing_consent", "n"."created_at") THEN
        IF n."first_name" IS DISTINCT FROM o."first_name" AND n."first_name" IS NOT NULL THEN
        q."first_name" := "n"."first_name";
    END IF;
        IF n."last_name" IS DISTINCT FROM o."last_name" AND n."last_name" IS NOT NULL THEN
        q."last_name" := "n"."last_name";
    END IF;
        IF n."phone" IS DISTINCT FROM o."phone" AND n."phone" IS NOT NULL THEN
        q."phone" := "n"."phone";
    END IF;
        IF n."date_of_birth" IS DISTINCT FROM o."date_of_birth" AND n."date_of_birth" IS NOT NULL THEN
        q."date_of_birth" := "n"."date_of_birth";
    END IF;
        IF n."marketing_consent" IS DISTINCT FROM o."marketing_consent" THEN
        q."marketing_consent" := "n"."marketing_consent" IS TRUE;
    END IF;
        IF n."created_at" IS DISTINCT FROM o."created_at" THEN
        q."created_at" := CASE WHEN o."created_at" AT TIME ZONE 'UTC' IS NOT DISTINCT FROM q."created_at" THEN "n"."created_at" AT TIME ZONE 'UTC' ELSE least(q."created_at", "n"."created_at" AT TIME ZONE 'UTC') END;
    END IF;
        END IF;
    IF (n.email_verified, n.phone_verified) IS DISTINCT FROM (o.email_verified, o.phone_verified)
        AND n.id = p.user_id
    THEN
        q.is_verified := n.email_verified IS TRUE OR n.phone_verified IS TRUE;
    END IF;
    IF n.email IS DISTINCT FROM o.email AND n.id = p.user_id AND n.email IS NOT NULL THEN
        q.contact_email := NULL;
    END IF;
    IF q *<> p THEN
        IF n.updated_at IS DISTINCT FROM o.updated_at THEN
            q.updated_at := greatest(q.updated_at, n.updated_at AT TIME ZONE 'UTC');
        END IF;
        IF n.id = p.user_id AND NOT is_late THEN
            SELECT own.* INTO c FROM customers AS own JOIN legacy_identities AS known ON known.customer_id = own.id
        WHERE own.user_id = q.user_id AND known.user_id = q.user_id AND known.position = 1
        FOR NO KEY UPDATE OF own SKIP LOCKED;
        IF NOT FOUND THEN
            primary_id := (SELECT own.id FROM legacy_identities AS known JOIN customers AS own ON own.id = known.customer_id
        WHERE known.user_id = q.user_id ORDER BY (own.user_id = q.user_id) IS NOT TRUE, known.position LIMIT 1);
            IF primary_id IS NOT NULL THEN
        SELECT * INTO "c" FROM "customers" WHERE "id" = primary_id FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            IF NOT unification_sync_wait('customers', 'id', primary_id::text) THEN
                RETURN false;
            END IF;
            SELECT * INTO "c" FROM "customers" WHERE "id" = primary_id FOR NO KEY UPDATE;
        END IF;
            END IF;
        END IF;
        IF c.id IS NOT NULL THEN
            old_c := c;
        IF origin <> 'customers' AND p.contact_email IS DISTINCT FROM q.contact_email THEN
            SELECT email INTO login FROM users WHERE id = q.user_id;
            c.email := coalesce(q.contact_email, login, '');
        END IF;
        IF ("p"."first_name", "p"."last_name", "p"."phone", "p"."date_of_birth", "p"."marketing_consent", "p"."is_verified") IS DISTINCT FROM ("q"."first_name", "q"."last_name", "q"."phone", "q"."date_of_birth", "q"."marketing_consent", "q"."is_verified") THEN
        IF p."first_name" IS DISTINCT FROM q."first_name" THEN "c"."first_name" := q."first_name"; END IF;
        IF p."last_name" IS DISTINCT FROM q."last_name" THEN "c"."last_name" := q."last_name"; END IF;
        IF p."phone" IS DISTINCT FROM q."phone" THEN "c"."phone" := q."phone"; END IF;
        IF p."date_of_birth" IS DISTINCT FROM q."date_of_birth" THEN "c"."date_of_birth" := q."date_of_birth"; END IF;
        IF p."marketing_consent" IS DISTINCT FROM q."marketing_consent" THEN "c"."marketing_consent" := q."marketing_consent"; END IF;
        IF p."is_verified" IS DISTINCT FROM q."is_verified" THEN "c"."is_verified" := q."is_verified"; END IF;
        END IF;
        IF ("p"."created_at") IS DISTINCT FROM ("q"."created_at") THEN
        IF p."created_at" IS DISTINCT FROM q."created_at" THEN "c"."created_at" := q."created_at" AT TIME ZONE 'UTC'; END IF;
        END IF;
            IF c *<> old_c THEN
                c.updated_at := greatest(c.updated_at, q.updated_at AT TIME ZONE 'UTC');
                UPDATE "customers" SET "email" = "c"."email", "first_name" = "c"."first_name", "last_name" = "c"."last_name", "phone" = "c"."phone", "date_of_birth" = "c"."date_of_birth", "marketing_consent" = "c"."marketing_consent", "is_verified" = "c"."is_verified", "created_at" = "c"."created_at", "updated_at" = "c"."updated_at" WHERE id = c.id RETURNING * INTO c;
                INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('customers', (c)."id"::text, unification_sync_hash(c), 0, clock_timestamp(), '')
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash;
            END IF;
        END IF;
        ELSIF NOT unification_sync_spread(p, q, 'users', person) THEN
            RETURN false;
        END IF;
        UPDATE profiles SET "contact_email" = q."contact_email", "is_verified" = q."is_verified", "first_name" = q."first_name", "last_name" = q."last_name", "phone" = q."phone", "date_of_birth" = q."date_of_birth", "marketing_consent" = q."marketing_consent", "created_at" = q."created_at", "updated_at" = q."updated_at" WHERE id = p.id;
    END IF;
    IF own_id IS NOT NULL THEN
        UPDATE customers SET
            email = CASE WHEN n.email IS DISTINCT FROM o.email AND n.email IS NOT NULL THEN n.email ELSE email END,
            is_active = CASE WHEN n.active IS DISTINCT FROM o.active THEN n.active ELSE is_active END
        WHERE id = own_id AND (
            n.email IS DISTINCT FROM o.email AND n.email IS NOT NULL AND email IS DISTINCT FROM n.email
            OR n.active IS DISTINCT FROM o.active AND is_active IS DISTINCT FROM n.active)
        RETURNING * INTO c;
        IF FOUND THEN
            PERFORM unification_sync_wrote(c, true);
        END IF;
    END IF;
    RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_from_customers(
    person uuid, o "customers", n "customers", is_late boolean DEFAULT false
) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    p profiles;
    q profiles;
    is_primary boolean;
    u users;
    old_u users;
BEGIN
    SELECT * INTO "p" FROM "profiles" WHERE "id" = person FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            IF NOT unification_sync_wait('profiles', 'id', person::text) THEN
                RETURN false;
            END IF;
            SELECT * INTO "p" FROM "profiles" WHERE "id" = person FOR NO KEY UPDATE;
        END IF;
    IF p.merged_into_id IS NOT NULL THEN
        RETURN unification_sync_from_customers(unification_sync_person(p.merged_into_id), o, n, is_late);
    END IF;
    IF p.id IS NULL THEN
        RETURN true;
    END IF;
    IF n.email IS DISTINCT FROM o.email THEN
        is_primary := n.id = (SELECT own.id FROM legacy_identities AS known JOIN customers AS own ON own.id = known.customer_id
        WHERE known.user_id = p.user_id ORDER BY (own.user_id = p.user_id) IS NOT TRUE, known.position LIMIT 1);
        IF is_primary THEN
        SELECT * INTO "u" FROM "users" WHERE "id" = p.user_id FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            IF NOT unification_sync_wait('users', 'id', p.user_id::text) THEN
                RETURN false;
            END IF;
            SELECT * INTO "u" FROM "users" WHERE "id" = p.user_id FOR NO KEY UPDATE;
        END IF;
        END IF;
    END IF;
    q := p;
    IF ("o"."first_name", "o"."last_name", "o"."phone", "o"."date_of_birth", "o"."loyalty_points", "o"."customer_type") IS DISTINCT FROM ("n"."first_name", "n"."last_name", "n"."phone", "n"."date_of_birth", "n"."loyalty_points", "n"."customer_type") THEN
        IF n."first_name" IS DISTINCT FROM o."first_name" THEN
        q."first_name" := "n"."first_name";
    END IF;
        IF n."last_name" IS DISTINCT FROM o."last_name" THEN
        q."last_name" := "n"."last_name";
    END IF;
        IF n."phone" IS DISTINCT FROM o."phone" THEN
        q."phone" := "n"."phone";
    END IF;
        IF n."date_of_birth" IS DISTINCT FROM o."date_of_birth" THEN
        q."date_of_birth" := "n"."date_of_birth";
    END IF;
        IF n."loyalty_points" IS DISTINCT FROM o."loyalty_points" THEN
        q."loyalty_points" := q."loyalty_points" + coalesce(n."loyalty_points", 0) - coalesce(o."loyalty_points", 0);
        IF p."loyalty_points" NOT BETWEEN -2147483648::numeric AND 2147483647 THEN
            -- The column lacks what it cannot hold: so it does after this.
            UPDATE field_conflicts AS f SET other_value = to_jsonb(n."loyalty_points"), chosen_value = to_jsonb(
                (f.chosen_value #>> '{}')::numeric + coalesce(n."loyalty_points", 0) - coalesce(o."loyalty_points", 0))
            WHERE f.profile_id = p.id AND f.field = concat('customers', '.', 'loyalty_points') AND f.path = ''
                AND f.other_table = 'customers' AND f.other_row = n."id"::text AND f.rule = 'width';
        END IF;
    END IF;
        IF n."customer_type" IS DISTINCT FROM o."customer_type" THEN
        q."customer_type" := coalesce("n"."customer_type", 'regular');
    END IF;
        END IF;
        IF ("o"."preferred_payment_method", "o"."total_spent", "o"."order_count", "o"."last_order_date", "o"."marketing_consent", "o"."sms_consent") IS DISTINCT FROM ("n"."preferred_payment_method", "n"."total_spent", "n"."order_count", "n"."last_order_date", "n"."marketing_consent", "n"."sms_consent") THEN
        IF n."preferred_payment_method" IS DISTINCT FROM o."preferred_payment_method" THEN
        q."preferred_payment_method" := "n"."preferred_payment_method";
    END IF;
        IF n."total_spent" IS DISTINCT FROM o."total_spent" THEN
        q."total_spent" := q."total_spent" + coalesce(n."total_spent", 0) - coalesce(o."total_spent", 0);
        IF p."total_spent" NOT BETWEEN -9999999999.99 AND 9999999999.99 THEN
            -- The column lacks what it cannot hold: so it does after this.
            UPDATE field_conflicts AS f SET other_value = to_jsonb(n."total_spent"), chosen_value = to_jsonb(
                (f.chosen_value #>> '{}')::numeric + coalesce(n."total_spent", 0) - coalesce(o."total_spent", 0))
            WHERE f.profile_id = p.id AND f.field = concat('customers', '.', 'total_spent') AND f.path = ''
                AND f.other_table = 'customers' AND f.other_row = n."id"::text AND f.rule = 'width';
        END IF;
    END IF;
        IF n."order_count" IS DISTINCT FROM o."order_count" THEN
        q."order_count" := q."order_count" + coalesce(n."order_count", 0) - coalesce(o."order_count", 0);
        IF p."order_count" NOT BETWEEN -2147483648::numeric AND 2147483647 THEN
            -- The column lacks what it cannot hold: so it does after this.
            UPDATE field_conflicts AS f SET other_value = to_jsonb(n."order_count"), chosen_value = to_jsonb(
                (f.chosen_value #>> '{}')::numeric + coalesce(n."order_count", 0) - coalesce(o."order_count", 0))
            WHERE f.profile_id = p.id AND f.field = concat('customers', '.', 'order_count') AND f.path = ''
                AND f.other_table = 'customers' AND f.other_row = n."id"::text AND f.rule = 'width';
        END IF;
    END IF;
        IF n."last_order_date" IS DISTINCT FROM o."last_order_date" THEN
        q."last_order_date" := CASE WHEN o."last_order_date" AT TIME ZONE 'UTC' IS NOT DISTINCT FROM q."last_order_date" THEN "n"."last_order_date" AT TIME ZONE 'UTC' ELSE greatest(q."last_order_date", "n"."last_order_date" AT TIME ZONE 'UTC') END;
    END IF;
        IF n."marketing_consent" IS DISTINCT FROM o."marketing_consent" THEN
        q."marketing_consent" := "n"."marketing_consent" IS TRUE;
    END IF;
        IF n."sms_consent" IS DISTINCT FROM o."sms_consent" THEN
        q."sms_consent" := "n"."sms_consent" IS TRUE;
    END IF;
        END IF;
        IF ("o"."tags", "o"."notes", "o"."is_verified", "o"."created_at") IS DISTINCT FROM ("n"."tags", "n"."notes", "n"."is_verified", "n"."created_at") THEN
        IF n."tags" IS DISTINCT FROM o."tags" THEN
        q."tags" := unification_list_changed(q."tags", o."tags", n."tags");
        IF jsonb_typeof(n."tags") <> 'array' AND unification_json(n."tags") IS NOT NULL THEN
            PERFORM unification_sync_left_out(
                p.id, 'tags', 'shape', 'profiles', p.id::text, to_jsonb(q."tags"), 'customers', n."id"::text, n."tags"
            );
        END IF;
    END IF;
        IF n."notes" IS DISTINCT FROM o."notes" THEN
        q."notes" := unification_notes_changed(q."notes", o."notes", n."notes");
    END IF;
        IF n."is_verified" IS DISTINCT FROM o."is_verified" THEN
        q."is_verified" := "n"."is_verified" IS TRUE;
    END IF;
        IF n."created_at" IS DISTINCT FROM o."created_at" THEN
        q."created_at" := CASE WHEN o."created_at" AT TIME ZONE 'UTC' IS NOT DISTINCT FROM q."created_at" THEN "n"."created_at" AT TIME ZONE 'UTC' ELSE least(q."created_at", "n"."created_at" AT TIME ZONE 'UTC') END;
    END IF;
        END IF;
    IF ("n"."address", "n"."city", "n"."state", "n"."postal_code", "n"."country") IS DISTINCT FROM ("o"."address", "o"."city", "o"."state", "o"."postal_code", "o"."country") THEN
        q."address" := "n"."address";
        q."city" := "n"."city";
        q."state" := "n"."state";
        q."postal_code" := "n"."postal_code";
        q."country" := "n"."country";
    END IF;
    IF is_primary THEN
        q.contact_email := unification_sync_email(p, n, u);
    END IF;
    IF q *<> p THEN
        IF n.updated_at IS DISTINCT FROM o.updated_at THEN
            q.updated_at := greatest(q.updated_at, n.updated_at AT TIME ZONE 'UTC');
        END IF;
        IF n.user_id = p.user_id AND NOT is_late THEN
            IF ("p"."first_name", "p"."last_name", "p"."phone", "p"."date_of_birth", "p"."marketing_consent") IS DISTINCT FROM ("q"."first_name", "q"."last_name", "q"."phone", "q"."date_of_birth", "q"."marketing_consent") THEN
        SELECT * INTO "u" FROM "users" WHERE "id" = q.user_id FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            IF NOT unification_sync_wait('users', 'id', q.user_id::text) THEN
                RETURN false;
            END IF;
            SELECT * INTO "u" FROM "users" WHERE "id" = q.user_id FOR NO KEY UPDATE;
        END IF;
        IF u.id IS NOT NULL THEN
            old_u := u;
        IF ("p"."first_name", "p"."last_name", "p"."phone", "p"."date_of_birth", "p"."marketing_consent") IS DISTINCT FROM ("q"."first_name", "q"."last_name", "q"."phone", "q"."date_of_birth", "q"."marketing_consent") THEN
        IF p."first_name" IS DISTINCT FROM q."first_name" THEN "u"."first_name" := q."first_name"; END IF;
        IF p."last_name" IS DISTINCT FROM q."last_name" THEN "u"."last_name" := q."last_name"; END IF;
        IF p."phone" IS DISTINCT FROM q."phone" THEN "u"."phone" := q."phone"; END IF;
        IF p."date_of_birth" IS DISTINCT FROM q."date_of_birth" THEN "u"."date_of_birth" := q."date_of_birth"; END IF;
        IF p."marketing_consent" IS DISTINCT FROM q."marketing_consent" THEN "u"."marketing_consent" := q."marketing_consent"; END IF;
        END IF;
            IF u *<> old_u THEN
                u.updated_at := greatest(u.updated_at, q.updated_at AT TIME ZONE 'UTC');
                UPDATE "users" SET "first_name" = "u"."first_name", "last_name" = "u"."last_name", "phone" = "u"."phone", "date_of_birth" = "u"."date_of_birth", "marketing_consent" = "u"."marketing_consent", "updated_at" = "u"."updated_at" WHERE id = u.id RETURNING * INTO u;
                INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('users', (u)."id"::text, unification_sync_hash(u), 0, clock_timestamp(), '')
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash;
            END IF;
        END IF;
            END IF;
        ELSIF NOT unification_sync_spread(p, q, 'customers', person) THEN
            RETURN false;
        END IF;
        UPDATE profiles SET "contact_email" = q."contact_email", "first_name" = q."first_name", "last_name" = q."last_name", "phone" = q."phone", "date_of_birth" = q."date_of_birth", "address" = q."address", "city" = q."city", "state" = q."state", "postal_code" = q."postal_code", "country" = q."country", "loyalty_points" = q."loyalty_points", "customer_type" = q."customer_type", "preferred_payment_method" = q."preferred_payment_method", "total_spent" = q."total_spent", "order_count" = q."order_count", "last_order_date" = q."last_order_date", "marketing_consent" = q."marketing_consent", "sms_consent" = q."sms_consent", "tags" = q."tags", "notes" = q."notes", "is_verified" = q."is_verified", "created_at" = q."created_at", "updated_at" = q."updated_at" WHERE id = p.id;
    END IF;

    RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_from_customer_profiles(
    person uuid, o "customer_profiles", n "customer_profiles", is_late boolean DEFAULT false
) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    p profiles;
    q profiles;

BEGIN
    SELECT * INTO "p" FROM "profiles" WHERE "id" = person FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            IF NOT unification_sync_wait('profiles', 'id', person::text) THEN
                RETURN false;
            END IF;
            SELECT * INTO "p" FROM "profiles" WHERE "id" = person FOR NO KEY UPDATE;
        END IF;
    IF p.merged_into_id IS NOT NULL THEN
        RETURN unification_sync_from_customer_profiles(unification_sync_person(p.merged_into_id), o, n, is_late);
    END IF;
    IF p.id IS NULL THEN
        RETURN true;
    END IF;

    q := p;
    IF ("o"."preferences", "o"."purchase_history", "o"."interaction_count", "o"."created_at") IS DISTINCT FROM ("n"."preferences", "n"."purchase_history", "n"."interaction_count", "n"."created_at") THEN
        IF n."preferences" IS DISTINCT FROM o."preferences" THEN
        q."preferences" := unification_object_changed(q."preferences", o."preferences", n."preferences");
        IF jsonb_typeof(n."preferences") <> 'object' AND unification_json(n."preferences") IS NOT NULL THEN
            PERFORM unification_sync_left_out(
                p.id, 'preferences', 'shape', 'profiles', p.id::text, to_jsonb(q."preferences"), 'customer_profiles', n."customer_id"::text, n."preferences"
            );
        END IF;
    END IF;
        IF n."purchase_history" IS DISTINCT FROM o."purchase_history" THEN
        q."purchase_history" := unification_list_changed(q."purchase_history", o."purchase_history", n."purchase_history");
        IF jsonb_typeof(n."purchase_history") <> 'array' AND unification_json(n."purchase_history") IS NOT NULL THEN
            PERFORM unification_sync_left_out(
                p.id, 'purchase_history', 'shape', 'profiles', p.id::text, to_jsonb(q."purchase_history"), 'customer_profiles', n."customer_id"::text, n."purchase_history"
            );
        END IF;
    END IF;
        IF n."interaction_count" IS DISTINCT FROM o."interaction_count" THEN
        q."interaction_count" := q."interaction_count" + coalesce(n."interaction_count", 0) - coalesce(o."interaction_count", 0);
        IF p."interaction_count" NOT BETWEEN -2147483648::numeric AND 2147483647 THEN
            -- The column lacks what it cannot hold: so it does after this.
            UPDATE field_conflicts AS f SET other_value = to_jsonb(n."interaction_count"), chosen_value = to_jsonb(
                (f.chosen_value #>> '{}')::numeric + coalesce(n."interaction_count", 0) - coalesce(o."interaction_count", 0))
            WHERE f.profile_id = p.id AND f.field = concat('customer_profiles', '.', 'interaction_count') AND f.path = ''
                AND f.other_table = 'customer_profiles' AND f.other_row = n."customer_id"::text AND f.rule = 'width';
        END IF;
    END IF;
        IF n."created_at" IS DISTINCT FROM o."created_at" THEN
        q."created_at" := CASE WHEN o."created_at" AT TIME ZONE 'UTC' IS NOT DISTINCT FROM q."created_at" THEN "n"."created_at" AT TIME ZONE 'UTC' ELSE least(q."created_at", "n"."created_at" AT TIME ZONE 'UTC') END;
    END IF;
        END IF;
    IF q *<> p THEN
        IF n.updated_at IS DISTINCT FROM o.updated_at THEN
            q.updated_at := greatest(q.updated_at, n.updated_at AT TIME ZONE 'UTC');
        END IF;
        IF false THEN
            NULL;
        ELSIF NOT unification_sync_spread(p, q, 'customer_profiles', person) THEN
            RETURN false;
        END IF;
        UPDATE profiles SET "preferences" = q."preferences", "purchase_history" = q."purchase_history", "interaction_count" = q."interaction_count", "created_at" = q."created_at", "updated_at" = q."updated_at" WHERE id = p.id;
    END IF;

    RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_from_user_profiles(
    person uuid, o "user_profiles", n "user_profiles", is_late boolean DEFAULT false
) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    p profiles;
    q profiles;

BEGIN
    SELECT * INTO "p" FROM "profiles" WHERE "id" = person FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            IF NOT unification_sync_wait('profiles', 'id', person::text) THEN
                RETURN false;
            END IF;
            SELECT * INTO "p" FROM "profiles" WHERE "id" = person FOR NO KEY UPDATE;
        END IF;
    IF p.merged_into_id IS NOT NULL THEN
        RETURN unification_sync_from_user_profiles(unification_sync_person(p.merged_into_id), o, n, is_late);
    END IF;
    IF p.id IS NULL THEN
        RETURN true;
    END IF;

    q := p;
    IF ("o"."customer_type", "o"."preferences", "o"."needs", "o"."experience_level", "o"."medical_conditions", "o"."preferred_categories") IS DISTINCT FROM ("n"."customer_type", "n"."preferences", "n"."needs", "n"."experience_level", "n"."medical_conditions", "n"."preferred_categories") THEN
        IF n."customer_type" IS DISTINCT FROM o."customer_type" AND unification_text(n."customer_type") IS NOT NULL THEN
        q."customer_type" := coalesce("n"."customer_type", 'regular');
    END IF;
        IF n."preferences" IS DISTINCT FROM o."preferences" THEN
        q."preferences" := unification_object_changed(q."preferences", o."preferences", n."preferences");
        IF jsonb_typeof(n."preferences") <> 'object' AND unification_json(n."preferences") IS NOT NULL THEN
            PERFORM unification_sync_left_out(
                p.id, 'preferences', 'shape', 'profiles', p.id::text, to_jsonb(q."preferences"), 'user_profiles', n."id"::text, n."preferences"
            );
        END IF;
    END IF;
        IF n."needs" IS DISTINCT FROM o."needs" THEN
        q."needs" := unification_list_changed(q."needs", o."needs", n."needs");
        IF jsonb_typeof(n."needs") <> 'array' AND unification_json(n."needs") IS NOT NULL THEN
            PERFORM unification_sync_left_out(
                p.id, 'needs', 'shape', 'profiles', p.id::text, to_jsonb(q."needs"), 'user_profiles', n."id"::text, n."needs"
            );
        END IF;
    END IF;
        IF n."experience_level" IS DISTINCT FROM o."experience_level" THEN
        q."experience_level" := "n"."experience_level";
    END IF;
        IF n."medical_conditions" IS DISTINCT FROM o."medical_conditions" THEN
        q."medical_conditions" := unification_list_changed(q."medical_conditions", o."medical_conditions", n."medical_conditions");
        IF jsonb_typeof(n."medical_conditions") <> 'array' AND unification_json(n."medical_conditions") IS NOT NULL THEN
            PERFORM unification_sync_left_out(
                p.id, 'medical_conditions', 'shape', 'profiles', p.id::text, to_jsonb(q."medical_conditions"), 'user_profiles', n."id"::text, n."medical_conditions"
            );
        END IF;
    END IF;
        IF n."preferred_categories" IS DISTINCT FROM o."preferred_categories" THEN
        q."preferred_categories" := unification_list_changed(q."preferred_categories", o."preferred_categories", n."preferred_categories");
        IF jsonb_typeof(n."preferred_categories") <> 'array' AND unification_json(n."preferred_categories") IS NOT NULL THEN
            PERFORM unification_sync_left_out(
                p.id, 'preferred_categories', 'shape', 'profiles', p.id::text, to_jsonb(q."preferred_categories"), 'user_profiles', n."id"::text, n."preferred_categories"
            );
        END IF;
    END IF;
        END IF;
        IF ("o"."preferred_effects", "o"."price_range", "o"."purchase_history", "o"."interaction_count", "o"."language", "o"."timezone") IS DISTINCT FROM ("n"."preferred_effects", "n"."price_range", "n"."purchase_history", "n"."interaction_count", "n"."language", "n"."timezone") THEN
        IF n."preferred_effects" IS DISTINCT FROM o."preferred_effects" THEN
        q."preferred_effects" := unification_list_changed(q."preferred_effects", o."preferred_effects", n."preferred_effects");
        IF jsonb_typeof(n."preferred_effects") <> 'array' AND unification_json(n."preferred_effects") IS NOT NULL THEN
            PERFORM unification_sync_left_out(
                p.id, 'preferred_effects', 'shape', 'profiles', p.id::text, to_jsonb(q."preferred_effects"), 'user_profiles', n."id"::text, n."preferred_effects"
            );
        END IF;
    END IF;
        IF n."price_range" IS DISTINCT FROM o."price_range" THEN
        IF unification_json(n."price_range") IS NULL THEN q."price_range" := NULL; ELSIF jsonb_typeof(n."price_range") = 'object' THEN q."price_range" := n."price_range"; END IF;
        IF jsonb_typeof(n."price_range") <> 'object' AND unification_json(n."price_range") IS NOT NULL THEN
            PERFORM unification_sync_left_out(
                p.id, 'price_range', 'shape', 'profiles', p.id::text, to_jsonb(q."price_range"), 'user_profiles', n."id"::text, n."price_range"
            );
        END IF;
    END IF;
        IF n."purchase_history" IS DISTINCT FROM o."purchase_history" THEN
        q."purchase_history" := unification_list_changed(q."purchase_history", o."purchase_history", n."purchase_history");
        IF jsonb_typeof(n."purchase_history") <> 'array' AND unification_json(n."purchase_history") IS NOT NULL THEN
            PERFORM unification_sync_left_out(
                p.id, 'purchase_history', 'shape', 'profiles', p.id::text, to_jsonb(q."purchase_history"), 'user_profiles', n."id"::text, n."purchase_history"
            );
        END IF;
    END IF;
        IF n."interaction_count" IS DISTINCT FROM o."interaction_count" THEN
        q."interaction_count" := q."interaction_count" + coalesce(n."interaction_count", 0) - coalesce(o."interaction_count", 0);
        IF p."interaction_count" NOT BETWEEN -2147483648::numeric AND 2147483647 THEN
            -- The column lacks what it cannot hold: so it does after this.
            UPDATE field_conflicts AS f SET other_value = to_jsonb(n."interaction_count"), chosen_value = to_jsonb(
                (f.chosen_value #>> '{}')::numeric + coalesce(n."interaction_count", 0) - coalesce(o."interaction_count", 0))
            WHERE f.profile_id = p.id AND f.field = concat('user_profiles', '.', 'interaction_count') AND f.path = ''
                AND f.other_table = 'user_profiles' AND f.other_row = n."id"::text AND f.rule = 'width';
        END IF;
    END IF;
        IF n."language" IS DISTINCT FROM o."language" THEN
        q."language" := "n"."language";
    END IF;
        IF n."timezone" IS DISTINCT FROM o."timezone" THEN
        q."timezone" := "n"."timezone";
    END IF;
        END IF;
        IF ("o"."created_at") IS DISTINCT FROM ("n"."created_at") THEN
        IF n."created_at" IS DISTINCT FROM o."created_at" THEN
        q."created_at" := CASE WHEN o."created_at" AT TIME ZONE 'UTC' IS NOT DISTINCT FROM q."created_at" THEN "n"."created_at" AT TIME ZONE 'UTC' ELSE least(q."created_at", "n"."created_at" AT TIME ZONE 'UTC') END;
    END IF;
        END IF;
    IF q *<> p THEN
        IF n.updated_at IS DISTINCT FROM o.updated_at THEN
            q.updated_at := greatest(q.updated_at, n.updated_at AT TIME ZONE 'UTC');
        END IF;
        IF false THEN
            NULL;
        ELSIF NOT unification_sync_spread(p, q, 'user_profiles', person) THEN
            RETURN false;
        END IF;
        UPDATE profiles SET "customer_type" = q."customer_type", "preferences" = q."preferences", "needs" = q."needs", "experience_level" = q."experience_level", "medical_conditions" = q."medical_conditions", "preferred_categories" = q."preferred_categories", "preferred_effects" = q."preferred_effects", "price_range" = q."price_range", "purchase_history" = q."purchase_history", "interaction_count" = q."interaction_count", "language" = q."language", "timezone" = q."timezone", "created_at" = q."created_at", "updated_at" = q."updated_at" WHERE id = p.id;
    END IF;

    RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_users_follow(
    person uuid, o "users", n "users", among_others boolean
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    locked text;
BEGIN
    -- Who they are by now, the profile says when it is read.
    locked := pg_advisory_xact_lock(uuid_hash_extended(person, 1));
    IF n.session_id IS DISTINCT FROM o.session_id THEN
        PERFORM unification_sync_session(n);
    END IF;
    -- Among others, a row of the same person may have been carried into this one meanwhile.
    IF NOT unification_sync_from_users(person, o, n, is_late => among_others) THEN
        PERFORM unification_sync_hand_over(unification_sync_person(person), 'users', to_jsonb(o), to_jsonb(n));
    ELSIF EXISTS (SELECT FROM legacy_handovers) THEN
        PERFORM unification_sync_settle(unification_sync_person(person));
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION unification_sync_users_changed(o "users", n "users") RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    person uuid := (SELECT coalesce(p.merged_into_id, p.id) FROM profiles AS p WHERE p.user_id = n.id);
BEGIN
    IF person IS NULL THEN
        PERFORM unification_sync_users_arrived(n);
    ELSE
        PERFORM unification_sync_users_follow(person, o, n, false);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_users_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    change record;
    via text := current_setting('unified.via', true);
    marked text;
BEGIN
    SELECT ROW(o.*)::"users" AS o, ROW(n.*)::"users" AS n, (SELECT coalesce(p.merged_into_id, p.id) FROM profiles AS p WHERE p.user_id = n.id) AS owner,
        n."id" = o."id" AND ("o"."email", "o"."active", "o"."email_verified", "o"."phone_verified", "o"."session_id", "o"."first_name", "o"."last_name", "o"."phone", "o"."date_of_birth", "o"."marketing_consent", "o"."created_at") IS DISTINCT FROM ("n"."email", "n"."active", "n"."email_verified", "n"."phone_verified", "n"."session_id", "n"."first_name", "n"."last_name", "n"."phone", "n"."date_of_birth", "n"."marketing_consent", "n"."created_at") AS matters, EXISTS (SELECT FROM after OFFSET 1) AS among_others
    INTO change FROM before AS o, after AS n LIMIT 1;
    IF change.among_others THEN
        FOR change IN
            SELECT ROW(o.*)::"users" AS o, ROW(n.*)::"users" AS n, (SELECT coalesce(p.merged_into_id, p.id) FROM profiles AS p WHERE p.user_id = n.id) AS owner, true AS among_others
            FROM before AS o JOIN after AS n ON n."id" = o."id" WHERE ("o"."email", "o"."active", "o"."email_verified", "o"."phone_verified", "o"."session_id", "o"."first_name", "o"."last_name", "o"."phone", "o"."date_of_birth", "o"."marketing_consent", "o"."created_at") IS DISTINCT FROM ("n"."email", "n"."active", "n"."email_verified", "n"."phone_verified", "n"."session_id", "n"."first_name", "n"."last_name", "n"."phone", "n"."date_of_birth", "n"."marketing_consent", "n"."created_at") ORDER BY 3, n."id"
        LOOP
            INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('users', (change.n)."id"::text, unification_sync_hash(change.n), 1, clock_timestamp(), session_user)
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash,
            writes = w.writes + 1, last_at = EXCLUDED.last_at, last_by = EXCLUDED.last_by;
            marked := set_config('unification.sync', 'on', true) || set_config('unified.via', 'sync', true);
            IF change.owner IS NULL THEN
                PERFORM unification_sync_users_changed(change.o, change.n);
            ELSE
                marked := unification_sync_users_follow(change.owner, change.o, change.n, change.among_others);
            END IF;
            marked := set_config('unification.sync', '', true) || set_config('unified.via', coalesce(via, ''), true);
        END LOOP;
    ELSIF change.matters THEN
        INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('users', (change.n)."id"::text, unification_sync_hash(change.n), 1, clock_timestamp(), session_user)
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash,
            writes = w.writes + 1, last_at = EXCLUDED.last_at, last_by = EXCLUDED.last_by;
            marked := set_config('unification.sync', 'on', true) || set_config('unified.via', 'sync', true);
            IF change.owner IS NULL THEN
                PERFORM unification_sync_users_changed(change.o, change.n);
            ELSE
                marked := unification_sync_users_follow(change.owner, change.o, change.n, change.among_others);
            END IF;
            marked := set_config('unification.sync', '', true) || set_config('unified.via', coalesce(via, ''), true);
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_customers_follow(
    person uuid, o "customers", n "customers", among_others boolean
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    locked text;
BEGIN
    -- Who they are by now, the profile says when it is read.
    locked := pg_advisory_xact_lock(uuid_hash_extended(person, 1));
    IF n.user_id IS DISTINCT FROM o.user_id THEN
        PERFORM unification_sync_linked(o, n);
    END IF;
    -- Among others, a row of the same person may have been carried into this one meanwhile.
    IF NOT unification_sync_from_customers(person, o, n, is_late => among_others) THEN
        PERFORM unification_sync_hand_over(unification_sync_person(person), 'customers', to_jsonb(o), to_jsonb(n));
    ELSIF EXISTS (SELECT FROM legacy_handovers) THEN
        PERFORM unification_sync_settle(unification_sync_person(person));
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION unification_sync_customers_changed(o "customers", n "customers") RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    person uuid := (SELECT coalesce(p.merged_into_id, p.id) FROM legacy_identities AS i JOIN profiles AS p ON p.user_id = i.user_id WHERE i.customer_id = n.id);
BEGIN
    IF person IS NULL THEN
        PERFORM unification_sync_customers_arrived(n);
    ELSE
        PERFORM unification_sync_customers_follow(person, o, n, false);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_customers_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    change record;
    via text := current_setting('unified.via', true);
    marked text;
BEGIN
    SELECT ROW(o.*)::"customers" AS o, ROW(n.*)::"customers" AS n, (SELECT coalesce(p.merged_into_id, p.id) FROM legacy_identities AS i JOIN profiles AS p ON p.user_id = i.user_id WHERE i.customer_id = n.id) AS owner,
        n."id" = o."id" AND o *<> n AS matters, EXISTS (SELECT FROM after OFFSET 1) AS among_others
    INTO change FROM before AS o, after AS n LIMIT 1;
    IF change.among_others THEN
        FOR change IN
            SELECT ROW(o.*)::"customers" AS o, ROW(n.*)::"customers" AS n, (SELECT coalesce(p.merged_into_id, p.id) FROM legacy_identities AS i JOIN profiles AS p ON p.user_id = i.user_id WHERE i.customer_id = n.id) AS owner, true AS among_others
            FROM before AS o JOIN after AS n ON n."id" = o."id" WHERE o *<> n ORDER BY 3, n."id"
        LOOP
            INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('customers', (change.n)."id"::text, unification_sync_hash(change.n), 1, clock_timestamp(), session_user)
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash,
            writes = w.writes + 1, last_at = EXCLUDED.last_at, last_by = EXCLUDED.last_by;
            marked := set_config('unification.sync', 'on', true) || set_config('unified.via', 'sync', true);
            IF change.owner IS NULL THEN
                PERFORM unification_sync_customers_changed(change.o, change.n);
            ELSE
                marked := unification_sync_customers_follow(change.owner, change.o, change.n, change.among_others);
            END IF;
            marked := set_config('unification.sync', '', true) || set_config('unified.via', coalesce(via, ''), true);
        END LOOP;
    ELSIF change.matters THEN
        INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('customers', (change.n)."id"::text, unification_sync_hash(change.n), 1, clock_timestamp(), session_user)
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash,
            writes = w.writes + 1, last_at = EXCLUDED.last_at, last_by = EXCLUDED.last_by;
            marked := set_config('unification.sync', 'on', true) || set_config('unified.via', 'sync', true);
            IF change.owner IS NULL THEN
                PERFORM unification_sync_customers_changed(change.o, change.n);
            ELSE
                marked := unification_sync_customers_follow(change.owner, change.o, change.n, change.among_others);
            END IF;
            marked := set_config('unification.sync', '', true) || set_config('unified.via', coalesce(via, ''), true);
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_customer_profiles_follow(
    person uuid, o "customer_profiles", n "customer_profiles", among_others boolean
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    locked text;
BEGIN
    -- Who they are by now, the profile says when it is read.
    locked := pg_advisory_xact_lock(uuid_hash_extended(person, 1));

    -- Among others, a row of the same person may have been carried into this one meanwhile.
    IF NOT unification_sync_from_customer_profiles(person, o, n, is_late => among_others) THEN
        PERFORM unification_sync_hand_over(unification_sync_person(person), 'customer_profiles', to_jsonb(o), to_jsonb(n));
    ELSIF EXISTS (SELECT FROM legacy_handovers) THEN
        PERFORM unification_sync_settle(unification_sync_person(person));
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION unification_sync_customer_profiles_changed(o "customer_profiles", n "customer_profiles") RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    person uuid := (SELECT coalesce(p.merged_into_id, p.id) FROM legacy_attachments AS a JOIN profiles AS p ON p.user_id = a.user_id WHERE a.source = 'customer_profiles' AND a.key = n.customer_id::text);
BEGIN
    IF person IS NULL THEN
        PERFORM unification_sync_customer_profiles_arrived(n);
    ELSE
        PERFORM unification_sync_customer_profiles_follow(person, o, n, false);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_customer_profiles_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    change record;
    via text := current_setting('unified.via', true);
    marked text;
BEGIN
    SELECT ROW(o.*)::"customer_profiles" AS o, ROW(n.*)::"customer_profiles" AS n, (SELECT coalesce(p.merged_into_id, p.id) FROM legacy_attachments AS a JOIN profiles AS p ON p.user_id = a.user_id WHERE a.source = 'customer_profiles' AND a.key = n.customer_id::text) AS owner,
        n."customer_id" = o."customer_id" AND o *<> n AS matters, EXISTS (SELECT FROM after OFFSET 1) AS among_others
    INTO change FROM before AS o, after AS n LIMIT 1;
    IF change.among_others THEN
        FOR change IN
            SELECT ROW(o.*)::"customer_profiles" AS o, ROW(n.*)::"customer_profiles" AS n, (SELECT coalesce(p.merged_into_id, p.id) FROM legacy_attachments AS a JOIN profiles AS p ON p.user_id = a.user_id WHERE a.source = 'customer_profiles' AND a.key = n.customer_id::text) AS owner, true AS among_others
            FROM before AS o JOIN after AS n ON n."customer_id" = o."customer_id" WHERE o *<> n ORDER BY 3, n."customer_id"
        LOOP
            INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('customer_profiles', (change.n)."customer_id"::text, unification_sync_hash(change.n), 1, clock_timestamp(), session_user)
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash,
            writes = w.writes + 1, last_at = EXCLUDED.last_at, last_by = EXCLUDED.last_by;
            marked := set_config('unification.sync', 'on', true) || set_config('unified.via', 'sync', true);
            IF change.owner IS NULL THEN
                PERFORM unification_sync_customer_profiles_changed(change.o, change.n);
            ELSE
                marked := unification_sync_customer_profiles_follow(change.owner, change.o, change.n, change.among_others);
            END IF;
            marked := set_config('unification.sync', '', true) || set_config('unified.via', coalesce(via, ''), true);
        END LOOP;
    ELSIF change.matters THEN
        INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('customer_profiles', (change.n)."customer_id"::text, unification_sync_hash(change.n), 1, clock_timestamp(), session_user)
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash,
            writes = w.writes + 1, last_at = EXCLUDED.last_at, last_by = EXCLUDED.last_by;
            marked := set_config('unification.sync', 'on', true) || set_config('unified.via', 'sync', true);
            IF change.owner IS NULL THEN
                PERFORM unification_sync_customer_profiles_changed(change.o, change.n);
            ELSE
                marked := unification_sync_customer_profiles_follow(change.owner, change.o, change.n, change.among_others);
            END IF;
            marked := set_config('unification.sync', '', true) || set_config('unified.via', coalesce(via, ''), true);
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_user_profiles_follow(
    person uuid, o "user_profiles", n "user_profiles", among_others boolean
) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    locked text;
BEGIN
    -- Who they are by now, the profile says when it is read.
    locked := pg_advisory_xact_lock(uuid_hash_extended(person, 1));

    -- Among others, a row of the same person may have been carried into this one meanwhile.
    IF NOT unification_sync_from_user_profiles(person, o, n, is_late => among_others) THEN
        PERFORM unification_sync_hand_over(unification_sync_person(person), 'user_profiles', to_jsonb(o), to_jsonb(n));
    ELSIF EXISTS (SELECT FROM legacy_handovers) THEN
        PERFORM unification_sync_settle(unification_sync_person(person));
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION unification_sync_user_profiles_changed(o "user_profiles", n "user_profiles") RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    person uuid := (SELECT coalesce(p.merged_into_id, p.id) FROM legacy_attachments AS a JOIN profiles AS p ON p.user_id = a.user_id WHERE a.source = 'user_profiles' AND a.key = n.id::text);
BEGIN
    IF person IS NULL THEN
        PERFORM unification_sync_user_profiles_arrived(n);
    ELSE
        PERFORM unification_sync_user_profiles_follow(person, o, n, false);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_user_profiles_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    change record;
    via text := current_setting('unified.via', true);
    marked text;
BEGIN
    SELECT ROW(o.*)::"user_profiles" AS o, ROW(n.*)::"user_profiles" AS n, (SELECT coalesce(p.merged_into_id, p.id) FROM legacy_attachments AS a JOIN profiles AS p ON p.user_id = a.user_id WHERE a.source = 'user_profiles' AND a.key = n.id::text) AS owner,
        n."id" = o."id" AND o *<> n AS matters, EXISTS (SELECT FROM after OFFSET 1) AS among_others
    INTO change FROM before AS o, after AS n LIMIT 1;
    IF change.among_others THEN
        FOR change IN
            SELECT ROW(o.*)::"user_profiles" AS o, ROW(n.*)::"user_profiles" AS n, (SELECT coalesce(p.merged_into_id, p.id) FROM legacy_attachments AS a JOIN profiles AS p ON p.user_id = a.user_id WHERE a.source = 'user_profiles' AND a.key = n.id::text) AS owner, true AS among_others
            FROM before AS o JOIN after AS n ON n."id" = o."id" WHERE o *<> n ORDER BY 3, n."id"
        LOOP
            INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('user_profiles', (change.n)."id"::text, unification_sync_hash(change.n), 1, clock_timestamp(), session_user)
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash,
            writes = w.writes + 1, last_at = EXCLUDED.last_at, last_by = EXCLUDED.last_by;
            marked := set_config('unification.sync', 'on', true) || set_config('unified.via', 'sync', true);
            IF change.owner IS NULL THEN
                PERFORM unification_sync_user_profiles_changed(change.o, change.n);
            ELSE
                marked := unification_sync_user_profiles_follow(change.owner, change.o, change.n, change.among_others);
            END IF;
            marked := set_config('unification.sync', '', true) || set_config('unified.via', coalesce(via, ''), true);
        END LOOP;
    ELSIF change.matters THEN
        INSERT INTO legacy_writes AS w (source, key, hash, writes, last_at, last_by)
        VALUES ('user_profiles', (change.n)."id"::text, unification_sync_hash(change.n), 1, clock_timestamp(), session_user)
        ON CONFLICT (source, key) DO UPDATE SET hash = EXCLUDED.hash,
            writes = w.writes + 1, last_at = EXCLUDED.last_at, last_by = EXCLUDED.last_by;
            marked := set_config('unification.sync', 'on', true) || set_config('unified.via', 'sync', true);
            IF change.owner IS NULL THEN
                PERFORM unification_sync_user_profiles_changed(change.o, change.n);
            ELSE
                marked := unification_sync_user_profiles_follow(change.owner, change.o, change.n, change.among_others);
            END IF;
            marked := set_config('unification.sync', '', true) || set_config('unified.via', coalesce(via, ''), true);
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION unification_same_address(address text, account uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
BEGIN
    RETURN unification_text(address) IS NULL OR EXISTS (
        SELECT FROM users AS u WHERE u.id = account AND unification_email(u.email) = unification_email(address));
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_is_unused(login users) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN login.password_hash LIKE '!%' AND login.last_login IS NULL AND EXISTS (
        SELECT FROM legacy_identities AS i
        WHERE i.user_id = login.id AND i."case" IN ('new_user', 'separate'));
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_identify(
    n customers, OUT outcome text, OUT account uuid, OUT reason text, OUT accounts uuid[]
) LANGUAGE plpgsql AS $$
DECLARE
    usable boolean;
    login users;
BEGIN
    SELECT a.usable, a.accounts INTO usable, accounts FROM unification_accounts(n.email) AS a;
    outcome := 'separate';
    IF NOT usable THEN
        RETURN;
    ELSIF accounts IS NULL THEN
        outcome := 'new_user';
    ELSIF cardinality(accounts) > 1 THEN
        reason := 'shared_address';
    ELSE
        SELECT * INTO login FROM users WHERE id = accounts[1];
        IF login.email_verified IS NOT TRUE AND NOT unification_sync_is_unused(login) THEN
            reason := 'unverified_address';
        ELSIF n.date_of_birth <> login.date_of_birth
            OR EXISTS (SELECT FROM profiles WHERE user_id = login.id AND date_of_birth <> n.date_of_birth)
            OR EXISTS (SELECT FROM customers WHERE user_id = login.id AND date_of_birth <> n.date_of_birth)
        THEN
            reason := 'birth_date';
        ELSE
            outcome := 'matched';
            account := login.id;
        END IF;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_make_account(login text, n customers) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    made uuid := gen_random_uuid();
BEGIN
    INSERT INTO users (id, email, password_hash, role, active, email_verified, phone_verified, age_verified,
        terms_accepted, created_at, updated_at)
    VALUES (made, login,
        '!' || left(translate(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 40),
        'customer'::user_role_simple, n.is_active, false, false, false, false, n.created_at, n.updated_at);
    RETURN made;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_free_address() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    guest users;
    via text := current_setting('unified.via', true);
BEGIN
    SELECT * INTO guest FROM users AS u WHERE u.email = NEW.email AND u.id <> NEW.id AND u.password_hash LIKE '!%'
        AND u.last_login IS NULL AND NOT coalesce(u.email_verified, false);
    IF FOUND AND unification_sync_is_unused(guest) THEN
        PERFORM unification_sync_person(coalesce(p.merged_into_id, p.id)) FROM profiles AS p WHERE p.user_id = guest.id;
        PERFORM set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true);
        UPDATE users SET email = NULL WHERE id = guest.id RETURNING * INTO guest;
        PERFORM unification_sync_wrote(guest, true);
        UPDATE profiles SET contact_email = coalesce(contact_email, NEW.email) WHERE user_id = guest.id;
        PERFORM set_config('unification.sync', '', true), set_config('unified.via', coalesce(via, ''), true);
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_absorb(p profiles, n customers, wins boolean) RETURNS profiles
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    q profiles := p;
BEGIN
    IF (unification_address("n"."address") IS NOT NULL OR unification_text("n"."city") IS NOT NULL OR unification_text("n"."state") IS NOT NULL OR unification_text("n"."postal_code") IS NOT NULL OR nullif(unification_text("n"."country"), 'USA') IS NOT NULL) THEN
        IF wins OR NOT (unification_address("q"."address") IS NOT NULL OR unification_text("q"."city") IS NOT NULL OR unification_text("q"."state") IS NOT NULL OR unification_text("q"."postal_code") IS NOT NULL OR nullif(unification_text("q"."country"), 'USA') IS NOT NULL) THEN
            q."address" := unification_address("n"."address");
            q."city" := coalesce(unification_text("n"."city"), CASE WHEN strpos("n"."address", '{') > 0 THEN unification_part(unification_object("n"."address"), 'city', 100) END);
            q."state" := coalesce(unification_text("n"."state"), CASE WHEN strpos("n"."address", '{') > 0 THEN unification_part(unification_object("n"."address"), 'province', 50) END);
            q."postal_code" := coalesce(unification_text("n"."postal_code"), CASE WHEN strpos("n"."address", '{') > 0 THEN unification_part(unification_object("n"."address"), 'postal_code', 20) END);
            q."country" := coalesce(nullif(unification_text("n"."country"), 'USA'), CASE WHEN strpos("n"."address", '{') > 0 THEN unification_part(unification_object("n"."address"), 'country', 100) END, unification_text("n"."country"));
        ELSE
            IF (unification_address("n"."address") IS NOT NULL AND "n"."address" IS DISTINCT FROM q."address") THEN
            INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
            other_row)
        VALUES (p.id, 'address', 'block', to_jsonb(q."address"), 'profiles', p.id::text, to_jsonb("n"."address"), 'customers', n.id::text)
        ON CONFLICT DO NOTHING;
            END IF;
            IF (unification_text("n"."city") IS NOT NULL AND "n"."city" IS DISTINCT FROM q."city") THEN
            INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
            other_row)
        VALUES (p.id, 'city', 'block', to_jsonb(q."city"), 'profiles', p.id::text, to_jsonb("n"."city"), 'customers', n.id::text)
        ON CONFLICT DO NOTHING;
            END IF;
            IF (unification_text("n"."state") IS NOT NULL AND "n"."state" IS DISTINCT FROM q."state") THEN
            INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
            other_row)
        VALUES (p.id, 'state', 'block', to_jsonb(q."state"), 'profiles', p.id::text, to_jsonb("n"."state"), 'customers', n.id::text)
        ON CONFLICT DO NOTHING;
            END IF;
            IF (unification_text("n"."postal_code") IS NOT NULL AND "n"."postal_code" IS DISTINCT FROM q."postal_code") THEN
            INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
            other_row)
        VALUES (p.id, 'postal_code', 'block', to_jsonb(q."postal_code"), 'profiles', p.id::text, to_jsonb("n"."postal_code"), 'customers', n.id::text)
        ON CONFLICT DO NOTHING;
            END IF;
            IF (nullif(unification_text("n"."country"), 'USA') IS NOT NULL AND "n"."country" IS DISTINCT FROM q."country") THEN
            INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
            other_row)
        VALUES (p.id, 'country', 'block', to_jsonb(q."country"), 'profiles', p.id::text, to_jsonb("n"."country"), 'customers', n.id::text)
        ON CONFLICT DO NOTHING;
            END IF;
        END IF;
    END IF;
    IF (unification_text("n"."first_name") IS NOT NULL) THEN
        IF wins OR unification_text(q."first_name") IS NULL THEN
            q."first_name" := "n"."first_name";
        ELSIF "n"."first_name" IS DISTINCT FROM q."first_name" THEN
            INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
            other_row)
        VALUES (p.id, 'first_name', 'first', to_jsonb(q."first_name"), 'profiles', p.id::text, to_jsonb("n"."first_name"), 'customers', n.id::text)
        ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    IF (unification_text("n"."last_name") IS NOT NULL) THEN
        IF wins OR unification_text(q."last_name") IS NULL THEN
            q."last_name" := "n"."last_name";
        ELSIF "n"."last_name" IS DISTINCT FROM q."last_name" THEN
            INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
            other_row)
        VALUES (p.id, 'last_name', 'first', to_jsonb(q."last_name"), 'profiles', p.id::text, to_jsonb("n"."last_name"), 'customers', n.id::text)
        ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    IF (unification_text("n"."phone") IS NOT NULL) THEN
        IF wins OR unification_text(q."phone") IS NULL THEN
            q."phone" := "n"."phone";
        ELSIF "n"."phone" IS DISTINCT FROM q."phone" THEN
            INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
            other_row)
        VALUES (p.id, 'phone', 'first', to_jsonb(q."phone"), 'profiles', p.id::text, to_jsonb("n"."phone"), 'customers', n.id::text)
        ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    IF ("n"."date_of_birth" IS NOT NULL) THEN
        IF wins OR q."date_of_birth" IS NULL THEN
            q."date_of_birth" := "n"."date_of_birth";
        ELSIF "n"."date_of_birth" IS DISTINCT FROM q."date_of_birth" THEN
            INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
            other_row)
        VALUES (p.id, 'date_of_birth', 'first', to_jsonb(q."date_of_birth"), 'profiles', p.id::text, to_jsonb("n"."date_of_birth"), 'customers', n.id::text)
        ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    q."loyalty_points" := q."loyalty_points" + coalesce(n."loyalty_points", 0);
    IF (nullif(unification_text(coalesce("n"."customer_type", 'regular')), 'regular') IS NOT NULL) THEN
        IF wins OR nullif(unification_text(q."customer_type"), 'regular') IS NULL THEN
            q."customer_type" := coalesce("n"."customer_type", 'regular');
        ELSIF coalesce("n"."customer_type", 'regular') IS DISTINCT FROM q."customer_type" THEN
            INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
            other_row)
        VALUES (p.id, 'customer_type', 'first', to_jsonb(q."customer_type"), 'profiles', p.id::text, to_jsonb(coalesce("n"."customer_type", 'regular')), 'customers', n.id::text)
        ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    IF (unification_text("n"."preferred_payment_method") IS NOT NULL) THEN
        IF wins OR unification_text(q."preferred_payment_method") IS NULL THEN
            q."preferred_payment_method" := "n"."preferred_payment_method";
        ELSIF "n"."preferred_payment_method" IS DISTINCT FROM q."preferred_payment_method" THEN
            INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
            other_row)
        VALUES (p.id, 'preferred_payment_method', 'first', to_jsonb(q."preferred_payment_method"), 'profiles', p.id::text, to_jsonb("n"."preferred_payment_method"), 'customers', n.id::text)
        ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    q."total_spent" := q."total_spent" + coalesce(n."total_spent", 0);
    q."order_count" := q."order_count" + coalesce(n."order_count", 0);
    q."last_order_date" := greatest(q."last_order_date", "n"."last_order_date" AT TIME ZONE 'UTC');
    q."marketing_consent" := q."marketing_consent" AND "n"."marketing_consent" IS TRUE;
    IF "n"."marketing_consent" IS TRUE AND NOT q."marketing_consent" THEN
        INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
            other_row)
        VALUES (p.id, 'marketing_consent', 'consent', to_jsonb(q."marketing_consent"), 'profiles', p.id::text, to_jsonb("n"."marketing_consent" IS TRUE), 'customers', n.id::text)
        ON CONFLICT DO NOTHING;
    END IF;
    q."sms_consent" := q."sms_consent" AND "n"."sms_consent" IS TRUE;
    IF "n"."sms_consent" IS TRUE AND NOT q."sms_consent" THEN
        INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
            other_row)
        VALUES (p.id, 'sms_consent', 'consent', to_jsonb(q."sms_consent"), 'profiles', p.id::text, to_jsonb("n"."sms_consent" IS TRUE), 'customers', n.id::text)
        ON CONFLICT DO NOTHING;
    END IF;
    q."tags" := unification_union(ARRAY[q."tags", unification_list(n."tags")]);
    IF jsonb_typeof(n."tags") <> 'array' AND unification_json(n."tags") IS NOT NULL THEN
        INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
            other_row)
        VALUES (p.id, 'tags', 'shape', to_jsonb(q."tags"), 'profiles', p.id::text, to_jsonb("n"."tags"), 'customers', n.id::text)
        ON CONFLICT DO NOTHING;
    END IF;
    q."notes" := unification_notes_changed(q."notes", NULL, n."notes");
    IF wins THEN
        q."is_verified" := "n"."is_verified" IS TRUE;
    ELSIF "n"."is_verified" IS TRUE AND NOT q."is_verified" THEN
        INSERT INTO field_conflicts (profile_id, field, rule, chosen_value, chosen_table, chosen_row, other_value, other_table,
            other_row)
        VALUES (p.id, 'is_verified', 'consent', to_jsonb(q."is_verified"), 'profiles', p.id::text, to_jsonb("n"."is_verified" IS TRUE), 'customers', n.id::text)
        ON CONFLICT DO NOTHING;
    END IF;
    q."created_at" := least(q."created_at", "n"."created_at" AT TIME ZONE 'UTC');
    q.updated_at := greatest(q.updated_at, n.updated_at AT TIME ZONE 'UTC');
    RETURN q;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_customers_arrived(n customers) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    o customers;
    p profiles;
    q profiles;
    owner uuid;
    person uuid;
    kind text := 'linked';
    why text;
    others uuid[];
    login text;
    was_there jsonb;
BEGIN
    -- A row that was deleted and comes back is whose it was, and brings what has changed in it since.
    SELECT i.user_id INTO owner FROM legacy_identities AS i WHERE i.customer_id = n.id;
    IF owner IS NOT NULL THEN
        SELECT coalesce(r.merged_into_id, r.id) INTO person FROM profiles AS r WHERE r.user_id = owner;
        SELECT d.row INTO was_there FROM legacy_deletions AS d
        WHERE d.source = 'customers' AND d.key = n.id::text ORDER BY d.id DESC LIMIT 1;
        DELETE FROM legacy_deletions AS d WHERE d.source = 'customers' AND d.key = n.id::text;
        o := coalesce(jsonb_populate_record(NULL::customers, was_there), n);
        person := unification_sync_person(person);
        IF NOT unification_sync_from_customers(person, o, n) THEN
            PERFORM unification_sync_hand_over(person, 'customers', to_jsonb(o), to_jsonb(n));
        ELSIF n.id = (SELECT own.id FROM legacy_identities AS known JOIN customers AS own ON own.id = known.customer_id
        WHERE known.user_id = owner ORDER BY (own.user_id = owner) IS NOT TRUE, known.position LIMIT 1) THEN
            SELECT * INTO q FROM profiles WHERE id = person;
            p := q;
            p."first_name" := "n"."first_name";
            p."last_name" := "n"."last_name";
            p."phone" := "n"."phone";
            p."date_of_birth" := "n"."date_of_birth";
            p."address" := "n"."address";
            p."city" := "n"."city";
            p."state" := "n"."state";
            p."postal_code" := "n"."postal_code";
            p."country" := "n"."country";
            p."customer_type" := coalesce("n"."customer_type", 'regular');
            p."preferred_payment_method" := "n"."preferred_payment_method";
            p."marketing_consent" := "n"."marketing_consent" IS TRUE;
            p."sms_consent" := "n"."sms_consent" IS TRUE;
            p."is_verified" := "n"."is_verified" IS TRUE;
            PERFORM unification_sync_spread(p, q, 'customers', person);
        END IF;
        RETURN;
    END IF;
    SELECT u.id INTO owner FROM users AS u WHERE u.id = n.user_id;
    WHILE owner IS NULL LOOP
        SELECT k.outcome, k.account, k.reason, k.accounts INTO kind, owner, why, others
        FROM unification_sync_identify(n) AS k;
        EXIT WHEN kind = 'matched';
        login := CASE kind WHEN 'new_user' THEN btrim(n.email, unification_white_space()) END;
        BEGIN
            owner := unification_sync_make_account(login, n);
        EXCEPTION WHEN unique_violation THEN
            owner := NULL;  -- somebody registered with that address at this instant
        END;
    END LOOP;
    INSERT INTO legacy_identities (customer_id, user_id, "case", position, reason)
    VALUES (n.id, owner, kind,
        (SELECT coalesce(max(i.position), 0) + 1 FROM legacy_identities AS i WHERE i.user_id = owner), why);
    IF kind IN ('new_user', 'separate') THEN
        INSERT INTO profiles (id, user_id, contact_email, "first_name", "last_name", "phone", "date_of_birth", "address", "city", "state", "postal_code", "country", "loyalty_points", "customer_type", "preferred_payment_method", "total_spent", "order_count", "last_order_date", "marketing_consent", "sms_consent", "tags", "notes", "is_verified", "created_at", "updated_at")
        VALUES (n.id, owner, CASE kind WHEN 'separate' THEN n.email END, unification_text("n"."first_name"), unification_text("n"."last_name"), unification_text("n"."phone"), "n"."date_of_birth", unification_address("n"."address"), coalesce(unification_text("n"."city"), CASE WHEN strpos("n"."address", '{') > 0 THEN unification_part(unification_object("n"."address"), 'city', 100) END), coalesce(unification_text("n"."state"), CASE WHEN strpos("n"."address", '{') > 0 THEN unification_part(unification_object("n"."address"), 'province', 50) END), coalesce(unification_text("n"."postal_code"), CASE WHEN strpos("n"."address", '{') > 0 THEN unification_part(unification_object("n"."address"), 'postal_code', 20) END), coalesce(nullif(unification_text("n"."country"), 'USA'), CASE WHEN strpos("n"."address", '{') > 0 THEN unification_part(unification_object("n"."address"), 'country', 100) END, unification_text("n"."country")), coalesce("n"."loyalty_points", 0), coalesce(unification_text(coalesce("n"."customer_type", 'regular')), 'regular'), unification_text("n"."preferred_payment_method"), coalesce("n"."total_spent", 0), coalesce("n"."order_count", 0), "n"."last_order_date" AT TIME ZONE 'UTC', "n"."marketing_consent" IS TRUE, "n"."sms_consent" IS TRUE, unification_list("n"."tags"), unification_text("n"."notes"), "n"."is_verified" IS TRUE, "n"."created_at" AT TIME ZONE 'UTC', "n"."updated_at" AT TIME ZONE 'UTC');
        IF jsonb_typeof(n."tags") <> 'array' AND unification_json(n."tags") IS NOT NULL THEN
            PERFORM unification_sync_left_out(
                n.id, 'tags', 'shape', 'profiles', n.id::text, '[]', 'customers', n.id::text, n."tags");
        END IF;
        IF why IS NOT NULL THEN
            INSERT INTO merge_suggestions (profile_id, other_profile_id, reason)
            SELECT n.id, coalesce(r.merged_into_id, r.id), why FROM profiles AS r WHERE r.user_id = ANY(others)
            ON CONFLICT DO NOTHING;
        END IF;
        person := n.id;
    ELSE
        SELECT coalesce(r.merged_into_id, r.id) INTO person FROM profiles AS r WHERE r.user_id = owner;
        person := unification_sync_person(person);
        SELECT * INTO p FROM profiles WHERE id = person FOR NO KEY UPDATE;
        IF n.id <> p.id THEN
            INSERT INTO profile_aliases (id, profile_id) VALUES (n.id, person) ON CONFLICT DO NOTHING;
        END IF;
        q := unification_sync_absorb(p, n, kind = 'linked');
        IF kind = 'linked' AND NOT unification_same_address(n.email, owner) THEN
            q.contact_email := n.email;
        END IF;
        PERFORM unification_sync_spread(p, q, 'customers', person);
        UPDATE profiles SET contact_email = q.contact_email, "first_name" = q."first_name", "last_name" = q."last_name", "phone" = q."phone", "date_of_birth" = q."date_of_birth", "address" = q."address", "city" = q."city", "state" = q."state", "postal_code" = q."postal_code", "country" = q."country", "loyalty_points" = q."loyalty_points", "customer_type" = q."customer_type", "preferred_payment_method" = q."preferred_payment_method", "total_spent" = q."total_spent", "order_count" = q."order_count", "last_order_date" = q."last_order_date", "marketing_consent" = q."marketing_consent", "sms_consent" = q."sms_consent", "tags" = q."tags", "notes" = q."notes", "is_verified" = q."is_verified", "created_at" = q."created_at", "updated_at" = q."updated_at" WHERE id = p.id AND q *<> p;
        IF kind = 'linked' THEN
            -- It is the row that stands for the person now: what it did not say is filled in.
            p := q;
            p."first_name" := "n"."first_name";
            p."last_name" := "n"."last_name";
            p."phone" := "n"."phone";
            p."date_of_birth" := "n"."date_of_birth";
            p."address" := "n"."address";
            p."city" := "n"."city";
            p."state" := "n"."state";
            p."postal_code" := "n"."postal_code";
            p."country" := "n"."country";
            p."customer_type" := coalesce("n"."customer_type", 'regular');
            p."preferred_payment_method" := "n"."preferred_payment_method";
            p."marketing_consent" := "n"."marketing_consent" IS TRUE;
            p."sms_consent" := "n"."sms_consent" IS TRUE;
            p."is_verified" := "n"."is_verified" IS TRUE;
            PERFORM unification_sync_spread(p, q, 'customers', person);
        END IF;
    END IF;
    IF EXISTS (SELECT FROM legacy_handovers) THEN
        PERFORM unification_sync_settle(person);
    END IF;
    -- A chat's row that knew this id before it was a customer's.
    PERFORM unification_sync_customer_profiles_arrived(r) FROM customer_profiles AS r
    WHERE r.customer_id = n.id::text AND EXISTS (
        SELECT FROM legacy_attachments AS a
        WHERE a.source = 'customer_profiles' AND a.key = r.customer_id AND a.user_id IS NULL);
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_customers_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    n customers;
    person uuid;
    via text := current_setting('unified.via', true);
BEGIN
    -- Addresses first, then persons, each in their order, as long as there are several.
    IF (SELECT count(*) FROM (SELECT FROM after LIMIT 2) AS first_two) = 2 THEN
        PERFORM unification_accounts(a.email)
        FROM (SELECT email FROM after WHERE user_id IS NULL ORDER BY unification_email(email) COLLATE "C") AS a;
        FOR person IN
            SELECT DISTINCT coalesce(p.merged_into_id, p.id) FROM after AS a
            JOIN users AS u ON u.id = a.user_id OR a.user_id IS NULL AND unification_email(u.email) = unification_email(a.email)
            JOIN profiles AS p ON p.user_id = u.id ORDER BY 1
        LOOP
            PERFORM unification_sync_person(person);
        END LOOP;
    END IF;
    PERFORM set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true);
    FOR n IN SELECT * FROM after ORDER BY coalesce(updated_at, created_at) NULLS FIRST, id DESC LOOP
        PERFORM unification_sync_wrote(n, false);
        PERFORM unification_sync_customers_arrived(n);
    END LOOP;
    PERFORM set_config('unification.sync', '', true), set_config('unified.via', coalesce(via, ''), true);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_users_arrived(n users) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    new_id uuid := gen_random_uuid();
    is_guest boolean := n.email IS NULL
        OR (n.password_hash LIKE '!%' AND n.last_login IS NULL AND n.role::text = 'customer');
    c customers;
    others uuid[];
BEGIN
    -- Where nothing keeps a row from naming a user who is not there yet, that row is theirs; one that came with them,
    -- and is nobody's yet, is their primary row.
    SELECT * INTO c FROM customers WHERE user_id = n.id LIMIT 1;
    IF c.id IS NOT NULL AND NOT EXISTS (SELECT FROM legacy_identities WHERE customer_id = c.id) THEN
        new_id := c.id;
    END IF;
    INSERT INTO profiles (id, user_id, "first_name", "last_name", "phone", "date_of_birth", "marketing_consent", "created_at", "updated_at", is_verified) VALUES (new_id, n.id, unification_text("n"."first_name"), unification_text("n"."last_name"), unification_text("n"."phone"), "n"."date_of_birth", "n"."marketing_consent" IS TRUE, "n"."created_at" AT TIME ZONE 'UTC', "n"."updated_at" AT TIME ZONE 'UTC', n.email_verified IS TRUE OR n.phone_verified IS TRUE) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF c.id IS NOT NULL THEN
        PERFORM unification_sync_linked(c, c);
    ELSE
        INSERT INTO customers (id, user_id, email, "first_name", "last_name", "phone", "date_of_birth", "marketing_consent", "created_at", "updated_at", is_verified, is_active)
        VALUES (new_id, CASE WHEN NOT is_guest THEN n.id END, coalesce(n.email, ''), "n"."first_name", "n"."last_name", "n"."phone", "n"."date_of_birth", "n"."marketing_consent", "n"."created_at", "n"."updated_at",
            n.email_verified OR n.phone_verified, n.active)
        RETURNING * INTO c;
        INSERT INTO legacy_identities (customer_id, user_id, "case", position)
        VALUES (new_id, n.id,
            CASE WHEN NOT is_guest THEN 'linked' WHEN n.email IS NULL THEN 'separate' ELSE 'new_user' END, 1);
        PERFORM unification_sync_wrote(c, true);
    END IF;
    -- Logins that differ in case or white space alone, and guests whose address it was.
    IF unification_usable(unification_email(n.email)) THEN
        INSERT INTO merge_suggestions (profile_id, other_profile_id, reason)
        SELECT p.id, coalesce(o.merged_into_id, o.id), 'same_login'
        FROM users AS u JOIN profiles AS o ON o.user_id = u.id, profiles AS p
        WHERE p.user_id = n.id AND unification_email(u.email) = unification_email(n.email) AND u.id <> n.id
        ON CONFLICT DO NOTHING;
        INSERT INTO merge_suggestions (profile_id, other_profile_id, reason)
        SELECT o.id, p.id, 'unverified_address'
        FROM profiles AS o JOIN users AS u ON u.id = o.user_id, profiles AS p
        WHERE p.user_id = n.id AND o.contact_email = n.email AND u.email IS NULL AND o.merged_into_id IS NULL
        ON CONFLICT DO NOTHING;
    END IF;
    PERFORM unification_sync_session(n) WHERE unification_text(n.session_id) IS NOT NULL;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_users_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    n users;
    via text := current_setting('unified.via', true);
BEGIN
    PERFORM set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true);
    FOR n IN SELECT * FROM after LOOP
        PERFORM unification_sync_wrote(n, false);
        PERFORM unification_sync_users_arrived(n);
    END LOOP;
    PERFORM set_config('unification.sync', '', true), set_config('unified.via', coalesce(via, ''), true);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_as_legacy_has_it(n profiles) RETURNS profiles LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    found profiles;
BEGIN
    found.id := n.id;
    found.user_id := n.user_id;
    found.preferences := '{}';
    SELECT coalesce(sum(c."loyalty_points"), 0), coalesce(sum(c."total_spent"), 0), coalesce(sum(c."order_count"), 0) INTO found."loyalty_points", found."total_spent", found."order_count"
    FROM legacy_identities AS i JOIN customers AS c ON c.id = i.customer_id WHERE i.user_id = n.user_id;
    SELECT coalesce(sum(coalesce(cp.interaction_count, up.interaction_count)), 0) INTO found.interaction_count
    FROM legacy_attachments AS a
    LEFT JOIN customer_profiles AS cp ON a.source = 'customer_profiles' AND cp.customer_id = a.key
    LEFT JOIN user_profiles AS up ON a.source = 'user_profiles' AND up.id = unification_uuid(a.key)
    WHERE a.user_id = n.user_id;
    found."needs" := '[]';
    found."medical_conditions" := '[]';
    found."preferred_categories" := '[]';
    found."preferred_effects" := '[]';
    found."purchase_history" := '[]';
    found."tags" := '[]';
    RETURN found;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_profiles_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    n profiles;
    nothing profiles;
    person uuid;
    via text := current_setting('unified.via', true);
BEGIN
    FOR n IN SELECT * FROM after ORDER BY id LOOP
        person := unification_sync_person(n.id);
        nothing := unification_sync_as_legacy_has_it(n);
        PERFORM set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true);
        IF NOT unification_sync_spread(nothing, n, 'profiles', person) THEN
            PERFORM unification_sync_hand_over(person, 'profiles', to_jsonb(nothing), to_jsonb(n));
        END IF;
        PERFORM set_config('unification.sync', '', true), set_config('unified.via', coalesce(via, ''), true);
    END LOOP;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_said_before(person uuid, n user_profiles) RETURNS user_profiles
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    known profiles;
    result user_profiles;
BEGIN
    SELECT * INTO known FROM profiles WHERE id = person;
    IF (nullif(unification_text("known"."customer_type"), 'regular') IS NOT NULL) THEN
        IF (nullif(unification_text("n"."customer_type"), 'regular') IS NOT NULL) AND n."customer_type" IS DISTINCT FROM known."customer_type" THEN
            PERFORM unification_sync_left_out(person, 'customer_type', 'first', 'profiles', person::text, to_jsonb(known."customer_type"),
                'user_profiles', n.id::text, to_jsonb(n."customer_type"));
        END IF;
        result."customer_type" := n."customer_type";
    END IF;
    IF (unification_text("known"."experience_level") IS NOT NULL) THEN
        IF (unification_text("n"."experience_level") IS NOT NULL) AND n."experience_level" IS DISTINCT FROM known."experience_level" THEN
            PERFORM unification_sync_left_out(person, 'experience_level', 'first', 'profiles', person::text, to_jsonb(known."experience_level"),
                'user_profiles', n.id::text, to_jsonb(n."experience_level"));
        END IF;
        result."experience_level" := n."experience_level";
    END IF;
    IF (CASE WHEN jsonb_typeof("known"."price_range") = 'object' THEN unification_json("known"."price_range") END IS NOT NULL) THEN
        IF (CASE WHEN jsonb_typeof("n"."price_range") = 'object' THEN unification_json("n"."price_range") END IS NOT NULL) AND n."price_range" IS DISTINCT FROM known."price_range" THEN
            PERFORM unification_sync_left_out(person, 'price_range', 'first', 'profiles', person::text, to_jsonb(known."price_range"),
                'user_profiles', n.id::text, to_jsonb(n."price_range"));
        END IF;
        result."price_range" := n."price_range";
    END IF;
    IF (unification_text("known"."language") IS NOT NULL) THEN
        IF (unification_text("n"."language") IS NOT NULL) AND n."language" IS DISTINCT FROM known."language" THEN
            PERFORM unification_sync_left_out(person, 'language', 'first', 'profiles', person::text, to_jsonb(known."language"),
                'user_profiles', n.id::text, to_jsonb(n."language"));
        END IF;
        result."language" := n."language";
    END IF;
    IF (unification_text("known"."timezone") IS NOT NULL) THEN
        IF (unification_text("n"."timezone") IS NOT NULL) AND n."timezone" IS DISTINCT FROM known."timezone" THEN
            PERFORM unification_sync_left_out(person, 'timezone', 'first', 'profiles', person::text, to_jsonb(known."timezone"),
                'user_profiles', n.id::text, to_jsonb(n."timezone"));
        END IF;
        result."timezone" := n."timezone";
    END IF;
    RETURN result;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_customer_profiles_arrived(n "customer_profiles") RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    nothing "customer_profiles";
    owner uuid;
    person uuid;
    why text;
    was_there jsonb;
BEGIN
    SELECT a.user_id INTO owner FROM legacy_attachments AS a WHERE a.source = 'customer_profiles' AND a.key = n."customer_id"::text;
    IF owner IS NULL THEN
        SELECT i.user_id INTO owner FROM legacy_identities AS i
        WHERE i.customer_id = unification_uuid(n.customer_id::text);
        why := 'no_customer';
        IF owner IS NULL THEN
            INSERT INTO legacy_attachments (source, key, reason) VALUES ('customer_profiles', n."customer_id"::text, why)
            ON CONFLICT (source, key) DO UPDATE SET reason = EXCLUDED.reason;
            RETURN;
        END IF;
        PERFORM unification_sync_attach('customer_profiles', n."customer_id"::text, owner);
    ELSE
        -- It was deleted, and comes back.
        SELECT d.row INTO was_there FROM legacy_deletions AS d
        WHERE d.source = 'customer_profiles' AND d.key = n."customer_id"::text ORDER BY d.id DESC LIMIT 1;
        DELETE FROM legacy_deletions AS d WHERE d.source = 'customer_profiles' AND d.key = n."customer_id"::text;
        nothing := coalesce(jsonb_populate_record(NULL::"customer_profiles", was_there), nothing);
    END IF;
    SELECT coalesce(p.merged_into_id, p.id) INTO person FROM profiles AS p WHERE p.user_id = owner;
    person := unification_sync_person(person);

    IF NOT unification_sync_from_customer_profiles(person, nothing, n) THEN
        PERFORM unification_sync_hand_over(person, 'customer_profiles', to_jsonb(nothing), to_jsonb(n));
    ELSIF EXISTS (SELECT FROM legacy_handovers) THEN
        PERFORM unification_sync_settle(person);
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION unification_sync_customer_profiles_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    n "customer_profiles";
    via text := current_setting('unified.via', true);
BEGIN
    PERFORM set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true);
    FOR n IN SELECT * FROM after AS r ORDER BY (SELECT coalesce(p.merged_into_id, p.id) FROM legacy_identities AS i JOIN profiles AS p ON p.user_id = i.user_id WHERE i.customer_id = unification_uuid(r.customer_id::text)), r."customer_id" LOOP
        PERFORM unification_sync_wrote(n, false);
        PERFORM unification_sync_customer_profiles_arrived(n);
    END LOOP;
    PERFORM set_config('unification.sync', '', true), set_config('unified.via', coalesce(via, ''), true);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_user_profiles_arrived(n "user_profiles") RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    nothing "user_profiles";
    owner uuid;
    person uuid;
    why text;
    was_there jsonb;
BEGIN
    SELECT a.user_id INTO owner FROM legacy_attachments AS a WHERE a.source = 'user_profiles' AND a.key = n."id"::text;
    IF owner IS NULL THEN
        SELECT CASE WHEN count(*) = 1 THEN (array_agg(u.id))[1] END,
            CASE WHEN count(*) > 1 THEN 'several' WHEN count(*) = 0 THEN 'nobody' END
        INTO owner, why FROM users AS u
        WHERE u.session_id = n.session_id AND unification_text(n.session_id) IS NOT NULL;
        IF owner IS NULL AND why = 'nobody' AND unification_usable(unification_email(n.email)) THEN
            SELECT CASE WHEN count(*) = 1 AND bool_and(u.email_verified IS TRUE) THEN (array_agg(u.id))[1] END,
                CASE WHEN count(*) > 1 THEN 'several' WHEN count(*) = 0 THEN 'nobody' ELSE 'unverified' END
            INTO owner, why FROM users AS u WHERE unification_email(u.email) = unification_email(n.email);
        END IF;
        IF owner IS NULL THEN
            INSERT INTO legacy_attachments (source, key, reason) VALUES ('user_profiles', n."id"::text, why)
            ON CONFLICT (source, key) DO UPDATE SET reason = EXCLUDED.reason;
            RETURN;
        END IF;
        PERFORM unification_sync_attach('user_profiles', n."id"::text, owner);
    ELSE
        -- It was deleted, and comes back.
        SELECT d.row INTO was_there FROM legacy_deletions AS d
        WHERE d.source = 'user_profiles' AND d.key = n."id"::text ORDER BY d.id DESC LIMIT 1;
        DELETE FROM legacy_deletions AS d WHERE d.source = 'user_profiles' AND d.key = n."id"::text;
        nothing := coalesce(jsonb_populate_record(NULL::"user_profiles", was_there), nothing);
    END IF;
    SELECT coalesce(p.merged_into_id, p.id) INTO person FROM profiles AS p WHERE p.user_id = owner;
    person := unification_sync_person(person);
    IF was_there IS NULL THEN
        nothing := unification_sync_said_before(person, n);
    END IF;
    IF NOT unification_sync_from_user_profiles(person, nothing, n) THEN
        PERFORM unification_sync_hand_over(person, 'user_profiles', to_jsonb(nothing), to_jsonb(n));
    ELSIF EXISTS (SELECT FROM legacy_handovers) THEN
        PERFORM unification_sync_settle(person);
    END IF;
END
$$;
CREATE OR REPLACE FUNCTION unification_sync_user_profiles_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    n "user_profiles";
    via text := current_setting('unified.via', true);
BEGIN
    PERFORM set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true);
    FOR n IN SELECT * FROM after AS r ORDER BY (SELECT min(coalesce(p.merged_into_id, p.id)::text) FROM users AS u JOIN profiles AS p ON p.user_id = u.id WHERE u.session_id = r.session_id), r."id" LOOP
        PERFORM unification_sync_wrote(n, false);
        PERFORM unification_sync_user_profiles_arrived(n);
    END LOOP;
    PERFORM set_config('unification.sync', '', true), set_config('unified.via', coalesce(via, ''), true);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_session(n users) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF unification_text(n.session_id) IS NOT NULL THEN
        PERFORM unification_sync_user_profiles_arrived(s) FROM user_profiles AS s
        WHERE s.session_id = n.session_id AND NOT EXISTS (
            SELECT FROM legacy_attachments AS a
            WHERE a.source = 'user_profiles' AND a.key = s.id::text AND a.user_id IS NOT NULL);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_customers_key_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    via text := current_setting('unified.via', true);
BEGIN
    PERFORM unification_sync_left(OLD), unification_sync_wrote(NEW, false);
    PERFORM set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true);
    INSERT INTO legacy_identities (customer_id, user_id, "case", position, reason)
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
    END IF;
    PERFORM set_config('unification.sync', '', true), set_config('unified.via', coalesce(via, ''), true);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_customer_profiles_key_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    via text := current_setting('unified.via', true);
BEGIN
    PERFORM unification_sync_left(OLD), unification_sync_wrote(NEW, false);
    PERFORM set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true);
    IF unification_uuid(OLD.customer_id) = unification_uuid(NEW.customer_id) THEN
        PERFORM unification_sync_attach(a.source, NEW.customer_id, a.user_id)
        FROM legacy_attachments AS a WHERE a.source = 'customer_profiles' AND a.key = OLD.customer_id;
        PERFORM unification_sync_customer_profiles_changed(OLD, NEW);
    ELSE
        PERFORM unification_sync_customer_profiles_arrived(NEW);
    END IF;
    PERFORM set_config('unification.sync', '', true), set_config('unified.via', coalesce(via, ''), true);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_user_profiles_key_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    via text := current_setting('unified.via', true);
BEGIN
    PERFORM unification_sync_left(OLD), unification_sync_wrote(NEW, false);
    PERFORM set_config('unification.sync', 'on', true), set_config('unified.via', 'sync', true);
    PERFORM unification_sync_attach(a.source, NEW.id::text, a.user_id)
    FROM legacy_attachments AS a
    WHERE a.source = 'user_profiles' AND a.key = OLD.id::text AND a.user_id IS NOT NULL;
    PERFORM unification_sync_user_profiles_changed(OLD, NEW);
    PERFORM set_config('unification.sync', '', true), set_config('unified.via', coalesce(via, ''), true);
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION unification_sync_order_owner(customer uuid) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    owner uuid;
    survivor uuid;
BEGIN
    SELECT p.user_id, p.merged_into_id INTO owner, survivor
    FROM legacy_identities AS i JOIN profiles AS p ON p.user_id = i.user_id
    WHERE i.customer_id = customer FOR KEY SHARE OF p;
    IF survivor IS NOT NULL THEN
        SELECT user_id INTO owner FROM profiles WHERE id = survivor;
    END IF;
    RETURN owner;
END
$$;

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
            NEW.customer_id := (SELECT own.id FROM legacy_identities AS known JOIN customers AS own ON own.id = known.customer_id
        WHERE known.user_id = NEW.user_id ORDER BY (own.user_id = NEW.user_id) IS NOT TRUE, known.position LIMIT 1);
        END IF;
        RETURN NEW;
    END IF;
    SELECT p.user_id, p.merged_into_id INTO owner, survivor
    FROM legacy_identities AS i JOIN profiles AS p ON p.user_id = i.user_id
    WHERE i.customer_id = NEW.customer_id FOR KEY SHARE OF p;
    IF survivor IS NOT NULL THEN
        SELECT user_id INTO owner FROM profiles WHERE id = survivor;
    END IF;
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
                NEW.customer_id := coalesce((SELECT own.id FROM legacy_identities AS known JOIN customers AS own ON own.id = known.customer_id
        WHERE known.user_id = NEW.user_id ORDER BY (own.user_id = NEW.user_id) IS NOT TRUE, known.position LIMIT 1), NEW.customer_id);
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
$$;

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
$$;

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
$$;

CREATE TRIGGER "unification_sync_inserted" AFTER INSERT ON "users" REFERENCING NEW TABLE AS after FOR EACH STATEMENT WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_users_inserted"();

CREATE TRIGGER "unification_sync_updated" AFTER UPDATE ON "users" REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_users_updated"();

CREATE TRIGGER "unification_sync_deleted" AFTER DELETE ON "users" REFERENCING OLD TABLE AS before FOR EACH STATEMENT WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_users_deleted"();

CREATE TRIGGER "unification_sync_inserted" AFTER INSERT ON "customers" REFERENCING NEW TABLE AS after FOR EACH STATEMENT WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_customers_inserted"();

CREATE TRIGGER "unification_sync_updated" AFTER UPDATE ON "customers" REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_customers_updated"();

CREATE TRIGGER "unification_sync_deleted" AFTER DELETE ON "customers" REFERENCING OLD TABLE AS before FOR EACH STATEMENT WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_customers_deleted"();

CREATE TRIGGER "unification_sync_inserted" AFTER INSERT ON "customer_profiles" REFERENCING NEW TABLE AS after FOR EACH STATEMENT WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_customer_profiles_inserted"();

CREATE TRIGGER "unification_sync_updated" AFTER UPDATE ON "customer_profiles" REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_customer_profiles_updated"();

CREATE TRIGGER "unification_sync_deleted" AFTER DELETE ON "customer_profiles" REFERENCING OLD TABLE AS before FOR EACH STATEMENT WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_customer_profiles_deleted"();

CREATE TRIGGER "unification_sync_inserted" AFTER INSERT ON "user_profiles" REFERENCING NEW TABLE AS after FOR EACH STATEMENT WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_user_profiles_inserted"();

CREATE TRIGGER "unification_sync_updated" AFTER UPDATE ON "user_profiles" REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_user_profiles_updated"();

CREATE TRIGGER "unification_sync_deleted" AFTER DELETE ON "user_profiles" REFERENCING OLD TABLE AS before FOR EACH STATEMENT WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_user_profiles_deleted"();

CREATE TRIGGER "unification_sync_inserted" AFTER INSERT ON "profiles" REFERENCING NEW TABLE AS after FOR EACH STATEMENT WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_profiles_inserted"();

CREATE TRIGGER "unification_sync_updated" AFTER UPDATE ON "profiles" REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_profiles_updated"();

CREATE TRIGGER "unification_sync_deleted" AFTER DELETE ON "orders" REFERENCING OLD TABLE AS before FOR EACH STATEMENT WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_orders_deleted"();

CREATE TRIGGER "unification_sync_user_deleted" BEFORE DELETE ON users FOR EACH ROW WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_user_deleted"();

CREATE TRIGGER "unification_sync_free_address" BEFORE INSERT OR UPDATE OF email ON users FOR EACH ROW WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_free_address"();

CREATE TRIGGER "unification_sync_order_written" BEFORE INSERT OR UPDATE OF user_id, customer_id ON orders FOR EACH ROW WHEN (current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_order_written"();

CREATE CONSTRAINT TRIGGER "unification_sync_order_left_over" AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.user_id IS NULL AND NEW.customer_id IS NOT NULL) EXECUTE FUNCTION "unification_sync_order_left_over"();

CREATE TRIGGER "unification_sync_updated" AFTER UPDATE ON orders FOR EACH ROW WHEN ((OLD.user_id, OLD.customer_id, OLD.total_amount) IS DISTINCT FROM (NEW.user_id, NEW.customer_id, NEW.total_amount)) EXECUTE FUNCTION "unification_sync_orders_updated"();

CREATE TRIGGER "unification_sync_key_changed" AFTER UPDATE OF id ON customers FOR EACH ROW WHEN (OLD."id" <> NEW."id" AND current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_customers_key_changed"();

CREATE TRIGGER "unification_sync_key_changed" AFTER UPDATE OF customer_id ON customer_profiles FOR EACH ROW WHEN (OLD."customer_id" <> NEW."customer_id" AND current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_customer_profiles_key_changed"();

CREATE TRIGGER "unification_sync_key_changed" AFTER UPDATE OF id ON user_profiles FOR EACH ROW WHEN (OLD."id" <> NEW."id" AND current_setting('unification.sync', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION "unification_sync_user_profiles_key_changed"();

CREATE TRIGGER "unification_sync_truncated" BEFORE TRUNCATE ON "users" FOR EACH STATEMENT EXECUTE FUNCTION "unification_sync_truncated"();

CREATE TRIGGER "unification_sync_truncated" BEFORE TRUNCATE ON "customers" FOR EACH STATEMENT EXECUTE FUNCTION "unification_sync_truncated"();

CREATE TRIGGER "unification_sync_truncated" BEFORE TRUNCATE ON "customer_profiles" FOR EACH STATEMENT EXECUTE FUNCTION "unification_sync_truncated"();

CREATE TRIGGER "unification_sync_truncated" BEFORE TRUNCATE ON "user_profiles" FOR EACH STATEMENT EXECUTE FUNCTION "unification_sync_truncated"();

CREATE TRIGGER "unification_sync_truncated" BEFORE TRUNCATE ON "orders" FOR EACH STATEMENT EXECUTE FUNCTION "unification_sync_truncated"();
