-- Every value that lost (unification/conflicts.py). INSERT runs once per range of each source.
-- Rendered by `manage.py render_sql` for a current installation. To be read, not run.

-- losing_cells of users, a work table
SELECT src.ctid AS place, p.id AS profile_id, p.user_id, x.field, x.path, x.rule, x.chosen_value, x.other_value,
        src.id::text AS other_row, x.winner
    FROM "backup_users" AS src
    JOIN profiles AS p ON p.user_id = src.id
    CROSS JOIN LATERAL (
        SELECT 'first_name', '{}'::text[], 'first', to_jsonb("p"."first_name"), to_jsonb("src"."first_name"), p.id::text WHERE ("src"."first_name" <> "p"."first_name") IS NOT FALSE AND unification_text("src"."first_name") IS NOT NULL AND unification_text("src"."first_name") IS DISTINCT FROM "p"."first_name"
        UNION ALL SELECT 'last_name', '{}'::text[], 'first', to_jsonb("p"."last_name"), to_jsonb("src"."last_name"), p.id::text WHERE ("src"."last_name" <> "p"."last_name") IS NOT FALSE AND unification_text("src"."last_name") IS NOT NULL AND unification_text("src"."last_name") IS DISTINCT FROM "p"."last_name"
        UNION ALL SELECT 'phone', '{}'::text[], 'first', to_jsonb("p"."phone"), to_jsonb("src"."phone"), p.id::text WHERE ("src"."phone" <> "p"."phone") IS NOT FALSE AND unification_text("src"."phone") IS NOT NULL AND unification_text("src"."phone") IS DISTINCT FROM "p"."phone"
        UNION ALL SELECT 'date_of_birth', '{}'::text[], 'first', to_jsonb("p"."date_of_birth"), to_jsonb("src"."date_of_birth"), p.id::text WHERE ("src"."date_of_birth" <> "p"."date_of_birth") IS NOT FALSE AND "src"."date_of_birth" IS NOT NULL AND "src"."date_of_birth" IS DISTINCT FROM "p"."date_of_birth"
        UNION ALL SELECT 'marketing_consent', '{}'::text[], 'consent', to_jsonb("p"."marketing_consent"), to_jsonb("src"."marketing_consent"), NULL::text WHERE "src"."marketing_consent" AND NOT "p"."marketing_consent"
    ) AS x (field, path, rule, chosen_value, other_value, winner)
    WHERE true AND ((("src"."first_name" <> "p"."first_name") IS NOT FALSE AND unification_text("src"."first_name") IS NOT NULL AND unification_text("src"."first_name") IS DISTINCT FROM "p"."first_name")
        OR (("src"."last_name" <> "p"."last_name") IS NOT FALSE AND unification_text("src"."last_name") IS NOT NULL AND unification_text("src"."last_name") IS DISTINCT FROM "p"."last_name")
        OR (("src"."phone" <> "p"."phone") IS NOT FALSE AND unification_text("src"."phone") IS NOT NULL AND unification_text("src"."phone") IS DISTINCT FROM "p"."phone")
        OR (("src"."date_of_birth" <> "p"."date_of_birth") IS NOT FALSE AND "src"."date_of_birth" IS NOT NULL AND "src"."date_of_birth" IS DISTINCT FROM "p"."date_of_birth")
        OR ("src"."marketing_consent" AND NOT "p"."marketing_consent"));

-- new_conflicts of users, a work table
SELECT l.place, l.profile_id, l.field, CASE WHEN l.path = '{}' THEN '' ELSE unification_pointer(l.path) END AS path,
        l.rule, l.chosen_value,
        CASE WHEN l.rule = 'login' THEN 'users' WHEN l.winner IS NOT NULL THEN 'customers' ELSE w.source
            END AS chosen_table,
        coalesce(l.winner, w.key) AS chosen_row, l.other_value, 'users' AS other_table, l.other_row
    FROM losing_cells AS l
    LEFT JOIN (
    SELECT DISTINCT ON (loser) loser, source, key FROM (
        SELECT l.ctid, 'customers', c.id::text, CASE i."case" WHEN 'linked' THEN 0 ELSE 2 END, i.position FROM losing_cells AS l JOIN legacy_identities AS i ON i.user_id = l.user_id JOIN "backup_customers" AS c ON c.id = i.customer_id WHERE true AND l.winner IS NULL AND l.field = ANY('{first_name,last_name,phone,date_of_birth,marketing_consent}') AND CASE WHEN l.rule = 'block' THEN l.chosen_value IS NOT NULL AND (unification_address("c"."address") IS NOT NULL OR unification_text("c"."city") IS NOT NULL OR unification_text("c"."state") IS NOT NULL OR unification_text("c"."postal_code") IS NOT NULL OR nullif(unification_text("c"."country"), 'USA') IS NOT NULL) ELSE CASE l.field WHEN 'first_name' THEN to_jsonb("c"."first_name") WHEN 'last_name' THEN to_jsonb("c"."last_name") WHEN 'phone' THEN to_jsonb("c"."phone") WHEN 'date_of_birth' THEN to_jsonb("c"."date_of_birth") WHEN 'marketing_consent' THEN to_jsonb("c"."marketing_consent") END #> l.path = l.chosen_value END
        UNION ALL SELECT l.ctid, 'users', u.id::text, 1, 0 FROM losing_cells AS l JOIN "backup_users" AS u ON u.id = l.user_id WHERE NOT EXISTS (SELECT FROM legacy_identities AS made WHERE made.user_id = u.id AND made."case" IN ('new_user', 'separate')) AND l.winner IS NULL AND l.field = ANY('{first_name,last_name,phone,date_of_birth,marketing_consent}') AND CASE l.field WHEN 'first_name' THEN to_jsonb("u"."first_name") WHEN 'last_name' THEN to_jsonb("u"."last_name") WHEN 'phone' THEN to_jsonb("u"."phone") WHEN 'date_of_birth' THEN to_jsonb("u"."date_of_birth") WHEN 'marketing_consent' THEN to_jsonb("u"."marketing_consent") END #> l.path = l.chosen_value
    ) AS rivals (loser, source, key, rank, position)
    ORDER BY loser, rank, position
    ) AS w ON w.loser = l.ctid;

-- losing_cells of customers, a work table
SELECT src.ctid AS place, p.id AS profile_id, p.user_id, x.field, x.path, x.rule, x.chosen_value, x.other_value,
        src.id::text AS other_row, x.winner
    FROM "backup_customers" AS src
    JOIN legacy_identities AS i ON i.customer_id = src.id
    JOIN profiles AS p ON p.user_id = i.user_id
    LEFT JOIN users AS login ON login.id = i.user_id
    CROSS JOIN LATERAL (
        SELECT 'first_name', '{}'::text[], 'first', to_jsonb("p"."first_name"), to_jsonb("src"."first_name"), NULL::text WHERE ("src"."first_name" <> "p"."first_name") IS NOT FALSE AND unification_text("src"."first_name") IS NOT NULL AND unification_text("src"."first_name") IS DISTINCT FROM "p"."first_name"
        UNION ALL SELECT 'last_name', '{}'::text[], 'first', to_jsonb("p"."last_name"), to_jsonb("src"."last_name"), NULL::text WHERE ("src"."last_name" <> "p"."last_name") IS NOT FALSE AND unification_text("src"."last_name") IS NOT NULL AND unification_text("src"."last_name") IS DISTINCT FROM "p"."last_name"
        UNION ALL SELECT 'phone', '{}'::text[], 'first', to_jsonb("p"."phone"), to_jsonb("src"."phone"), NULL::text WHERE ("src"."phone" <> "p"."phone") IS NOT FALSE AND unification_text("src"."phone") IS NOT NULL AND unification_text("src"."phone") IS DISTINCT FROM "p"."phone"
        UNION ALL SELECT 'date_of_birth', '{}'::text[], 'first', to_jsonb("p"."date_of_birth"), to_jsonb("src"."date_of_birth"), NULL::text WHERE ("src"."date_of_birth" <> "p"."date_of_birth") IS NOT FALSE AND "src"."date_of_birth" IS NOT NULL AND "src"."date_of_birth" IS DISTINCT FROM "p"."date_of_birth"
        UNION ALL SELECT 'address', '{}'::text[], 'block', to_jsonb("p"."address"), to_jsonb("src"."address"), NULL::text WHERE ("src"."address" <> "p"."address") IS NOT FALSE AND unification_address("src"."address") IS NOT NULL AND unification_address("src"."address") IS DISTINCT FROM "p"."address"
        UNION ALL SELECT 'city', '{}'::text[], 'block', to_jsonb("p"."city"), to_jsonb("src"."city"), NULL::text WHERE ("src"."city" <> "p"."city") IS NOT FALSE AND unification_text("src"."city") IS NOT NULL AND unification_text("src"."city") IS DISTINCT FROM "p"."city"
        UNION ALL SELECT 'state', '{}'::text[], 'block', to_jsonb("p"."state"), to_jsonb("src"."state"), NULL::text WHERE ("src"."state" <> "p"."state") IS NOT FALSE AND unification_text("src"."state") IS NOT NULL AND unification_text("src"."state") IS DISTINCT FROM "p"."state"
        UNION ALL SELECT 'postal_code', '{}'::text[], 'block', to_jsonb("p"."postal_code"), to_jsonb("src"."postal_code"), NULL::text WHERE ("src"."postal_code" <> "p"."postal_code") IS NOT FALSE AND unification_text("src"."postal_code") IS NOT NULL AND unification_text("src"."postal_code") IS DISTINCT FROM "p"."postal_code"
        UNION ALL SELECT 'country', '{}'::text[], 'block', to_jsonb("p"."country"), to_jsonb("src"."country"), NULL::text WHERE ("src"."country" <> "p"."country") IS NOT FALSE AND unification_text("src"."country") <> 'USA' AND unification_text("src"."country") IS DISTINCT FROM "p"."country"
        UNION ALL SELECT 'customer_type', '{}'::text[], 'first', to_jsonb("p"."customer_type"), to_jsonb("src"."customer_type"), NULL::text WHERE ("src"."customer_type" <> "p"."customer_type") IS NOT FALSE AND unification_text("src"."customer_type") <> 'regular' AND unification_text("src"."customer_type") IS DISTINCT FROM "p"."customer_type"
        UNION ALL SELECT 'preferred_payment_method', '{}'::text[], 'first', to_jsonb("p"."preferred_payment_method"), to_jsonb("src"."preferred_payment_method"), NULL::text WHERE ("src"."preferred_payment_method" <> "p"."preferred_payment_method") IS NOT FALSE AND unification_text("src"."preferred_payment_method") IS NOT NULL AND unification_text("src"."preferred_payment_method") IS DISTINCT FROM "p"."preferred_payment_method"
        UNION ALL SELECT 'marketing_consent', '{}'::text[], 'consent', to_jsonb("p"."marketing_consent"), to_jsonb("src"."marketing_consent"), NULL::text WHERE "src"."marketing_consent" AND NOT "p"."marketing_consent"
        UNION ALL SELECT 'sms_consent', '{}'::text[], 'consent', to_jsonb("p"."sms_consent"), to_jsonb("src"."sms_consent"), NULL::text WHERE "src"."sms_consent" AND NOT "p"."sms_consent"
        UNION ALL SELECT 'tags', '{}'::text[], 'shape', to_jsonb("p"."tags"), to_jsonb("src"."tags"), NULL::text WHERE jsonb_typeof("src"."tags") <> 'array' AND unification_json("src"."tags") IS NOT NULL
        UNION ALL SELECT 'is_verified', '{}'::text[], 'consent', to_jsonb("p"."is_verified"), to_jsonb("src"."is_verified"), NULL::text WHERE "src"."is_verified" AND NOT "p"."is_verified"
        UNION ALL SELECT 'users.active', '{}'::text[], 'login', to_jsonb(login.active), to_jsonb(src.is_active), login.id::text WHERE src.is_active IS NOT NULL AND src.is_active IS DISTINCT FROM login.active
    ) AS x (field, path, rule, chosen_value, other_value, winner)
    WHERE true AND ((("src"."first_name" <> "p"."first_name") IS NOT FALSE AND unification_text("src"."first_name") IS NOT NULL AND unification_text("src"."first_name") IS DISTINCT FROM "p"."first_name")
        OR (("src"."last_name" <> "p"."last_name") IS NOT FALSE AND unification_text("src"."last_name") IS NOT NULL AND unification_text("src"."last_name") IS DISTINCT FROM "p"."last_name")
        OR (("src"."phone" <> "p"."phone") IS NOT FALSE AND unification_text("src"."phone") IS NOT NULL AND unification_text("src"."phone") IS DISTINCT FROM "p"."phone")
        OR (("src"."date_of_birth" <> "p"."date_of_birth") IS NOT FALSE AND "src"."date_of_birth" IS NOT NULL AND "src"."date_of_birth" IS DISTINCT FROM "p"."date_of_birth")
        OR (("src"."address" <> "p"."address") IS NOT FALSE AND unification_address("src"."address") IS NOT NULL AND unification_address("src"."address") IS DISTINCT FROM "p"."address")
        OR (("src"."city" <> "p"."city") IS NOT FALSE AND unification_text("src"."city") IS NOT NULL AND unification_text("src"."city") IS DISTINCT FROM "p"."city")
        OR (("src"."state" <> "p"."state") IS NOT FALSE AND unification_text("src"."state") IS NOT NULL AND unification_text("src"."state") IS DISTINCT FROM "p"."state")
        OR (("src"."postal_code" <> "p"."postal_code") IS NOT FALSE AND unification_text("src"."postal_code") IS NOT NULL AND unification_text("src"."postal_code") IS DISTINCT FROM "p"."postal_code")
        OR (("src"."country" <> "p"."country") IS NOT FALSE AND unification_text("src"."country") <> 'USA' AND unification_text("src"."country") IS DISTINCT FROM "p"."country")
        OR (("src"."customer_type" <> "p"."customer_type") IS NOT FALSE AND unification_text("src"."customer_type") <> 'regular' AND unification_text("src"."customer_type") IS DISTINCT FROM "p"."customer_type")
        OR (("src"."preferred_payment_method" <> "p"."preferred_payment_method") IS NOT FALSE AND unification_text("src"."preferred_payment_method") IS NOT NULL AND unification_text("src"."preferred_payment_method") IS DISTINCT FROM "p"."preferred_payment_method")
        OR ("src"."marketing_consent" AND NOT "p"."marketing_consent")
        OR ("src"."sms_consent" AND NOT "p"."sms_consent")
        OR (jsonb_typeof("src"."tags") <> 'array' AND unification_json("src"."tags") IS NOT NULL)
        OR ("src"."is_verified" AND NOT "p"."is_verified")
        OR (src.is_active IS NOT NULL AND src.is_active IS DISTINCT FROM login.active));

-- new_conflicts of customers, a work table
SELECT l.place, l.profile_id, l.field, CASE WHEN l.path = '{}' THEN '' ELSE unification_pointer(l.path) END AS path,
        l.rule, l.chosen_value,
        CASE WHEN l.rule = 'login' THEN 'users' WHEN l.winner IS NOT NULL THEN 'customers' ELSE w.source
            END AS chosen_table,
        coalesce(l.winner, w.key) AS chosen_row, l.other_value, 'customers' AS other_table, l.other_row
    FROM losing_cells AS l
    LEFT JOIN (
    SELECT DISTINCT ON (loser) loser, source, key FROM (
        SELECT l.ctid, 'customers', c.id::text, CASE i."case" WHEN 'linked' THEN 0 ELSE 2 END, i.position FROM losing_cells AS l JOIN legacy_identities AS i ON i.user_id = l.user_id JOIN "backup_customers" AS c ON c.id = i.customer_id WHERE true AND l.winner IS NULL AND l.field = ANY('{first_name,last_name,phone,date_of_birth,address,city,state,postal_code,country,customer_type,preferred_payment_method,marketing_consent,sms_consent,tags,is_verified}') AND CASE WHEN l.rule = 'block' THEN l.chosen_value IS NOT NULL AND (unification_address("c"."address") IS NOT NULL OR unification_text("c"."city") IS NOT NULL OR unification_text("c"."state") IS NOT NULL OR unification_text("c"."postal_code") IS NOT NULL OR nullif(unification_text("c"."country"), 'USA') IS NOT NULL) ELSE CASE l.field WHEN 'first_name' THEN to_jsonb("c"."first_name") WHEN 'last_name' THEN to_jsonb("c"."last_name") WHEN 'phone' THEN to_jsonb("c"."phone") WHEN 'date_of_birth' THEN to_jsonb("c"."date_of_birth") WHEN 'address' THEN to_jsonb("c"."address") WHEN 'city' THEN to_jsonb("c"."city") WHEN 'state' THEN to_jsonb("c"."state") WHEN 'postal_code' THEN to_jsonb("c"."postal_code") WHEN 'country' THEN to_jsonb("c"."country") WHEN 'customer_type' THEN to_jsonb("c"."customer_type") WHEN 'preferred_payment_method' THEN to_jsonb("c"."preferred_payment_method") WHEN 'marketing_consent' THEN to_jsonb("c"."marketing_consent") WHEN 'sms_consent' THEN to_jsonb("c"."sms_consent") WHEN 'tags' THEN to_jsonb("c"."tags") WHEN 'is_verified' THEN to_jsonb("c"."is_verified") END #> l.path = l.chosen_value END
        UNION ALL SELECT l.ctid, 'users', u.id::text, 1, 0 FROM losing_cells AS l JOIN "backup_users" AS u ON u.id = l.user_id WHERE NOT EXISTS (SELECT FROM legacy_identities AS made WHERE made.user_id = u.id AND made."case" IN ('new_user', 'separate')) AND l.winner IS NULL AND l.field = ANY('{first_name,last_name,phone,date_of_birth,marketing_consent}') AND CASE l.field WHEN 'first_name' THEN to_jsonb("u"."first_name") WHEN 'last_name' THEN to_jsonb("u"."last_name") WHEN 'phone' THEN to_jsonb("u"."phone") WHEN 'date_of_birth' THEN to_jsonb("u"."date_of_birth") WHEN 'marketing_consent' THEN to_jsonb("u"."marketing_consent") END #> l.path = l.chosen_value
        UNION ALL SELECT l.ctid, 'user_profiles', a.key, 3, a.position FROM losing_cells AS l JOIN legacy_attachments AS a ON a.user_id = l.user_id AND a.source = 'user_profiles' JOIN "backup_user_profiles" AS up ON up.id = unification_uuid(a.key) WHERE true AND l.winner IS NULL AND l.field = ANY('{customer_type}') AND CASE l.field WHEN 'customer_type' THEN to_jsonb("up"."customer_type") END #> l.path = l.chosen_value
    ) AS rivals (loser, source, key, rank, position)
    ORDER BY loser, rank, position
    ) AS w ON w.loser = l.ctid;

-- losing_cells of customer_profiles, a work table
SELECT src.ctid AS place, p.id AS profile_id, p.user_id, x.field, x.path, x.rule, x.chosen_value, x.other_value,
        src.customer_id::text AS other_row, x.winner
    FROM "backup_customer_profiles" AS src
    JOIN legacy_attachments AS a ON a.source = 'customer_profiles' AND a.key = src.customer_id
    JOIN profiles AS p ON p.user_id = a.user_id
    CROSS JOIN LATERAL (
        SELECT 'preferences', '{}'::text[], 'shape', to_jsonb("p"."preferences"), to_jsonb("src"."preferences"), NULL::text WHERE jsonb_typeof("src"."preferences") <> 'object' AND unification_json("src"."preferences") IS NOT NULL
        UNION ALL SELECT 'purchase_history', '{}'::text[], 'shape', to_jsonb("p"."purchase_history"), to_jsonb("src"."purchase_history"), NULL::text WHERE jsonb_typeof("src"."purchase_history") <> 'array' AND unification_json("src"."purchase_history") IS NOT NULL
        UNION ALL
        SELECT 'preferences', l.path, 'merge', l.chosen, l.other, NULL
        FROM unification_lost("src"."preferences", "p"."preferences") AS l
        WHERE jsonb_typeof("src"."preferences") = 'object' AND "src"."preferences" <> "p"."preferences"
    ) AS x (field, path, rule, chosen_value, other_value, winner)
    WHERE true AND ((jsonb_typeof("src"."preferences") <> 'object' AND unification_json("src"."preferences") IS NOT NULL)
        OR (jsonb_typeof("src"."purchase_history") <> 'array' AND unification_json("src"."purchase_history") IS NOT NULL)
        OR ("src"."preferences" <> "p"."preferences" AND jsonb_typeof("src"."preferences") = 'object'));

-- new_conflicts of customer_profiles, a work table
SELECT l.place, l.profile_id, l.field, CASE WHEN l.path = '{}' THEN '' ELSE unification_pointer(l.path) END AS path,
        l.rule, l.chosen_value,
        CASE WHEN l.rule = 'login' THEN 'users' WHEN l.winner IS NOT NULL THEN 'customers' ELSE w.source
            END AS chosen_table,
        coalesce(l.winner, w.key) AS chosen_row, l.other_value, 'customer_profiles' AS other_table, l.other_row
    FROM losing_cells AS l
    LEFT JOIN (
    SELECT DISTINCT ON (loser) loser, source, key FROM (
        SELECT l.ctid, 'customer_profiles', a.key, 3, a.position FROM losing_cells AS l JOIN legacy_attachments AS a ON a.user_id = l.user_id AND a.source = 'customer_profiles' JOIN "backup_customer_profiles" AS cp ON cp.customer_id = a.key WHERE true AND l.winner IS NULL AND l.field = ANY('{preferences,purchase_history}') AND CASE l.field WHEN 'preferences' THEN to_jsonb("cp"."preferences") WHEN 'purchase_history' THEN to_jsonb("cp"."purchase_history") END #> l.path = l.chosen_value
        UNION ALL SELECT l.ctid, 'user_profiles', a.key, 3, a.position FROM losing_cells AS l JOIN legacy_attachments AS a ON a.user_id = l.user_id AND a.source = 'user_profiles' JOIN "backup_user_profiles" AS up ON up.id = unification_uuid(a.key) WHERE true AND l.winner IS NULL AND l.field = ANY('{preferences,purchase_history}') AND CASE l.field WHEN 'preferences' THEN to_jsonb("up"."preferences") WHEN 'purchase_history' THEN to_jsonb("up"."purchase_history") END #> l.path = l.chosen_value
    ) AS rivals (loser, source, key, rank, position)
    ORDER BY loser, rank, position
    ) AS w ON w.loser = l.ctid;

-- losing_cells of user_profiles, a work table
SELECT src.ctid AS place, p.id AS profile_id, p.user_id, x.field, x.path, x.rule, x.chosen_value, x.other_value,
        src.id::text AS other_row, x.winner
    FROM "backup_user_profiles" AS src
    JOIN legacy_attachments AS a ON a.source = 'user_profiles' AND a.key = src.id::text
    JOIN profiles AS p ON p.user_id = a.user_id
    CROSS JOIN LATERAL (
        SELECT 'customer_type', '{}'::text[], 'first', to_jsonb("p"."customer_type"), to_jsonb("src"."customer_type"), NULL::text WHERE ("src"."customer_type" <> "p"."customer_type") IS NOT FALSE AND unification_text("src"."customer_type") <> 'regular' AND unification_text("src"."customer_type") IS DISTINCT FROM "p"."customer_type"
        UNION ALL SELECT 'preferences', '{}'::text[], 'shape', to_jsonb("p"."preferences"), to_jsonb("src"."preferences"), NULL::text WHERE jsonb_typeof("src"."preferences") <> 'object' AND unification_json("src"."preferences") IS NOT NULL
        UNION ALL SELECT 'needs', '{}'::text[], 'shape', to_jsonb("p"."needs"), to_jsonb("src"."needs"), NULL::text WHERE jsonb_typeof("src"."needs") <> 'array' AND unification_json("src"."needs") IS NOT NULL
        UNION ALL SELECT 'experience_level', '{}'::text[], 'first', to_jsonb("p"."experience_level"), to_jsonb("src"."experience_level"), NULL::text WHERE ("src"."experience_level" <> "p"."experience_level") IS NOT FALSE AND unification_text("src"."experience_level") IS NOT NULL AND unification_text("src"."experience_level") IS DISTINCT FROM "p"."experience_level"
        UNION ALL SELECT 'medical_conditions', '{}'::text[], 'shape', to_jsonb("p"."medical_conditions"), to_jsonb("src"."medical_conditions"), NULL::text WHERE jsonb_typeof("src"."medical_conditions") <> 'array' AND unification_json("src"."medical_conditions") IS NOT NULL
        UNION ALL SELECT 'preferred_categories', '{}'::text[], 'shape', to_jsonb("p"."preferred_categories"), to_jsonb("src"."preferred_categories"), NULL::text WHERE jsonb_typeof("src"."preferred_categories") <> 'array' AND unification_json("src"."preferred_categories") IS NOT NULL
        UNION ALL SELECT 'preferred_effects', '{}'::text[], 'shape', to_jsonb("p"."preferred_effects"), to_jsonb("src"."preferred_effects"), NULL::text WHERE jsonb_typeof("src"."preferred_effects") <> 'array' AND unification_json("src"."preferred_effects") IS NOT NULL
        UNION ALL SELECT 'price_range', '{}'::text[], 'first', to_jsonb("p"."price_range"), to_jsonb("src"."price_range"), NULL::text WHERE ("src"."price_range" <> "p"."price_range") IS NOT FALSE AND CASE WHEN jsonb_typeof("src"."price_range") = 'object' THEN unification_json("src"."price_range") END IS NOT NULL AND CASE WHEN jsonb_typeof("src"."price_range") = 'object' THEN unification_json("src"."price_range") END IS DISTINCT FROM "p"."price_range"
        UNION ALL SELECT 'price_range', '{}'::text[], 'shape', to_jsonb("p"."price_range"), to_jsonb("src"."price_range"), NULL::text WHERE jsonb_typeof("src"."price_range") <> 'object' AND unification_json("src"."price_range") IS NOT NULL
        UNION ALL SELECT 'purchase_history', '{}'::text[], 'shape', to_jsonb("p"."purchase_history"), to_jsonb("src"."purchase_history"), NULL::text WHERE jsonb_typeof("src"."purchase_history") <> 'array' AND unification_json("src"."purchase_history") IS NOT NULL
        UNION ALL SELECT 'language', '{}'::text[], 'first', to_jsonb("p"."language"), to_jsonb("src"."language"), NULL::text WHERE ("src"."language" <> "p"."language") IS NOT FALSE AND unification_text("src"."language") IS NOT NULL AND unification_text("src"."language") IS DISTINCT FROM "p"."language"
        UNION ALL SELECT 'timezone', '{}'::text[], 'first', to_jsonb("p"."timezone"), to_jsonb("src"."timezone"), NULL::text WHERE ("src"."timezone" <> "p"."timezone") IS NOT FALSE AND unification_text("src"."timezone") IS NOT NULL AND unification_text("src"."timezone") IS DISTINCT FROM "p"."timezone"
        UNION ALL
        SELECT 'preferences', l.path, 'merge', l.chosen, l.other, NULL
        FROM unification_lost("src"."preferences", "p"."preferences") AS l
        WHERE jsonb_typeof("src"."preferences") = 'object' AND "src"."preferences" <> "p"."preferences"
    ) AS x (field, path, rule, chosen_value, other_value, winner)
    WHERE true AND ((("src"."customer_type" <> "p"."customer_type") IS NOT FALSE AND unification_text("src"."customer_type") <> 'regular' AND unification_text("src"."customer_type") IS DISTINCT FROM "p"."customer_type")
        OR (jsonb_typeof("src"."preferences") <> 'object' AND unification_json("src"."preferences") IS NOT NULL)
        OR (jsonb_typeof("src"."needs") <> 'array' AND unification_json("src"."needs") IS NOT NULL)
        OR (("src"."experience_level" <> "p"."experience_level") IS NOT FALSE AND unification_text("src"."experience_level") IS NOT NULL AND unification_text("src"."experience_level") IS DISTINCT FROM "p"."experience_level")
        OR (jsonb_typeof("src"."medical_conditions") <> 'array' AND unification_json("src"."medical_conditions") IS NOT NULL)
        OR (jsonb_typeof("src"."preferred_categories") <> 'array' AND unification_json("src"."preferred_categories") IS NOT NULL)
        OR (jsonb_typeof("src"."preferred_effects") <> 'array' AND unification_json("src"."preferred_effects") IS NOT NULL)
        OR (("src"."price_range" <> "p"."price_range") IS NOT FALSE AND CASE WHEN jsonb_typeof("src"."price_range") = 'object' THEN unification_json("src"."price_range") END IS NOT NULL AND CASE WHEN jsonb_typeof("src"."price_range") = 'object' THEN unification_json("src"."price_range") END IS DISTINCT FROM "p"."price_range")
        OR (jsonb_typeof("src"."price_range") <> 'object' AND unification_json("src"."price_range") IS NOT NULL)
        OR (jsonb_typeof("src"."purchase_history") <> 'array' AND unification_json("src"."purchase_history") IS NOT NULL)
        OR (("src"."language" <> "p"."language") IS NOT FALSE AND unification_text("src"."language") IS NOT NULL AND unification_text("src"."language") IS DISTINCT FROM "p"."language")
        OR (("src"."timezone" <> "p"."timezone") IS NOT FALSE AND unification_text("src"."timezone") IS NOT NULL AND unification_text("src"."timezone") IS DISTINCT FROM "p"."timezone")
        OR ("src"."preferences" <> "p"."preferences" AND jsonb_typeof("src"."preferences") = 'object'));

-- new_conflicts of user_profiles, a work table
SELECT l.place, l.profile_id, l.field, CASE WHEN l.path = '{}' THEN '' ELSE unification_pointer(l.path) END AS path,
        l.rule, l.chosen_value,
        CASE WHEN l.rule = 'login' THEN 'users' WHEN l.winner IS NOT NULL THEN 'customers' ELSE w.source
            END AS chosen_table,
        coalesce(l.winner, w.key) AS chosen_row, l.other_value, 'user_profiles' AS other_table, l.other_row
    FROM losing_cells AS l
    LEFT JOIN (
    SELECT DISTINCT ON (loser) loser, source, key FROM (
        SELECT l.ctid, 'customers', c.id::text, CASE i."case" WHEN 'linked' THEN 0 ELSE 2 END, i.position FROM losing_cells AS l JOIN legacy_identities AS i ON i.user_id = l.user_id JOIN "backup_customers" AS c ON c.id = i.customer_id WHERE true AND l.winner IS NULL AND l.field = ANY('{customer_type}') AND CASE WHEN l.rule = 'block' THEN l.chosen_value IS NOT NULL AND (unification_address("c"."address") IS NOT NULL OR unification_text("c"."city") IS NOT NULL OR unification_text("c"."state") IS NOT NULL OR unification_text("c"."postal_code") IS NOT NULL OR nullif(unification_text("c"."country"), 'USA') IS NOT NULL) ELSE CASE l.field WHEN 'customer_type' THEN to_jsonb("c"."customer_type") END #> l.path = l.chosen_value END
        UNION ALL SELECT l.ctid, 'customer_profiles', a.key, 3, a.position FROM losing_cells AS l JOIN legacy_attachments AS a ON a.user_id = l.user_id AND a.source = 'customer_profiles' JOIN "backup_customer_profiles" AS cp ON cp.customer_id = a.key WHERE true AND l.winner IS NULL AND l.field = ANY('{preferences,purchase_history}') AND CASE l.field WHEN 'preferences' THEN to_jsonb("cp"."preferences") WHEN 'purchase_history' THEN to_jsonb("cp"."purchase_history") END #> l.path = l.chosen_value
        UNION ALL SELECT l.ctid, 'user_profiles', a.key, 3, a.position FROM losing_cells AS l JOIN legacy_attachments AS a ON a.user_id = l.user_id AND a.source = 'user_profiles' JOIN "backup_user_profiles" AS up ON up.id = unification_uuid(a.key) WHERE true AND l.winner IS NULL AND l.field = ANY('{customer_type,preferences,needs,experience_level,medical_conditions,preferred_categories,preferred_effects,price_range,purchase_history,language,timezone}') AND CASE l.field WHEN 'customer_type' THEN to_jsonb("up"."customer_type") WHEN 'preferences' THEN to_jsonb("up"."preferences") WHEN 'needs' THEN to_jsonb("up"."needs") WHEN 'experience_level' THEN to_jsonb("up"."experience_level") WHEN 'medical_conditions' THEN to_jsonb("up"."medical_conditions") WHEN 'preferred_categories' THEN to_jsonb("up"."preferred_categories") WHEN 'preferred_effects' THEN to_jsonb("up"."preferred_effects") WHEN 'price_range' THEN to_jsonb("up"."price_range") WHEN 'purchase_history' THEN to_jsonb("up"."purchase_history") WHEN 'language' THEN to_jsonb("up"."language") WHEN 'timezone' THEN to_jsonb("up"."timezone") END #> l.path = l.chosen_value
    ) AS rivals (loser, source, key, rank, position)
    ORDER BY loser, rank, position
    ) AS w ON w.loser = l.ctid;

-- INSERT
INSERT INTO field_conflicts (profile_id, field, path, rule, chosen_value, chosen_table, chosen_row,
    other_value, other_table, other_row)
SELECT profile_id, field, path, rule, chosen_value, chosen_table, chosen_row, other_value, other_table, other_row
FROM new_conflicts AS l WHERE true;

-- SPELLINGS, a work table
CREATE TEMP TABLE spelling ON COMMIT DROP AS
SELECT u.id AS user_id, u.email, unification_email(u.email) AS spelling
FROM "users" AS u
WHERE unification_email(u.email) IN (
    SELECT unification_email(guest.contact_email)
    FROM legacy_identities AS i JOIN profiles AS guest ON guest.user_id = i.user_id
    WHERE i.reason IS NOT NULL
    UNION ALL
    SELECT unification_email(email) FROM "users" WHERE email <> unification_email(email)
);

-- SUGGEST_GUESTS
INSERT INTO merge_suggestions (profile_id, other_profile_id, reason)
SELECT guest.id, account.id, i.reason
FROM legacy_identities AS i
JOIN profiles AS guest ON guest.user_id = i.user_id
JOIN spelling AS s ON s.spelling = unification_email(guest.contact_email)
JOIN profiles AS account ON account.user_id = s.user_id
WHERE i.reason IS NOT NULL
ON CONFLICT (profile_id, other_profile_id) DO NOTHING;

-- SUGGEST_LOGINS
INSERT INTO merge_suggestions (profile_id, other_profile_id, reason)
SELECT other.id, first.id, 'same_login'
FROM (
    SELECT user_id, min(user_id::text) OVER (PARTITION BY spelling)::uuid AS first_id
    FROM spelling
    WHERE spelling IN (SELECT spelling FROM spelling WHERE email <> spelling) AND spelling <> ''
) AS same
JOIN profiles AS other ON other.user_id = same.user_id
JOIN profiles AS first ON first.user_id = same.first_id
WHERE same.user_id <> same.first_id
ON CONFLICT (profile_id, other_profile_id) DO NOTHING;
