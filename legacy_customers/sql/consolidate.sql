-- One profile per person (unification/consolidate.py). INSERT runs once per range of users.
-- Rendered by `manage.py render_sql` for a current installation. To be read, not run.

-- unification_profiles_alone, a work table
SELECT
        src.place,
        coalesce(c.id, gen_random_uuid()) AS id,
        src.id AS user_id,
        CASE
            WHEN i."case" = 'separate' THEN c.email
            WHEN i."case" = 'linked' AND c.email <> u.email AND unification_text(c.email) IS NOT NULL
                AND unification_email(c.email) <> unification_email(u.email) THEN c.email
        END AS contact_email,
        coalesce(CASE WHEN i."case" = 'linked' THEN unification_text("c"."first_name") END, unification_text("u"."first_name"), unification_text("c"."first_name")) AS "first_name",
        coalesce(CASE WHEN i."case" = 'linked' THEN unification_text("c"."last_name") END, unification_text("u"."last_name"), unification_text("c"."last_name")) AS "last_name",
        coalesce(CASE WHEN i."case" = 'linked' THEN unification_text("c"."phone") END, unification_text("u"."phone"), unification_text("c"."phone")) AS "phone",
        coalesce(CASE WHEN i."case" = 'linked' THEN "c"."date_of_birth" END, "u"."date_of_birth", "c"."date_of_birth") AS "date_of_birth",
        unification_address("c"."address") AS "address",
        unification_text("c"."city") AS "city",
        unification_text("c"."state") AS "state",
        unification_text("c"."postal_code") AS "postal_code",
        CASE WHEN c.id IS NULL THEN 'USA' ELSE unification_text("c"."country") END AS "country",
        coalesce("c"."loyalty_points", 0) AS "loyalty_points",
        coalesce(nullif(unification_text("c"."customer_type"), 'regular'), 'regular') AS "customer_type",
        coalesce(unification_text("c"."preferred_payment_method")) AS "preferred_payment_method",
        coalesce("c"."total_spent", 0) AS "total_spent",
        coalesce("c"."order_count", 0) AS "order_count",
        greatest("c"."last_order_date") AT TIME ZONE 'UTC' AS "last_order_date",
        CASE WHEN jsonb_typeof("cp"."preferences") = 'object' THEN "cp"."preferences" ELSE '{}'::jsonb END AS "preferences",
        '[]'::jsonb AS "needs",
        NULL::text AS "experience_level",
        '[]'::jsonb AS "medical_conditions",
        '[]'::jsonb AS "preferred_categories",
        '[]'::jsonb AS "preferred_effects",
        NULL::jsonb AS "price_range",
        unification_list("cp"."purchase_history") AS "purchase_history",
        coalesce("cp"."interaction_count", 0) AS "interaction_count",
        NULL::text AS "language",
        NULL::text AS "timezone",
        ((c.id IS NULL OR "c"."marketing_consent" IS TRUE) AND ((i."case" IN ('new_user', 'separate') IS TRUE OR "u"."marketing_consent" IS TRUE))) AS "marketing_consent",
        ((c.id IS NULL OR "c"."sms_consent" IS TRUE) AND (c.id IS NOT NULL)) AS "sms_consent",
        unification_list("c"."tags") AS "tags",
        unification_text("c"."notes") AS "notes",
        CASE WHEN c.id IS NULL THEN u.email_verified IS TRUE OR u.phone_verified IS TRUE WHEN i."case" = 'linked' THEN "c"."is_verified" IS TRUE ELSE "c"."is_verified" IS TRUE END AS "is_verified",
        least("c"."created_at", "u"."created_at", "cp"."created_at") AT TIME ZONE 'UTC' AS "created_at",
        greatest("c"."updated_at", "u"."updated_at", "cp"."updated_at") AT TIME ZONE 'UTC' AS "updated_at"
    FROM (
        SELECT ctid AS place, "id", "email", "email_verified", "phone_verified", "first_name", "last_name", "phone", "date_of_birth", "marketing_consent", "created_at", "updated_at" FROM "backup_users"
        UNION ALL
        SELECT '(4294967295,0)'::tid, user_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM legacy_identities
        WHERE position = 1 AND "case" IN ('new_user', 'separate')
    ) AS src CROSS JOIN LATERAL (SELECT src.*) AS u
    LEFT JOIN legacy_identities AS i ON i.user_id = src.id AND i.position = 1
    LEFT JOIN "backup_customers" AS c ON c.id = i.customer_id
    LEFT JOIN legacy_attachments AS a
        ON a.user_id = src.id AND a.position = 1 AND a.source = 'customer_profiles'
    LEFT JOIN "backup_customer_profiles" AS cp ON cp.customer_id = a.key
    WHERE true AND NOT EXISTS (SELECT FROM legacy_identities AS m WHERE m.user_id = src.id AND m.position = 2)
        AND NOT EXISTS (
            SELECT FROM legacy_attachments AS m
            WHERE m.user_id = src.id AND (m.position > 1 OR m.source = 'user_profiles' AND m.position = 1))
        AND ("c"."address" LIKE '%{%') IS NOT TRUE;

-- others, a work table
SELECT src.* FROM (
        SELECT ctid AS place, "id", "email", "email_verified", "phone_verified", "first_name", "last_name", "phone", "date_of_birth", "marketing_consent", "created_at", "updated_at" FROM "backup_users"
        UNION ALL
        SELECT '(4294967295,0)'::tid, user_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM legacy_identities
        WHERE position = 1 AND "case" IN ('new_user', 'separate')
    ) AS src JOIN (
        SELECT user_id FROM legacy_identities WHERE position = 2
        UNION SELECT user_id FROM legacy_attachments
        WHERE position > 1 OR source = 'user_profiles' AND position = 1
        UNION SELECT i.user_id FROM legacy_identities AS i JOIN "backup_customers" AS c ON c.id = i.customer_id
        WHERE i.position = 1 AND "c"."address" LIKE '%{%') AS o ON o.user_id = src.id;

-- several_customers, a work table
SELECT i.user_id,
        (array_agg(unification_text("c"."first_name") ORDER BY "i"."position") FILTER (WHERE unification_text("c"."first_name") IS NOT NULL))[1] AS "first_name",
        (array_agg(unification_text("c"."last_name") ORDER BY "i"."position") FILTER (WHERE unification_text("c"."last_name") IS NOT NULL))[1] AS "last_name",
        (array_agg(unification_text("c"."phone") ORDER BY "i"."position") FILTER (WHERE unification_text("c"."phone") IS NOT NULL))[1] AS "phone",
        (array_agg("c"."date_of_birth" ORDER BY "i"."position") FILTER (WHERE "c"."date_of_birth" IS NOT NULL))[1] AS "date_of_birth",
        coalesce(sum("c"."loyalty_points"), 0) AS "loyalty_points",
        (array_agg(nullif(unification_text("c"."customer_type"), 'regular') ORDER BY "i"."position") FILTER (WHERE nullif(unification_text("c"."customer_type"), 'regular') IS NOT NULL))[1] AS "customer_type",
        (array_agg(unification_text("c"."preferred_payment_method") ORDER BY "i"."position") FILTER (WHERE unification_text("c"."preferred_payment_method") IS NOT NULL))[1] AS "preferred_payment_method",
        coalesce(sum("c"."total_spent"), 0) AS "total_spent",
        coalesce(sum("c"."order_count"), 0) AS "order_count",
        max("c"."last_order_date") AS "last_order_date",
        bool_and("c"."marketing_consent" IS TRUE) AS "marketing_consent",
        bool_and("c"."sms_consent" IS TRUE) AS "sms_consent",
        CASE coalesce(cardinality((array_agg("c"."tags" ORDER BY "i"."position") FILTER (WHERE CASE WHEN jsonb_typeof("c"."tags") = 'array' THEN unification_json("c"."tags") END IS NOT NULL))), 0) WHEN 0 THEN '[]'::jsonb WHEN 1 THEN unification_list((array_agg("c"."tags" ORDER BY "i"."position") FILTER (WHERE CASE WHEN jsonb_typeof("c"."tags") = 'array' THEN unification_json("c"."tags") END IS NOT NULL))[1]) ELSE unification_union((array_agg("c"."tags" ORDER BY "i"."position") FILTER (WHERE CASE WHEN jsonb_typeof("c"."tags") = 'array' THEN unification_json("c"."tags") END IS NOT NULL))) END AS "tags",
        bool_and("c"."is_verified" IS TRUE) AS "is_verified",
        min("c"."created_at") AS "created_at",
        max("c"."updated_at") AS "updated_at",
        (array_agg(ARRAY[unification_address("c"."address")::text, unification_text("c"."city")::text, unification_text("c"."state")::text, unification_text("c"."postal_code")::text, unification_text("c"."country")::text] ORDER BY "i"."position") FILTER (WHERE (unification_address("c"."address") IS NOT NULL OR unification_text("c"."city") IS NOT NULL OR unification_text("c"."state") IS NOT NULL OR unification_text("c"."postal_code") IS NOT NULL OR nullif(unification_text("c"."country"), 'USA') IS NOT NULL)))[1:1] AS block,
        CASE WHEN cardinality((array_agg(c.notes ORDER BY c.created_at, c.id) FILTER (WHERE unification_text(c.notes) IS NOT NULL))) = 1 THEN (array_agg(c.notes ORDER BY c.created_at, c.id) FILTER (WHERE unification_text(c.notes) IS NOT NULL))[1] ELSE (SELECT string_agg(note, E'\n\n' ORDER BY at) FROM (SELECT note, min(at) AS at FROM unnest((array_agg(c.notes ORDER BY c.created_at, c.id) FILTER (WHERE unification_text(c.notes) IS NOT NULL))) WITH ORDINALITY AS n (note, at) GROUP BY note) AS distinct_notes) END AS "notes"
    FROM legacy_identities AS i
    JOIN "backup_customers" AS c ON c.id = i.customer_id
    WHERE i.user_id IN (SELECT m.user_id FROM legacy_identities AS m WHERE m.position = 2)
    GROUP BY i.user_id;

-- several_attachments, a work table
SELECT a.user_id,
        (array_agg(nullif(unification_text("up"."customer_type"), 'regular') ORDER BY a.position) FILTER (WHERE nullif(unification_text("up"."customer_type"), 'regular') IS NOT NULL))[1] AS "customer_type",
        CASE coalesce(cardinality((array_agg(CASE a.source WHEN 'customer_profiles' THEN "cp"."preferences" ELSE "up"."preferences" END ORDER BY a.position) FILTER (WHERE CASE WHEN jsonb_typeof(CASE a.source WHEN 'customer_profiles' THEN "cp"."preferences" ELSE "up"."preferences" END) = 'object' THEN unification_json(CASE a.source WHEN 'customer_profiles' THEN "cp"."preferences" ELSE "up"."preferences" END) END IS NOT NULL))), 0) WHEN 0 THEN '{}'::jsonb WHEN 1 THEN (array_agg(CASE a.source WHEN 'customer_profiles' THEN "cp"."preferences" ELSE "up"."preferences" END ORDER BY a.position) FILTER (WHERE CASE WHEN jsonb_typeof(CASE a.source WHEN 'customer_profiles' THEN "cp"."preferences" ELSE "up"."preferences" END) = 'object' THEN unification_json(CASE a.source WHEN 'customer_profiles' THEN "cp"."preferences" ELSE "up"."preferences" END) END IS NOT NULL))[1] ELSE unification_merge((array_agg(CASE a.source WHEN 'customer_profiles' THEN "cp"."preferences" ELSE "up"."preferences" END ORDER BY a.position) FILTER (WHERE CASE WHEN jsonb_typeof(CASE a.source WHEN 'customer_profiles' THEN "cp"."preferences" ELSE "up"."preferences" END) = 'object' THEN unification_json(CASE a.source WHEN 'customer_profiles' THEN "cp"."preferences" ELSE "up"."preferences" END) END IS NOT NULL))) END AS "preferences",
        CASE coalesce(cardinality((array_agg("up"."needs" ORDER BY a.source, a.position) FILTER (WHERE CASE WHEN jsonb_typeof("up"."needs") = 'array' THEN unification_json("up"."needs") END IS NOT NULL))), 0) WHEN 0 THEN '[]'::jsonb WHEN 1 THEN unification_list((array_agg("up"."needs" ORDER BY a.source, a.position) FILTER (WHERE CASE WHEN jsonb_typeof("up"."needs") = 'array' THEN unification_json("up"."needs") END IS NOT NULL))[1]) ELSE unification_union((array_agg("up"."needs" ORDER BY a.source, a.position) FILTER (WHERE CASE WHEN jsonb_typeof("up"."needs") = 'array' THEN unification_json("up"."needs") END IS NOT NULL))) END AS "needs",
        (array_agg(unification_text("up"."experience_level") ORDER BY a.position) FILTER (WHERE unification_text("up"."experience_level") IS NOT NULL))[1] AS "experience_level",
        CASE coalesce(cardinality((array_agg("up"."medical_conditions" ORDER BY a.source, a.position) FILTER (WHERE CASE WHEN jsonb_typeof("up"."medical_conditions") = 'array' THEN unification_json("up"."medical_conditions") END IS NOT NULL))), 0) WHEN 0 THEN '[]'::jsonb WHEN 1 THEN unification_list((array_agg("up"."medical_conditions" ORDER BY a.source, a.position) FILTER (WHERE CASE WHEN jsonb_typeof("up"."medical_conditions") = 'array' THEN unification_json("up"."medical_conditions") END IS NOT NULL))[1]) ELSE unification_union((array_agg("up"."medical_conditions" ORDER BY a.source, a.position) FILTER (WHERE CASE WHEN jsonb_typeof("up"."medical_conditions") = 'array' THEN unification_json("up"."medical_conditions") END IS NOT NULL))) END AS "medical_conditions",
        CASE coalesce(cardinality((array_agg("up"."preferred_categories" ORDER BY a.source, a.position) FILTER (WHERE CASE WHEN jsonb_typeof("up"."preferred_categories") = 'array' THEN unification_json("up"."preferred_categories") END IS NOT NULL))), 0) WHEN 0 THEN '[]'::jsonb WHEN 1 THEN unification_list((array_agg("up"."preferred_categories" ORDER BY a.source, a.position) FILTER (WHERE CASE WHEN jsonb_typeof("up"."preferred_categories") = 'array' THEN unification_json("up"."preferred_categories") END IS NOT NULL))[1]) ELSE unification_union((array_agg("up"."preferred_categories" ORDER BY a.source, a.position) FILTER (WHERE CASE WHEN jsonb_typeof("up"."preferred_categories") = 'array' THEN unification_json("up"."preferred_categories") END IS NOT NULL))) END AS "preferred_categories",
        CASE coalesce(cardinality((array_agg("up"."preferred_effects" ORDER BY a.source, a.position) FILTER (WHERE CASE WHEN jsonb_typeof("up"."preferred_effects") = 'array' THEN unification_json("up"."preferred_effects") END IS NOT NULL))), 0) WHEN 0 THEN '[]'::jsonb WHEN 1 THEN unification_list((array_agg("up"."preferred_effects" ORDER BY a.source, a.position) FILTER (WHERE CASE WHEN jsonb_typeof("up"."preferred_effects") = 'array' THEN unification_json("up"."preferred_effects") END IS NOT NULL))[1]) ELSE unification_union((array_agg("up"."preferred_effects" ORDER BY a.source, a.position) FILTER (WHERE CASE WHEN jsonb_typeof("up"."preferred_effects") = 'array' THEN unification_json("up"."preferred_effects") END IS NOT NULL))) END AS "preferred_effects",
        (array_agg(CASE WHEN jsonb_typeof("up"."price_range") = 'object' THEN unification_json("up"."price_range") END ORDER BY a.position) FILTER (WHERE CASE WHEN jsonb_typeof("up"."price_range") = 'object' THEN unification_json("up"."price_range") END IS NOT NULL))[1] AS "price_range",
        CASE coalesce(cardinality((array_agg(CASE a.source WHEN 'customer_profiles' THEN "cp"."purchase_history" ELSE "up"."purchase_history" END ORDER BY a.source, a.position) FILTER (WHERE CASE WHEN jsonb_typeof(CASE a.source WHEN 'customer_profiles' THEN "cp"."purchase_history" ELSE "up"."purchase_history" END) = 'array' THEN unification_json(CASE a.source WHEN 'customer_profiles' THEN "cp"."purchase_history" ELSE "up"."purchase_history" END) END IS NOT NULL))), 0) WHEN 0 THEN '[]'::jsonb WHEN 1 THEN unification_list((array_agg(CASE a.source WHEN 'customer_profiles' THEN "cp"."purchase_history" ELSE "up"."purchase_history" END ORDER BY a.source, a.position) FILTER (WHERE CASE WHEN jsonb_typeof(CASE a.source WHEN 'customer_profiles' THEN "cp"."purchase_history" ELSE "up"."purchase_history" END) = 'array' THEN unification_json(CASE a.source WHEN 'customer_profiles' THEN "cp"."purchase_history" ELSE "up"."purchase_history" END) END IS NOT NULL))[1]) ELSE unification_union((array_agg(CASE a.source WHEN 'customer_profiles' THEN "cp"."purchase_history" ELSE "up"."purchase_history" END ORDER BY a.source, a.position) FILTER (WHERE CASE WHEN jsonb_typeof(CASE a.source WHEN 'customer_profiles' THEN "cp"."purchase_history" ELSE "up"."purchase_history" END) = 'array' THEN unification_json(CASE a.source WHEN 'customer_profiles' THEN "cp"."purchase_history" ELSE "up"."purchase_history" END) END IS NOT NULL))) END AS "purchase_history",
        coalesce(sum(CASE a.source WHEN 'customer_profiles' THEN "cp"."interaction_count" ELSE "up"."interaction_count" END), 0) AS "interaction_count",
        (array_agg(unification_text("up"."language") ORDER BY a.position) FILTER (WHERE unification_text("up"."language") IS NOT NULL))[1] AS "language",
        (array_agg(unification_text("up"."timezone") ORDER BY a.position) FILTER (WHERE unification_text("up"."timezone") IS NOT NULL))[1] AS "timezone",
        min(CASE a.source WHEN 'customer_profiles' THEN "cp"."created_at" ELSE "up"."created_at" END) AS "created_at",
        max(CASE a.source WHEN 'customer_profiles' THEN "cp"."updated_at" ELSE "up"."updated_at" END) AS "updated_at"
    FROM legacy_attachments AS a
    LEFT JOIN "backup_customer_profiles" AS cp ON a.source = 'customer_profiles' AND cp.customer_id = a.key
    LEFT JOIN "backup_user_profiles" AS up ON a.source = 'user_profiles' AND up.id::text = a.key
    WHERE a.user_id IN (
        SELECT m.user_id FROM legacy_attachments AS m
        WHERE m.position > 1 OR m.source = 'user_profiles' AND m.position = 1)
    GROUP BY a.user_id;

-- unification_profiles_of_others, a work table
SELECT
        src.place,
        coalesce(c.id, gen_random_uuid()) AS id,
        src.id AS user_id,
        CASE
            WHEN i."case" = 'separate' THEN c.email
            WHEN i."case" = 'linked' AND c.email <> u.email AND unification_text(c.email) IS NOT NULL
                AND unification_email(c.email) <> unification_email(u.email) THEN c.email
        END AS contact_email,
        coalesce(CASE WHEN i."case" = 'linked' THEN unification_text("c"."first_name") END, unification_text("u"."first_name"), CASE WHEN "sc".user_id IS NULL THEN unification_text("c"."first_name") ELSE "sc"."first_name" END) AS "first_name",
        coalesce(CASE WHEN i."case" = 'linked' THEN unification_text("c"."last_name") END, unification_text("u"."last_name"), CASE WHEN "sc".user_id IS NULL THEN unification_text("c"."last_name") ELSE "sc"."last_name" END) AS "last_name",
        coalesce(CASE WHEN i."case" = 'linked' THEN unification_text("c"."phone") END, unification_text("u"."phone"), CASE WHEN "sc".user_id IS NULL THEN unification_text("c"."phone") ELSE "sc"."phone" END) AS "phone",
        coalesce(CASE WHEN i."case" = 'linked' THEN "c"."date_of_birth" END, "u"."date_of_birth", CASE WHEN "sc".user_id IS NULL THEN "c"."date_of_birth" ELSE "sc"."date_of_birth" END) AS "date_of_birth",
        CASE WHEN sc.block IS NULL THEN unification_address("c"."address") ELSE sc.block[1][1] END AS "address",
        coalesce(CASE WHEN sc.block IS NULL THEN unification_text("c"."city") ELSE sc.block[1][2] END, CASE WHEN strpos(CASE WHEN sc.block IS NULL THEN unification_address("c"."address") ELSE sc.block[1][1] END, '{') > 0 THEN unification_part(unification_object(CASE WHEN sc.block IS NULL THEN unification_address("c"."address") ELSE sc.block[1][1] END), 'city', 100) END) AS "city",
        coalesce(CASE WHEN sc.block IS NULL THEN unification_text("c"."state") ELSE sc.block[1][3] END, CASE WHEN strpos(CASE WHEN sc.block IS NULL THEN unification_address("c"."address") ELSE sc.block[1][1] END, '{') > 0 THEN unification_part(unification_object(CASE WHEN sc.block IS NULL THEN unification_address("c"."address") ELSE sc.block[1][1] END), 'province', 50) END) AS "state",
        coalesce(CASE WHEN sc.block IS NULL THEN unification_text("c"."postal_code") ELSE sc.block[1][4] END, CASE WHEN strpos(CASE WHEN sc.block IS NULL THEN unification_address("c"."address") ELSE sc.block[1][1] END, '{') > 0 THEN unification_part(unification_object(CASE WHEN sc.block IS NULL THEN unification_address("c"."address") ELSE sc.block[1][1] END), 'postal_code', 20) END) AS "postal_code",
        CASE WHEN c.id IS NULL THEN 'USA' ELSE coalesce(nullif(CASE WHEN sc.block IS NULL THEN unification_text("c"."country") ELSE sc.block[1][5] END, 'USA'), CASE WHEN strpos(CASE WHEN sc.block IS NULL THEN unification_address("c"."address") ELSE sc.block[1][1] END, '{') > 0 THEN unification_part(unification_object(CASE WHEN sc.block IS NULL THEN unification_address("c"."address") ELSE sc.block[1][1] END), 'country', 100) END, CASE WHEN sc.block IS NULL THEN unification_text("c"."country") ELSE sc.block[1][5] END) END AS "country",
        CASE WHEN "sc".user_id IS NULL THEN coalesce("c"."loyalty_points", 0) ELSE "sc"."loyalty_points" END AS "loyalty_points",
        coalesce(CASE WHEN "sc".user_id IS NULL THEN nullif(unification_text("c"."customer_type"), 'regular') ELSE "sc"."customer_type" END, "sa"."customer_type", 'regular') AS "customer_type",
        coalesce(CASE WHEN "sc".user_id IS NULL THEN unification_text("c"."preferred_payment_method") ELSE "sc"."preferred_payment_method" END) AS "preferred_payment_method",
        CASE WHEN "sc".user_id IS NULL THEN coalesce("c"."total_spent", 0) ELSE "sc"."total_spent" END AS "total_spent",
        CASE WHEN "sc".user_id IS NULL THEN coalesce("c"."order_count", 0) ELSE "sc"."order_count" END AS "order_count",
        greatest(CASE WHEN "sc".user_id IS NULL THEN "c"."last_order_date" ELSE "sc"."last_order_date" END) AT TIME ZONE 'UTC' AS "last_order_date",
        CASE WHEN "sa".user_id IS NULL THEN CASE WHEN jsonb_typeof("cp"."preferences") = 'object' THEN "cp"."preferences" ELSE '{}'::jsonb END ELSE "sa"."preferences" END AS "preferences",
        coalesce("sa"."needs", '[]'::jsonb) AS "needs",
        coalesce("sa"."experience_level") AS "experience_level",
        coalesce("sa"."medical_conditions", '[]'::jsonb) AS "medical_conditions",
        coalesce("sa"."preferred_categories", '[]'::jsonb) AS "preferred_categories",
        coalesce("sa"."preferred_effects", '[]'::jsonb) AS "preferred_effects",
        coalesce("sa"."price_range") AS "price_range",
        CASE WHEN "sa".user_id IS NULL THEN unification_list("cp"."purchase_history") ELSE "sa"."purchase_history" END AS "purchase_history",
        CASE WHEN "sa".user_id IS NULL THEN coalesce("cp"."interaction_count", 0) ELSE "sa"."interaction_count" END AS "interaction_count",
        coalesce("sa"."language") AS "language",
        coalesce("sa"."timezone") AS "timezone",
        ((CASE WHEN "sc".user_id IS NULL THEN c.id IS NULL OR "c"."marketing_consent" IS TRUE ELSE "sc"."marketing_consent" END) AND ((i."case" IN ('new_user', 'separate') IS TRUE OR "u"."marketing_consent" IS TRUE))) AS "marketing_consent",
        ((CASE WHEN "sc".user_id IS NULL THEN c.id IS NULL OR "c"."sms_consent" IS TRUE ELSE "sc"."sms_consent" END) AND (c.id IS NOT NULL)) AS "sms_consent",
        CASE WHEN "sc".user_id IS NULL THEN unification_list("c"."tags") ELSE "sc"."tags" END AS "tags",
        CASE WHEN "sc".user_id IS NULL THEN unification_text("c"."notes") ELSE "sc"."notes" END AS "notes",
        CASE WHEN c.id IS NULL THEN u.email_verified IS TRUE OR u.phone_verified IS TRUE WHEN i."case" = 'linked' THEN "c"."is_verified" IS TRUE ELSE CASE WHEN "sc".user_id IS NULL THEN "c"."is_verified" IS TRUE ELSE "sc"."is_verified" END END AS "is_verified",
        least(CASE WHEN "sc".user_id IS NULL THEN "c"."created_at" ELSE "sc"."created_at" END, "u"."created_at", CASE WHEN "sa".user_id IS NULL THEN "cp"."created_at" ELSE "sa"."created_at" END) AT TIME ZONE 'UTC' AS "created_at",
        greatest(CASE WHEN "sc".user_id IS NULL THEN "c"."updated_at" ELSE "sc"."updated_at" END, "u"."updated_at", CASE WHEN "sa".user_id IS NULL THEN "cp"."updated_at" ELSE "sa"."updated_at" END) AT TIME ZONE 'UTC' AS "updated_at"
    FROM others AS src CROSS JOIN LATERAL (SELECT src.*) AS u
    LEFT JOIN legacy_identities AS i ON i.user_id = src.id AND i.position = 1
    LEFT JOIN "backup_customers" AS c ON c.id = i.customer_id
    LEFT JOIN legacy_attachments AS a
        ON a.user_id = src.id AND a.position = 1 AND a.source = 'customer_profiles'
    LEFT JOIN "backup_customer_profiles" AS cp ON cp.customer_id = a.key
    LEFT JOIN several_customers AS sc ON sc.user_id = src.id
    LEFT JOIN several_attachments AS sa ON sa.user_id = src.id
    WHERE true;

-- INSERT
INSERT INTO profiles ("id", "user_id", "contact_email", "first_name", "last_name", "phone", "date_of_birth", "address", "city", "state", "postal_code", "country", "loyalty_points", "customer_type", "preferred_payment_method", "total_spent", "order_count", "last_order_date", "preferences", "needs", "experience_level", "medical_conditions", "preferred_categories", "preferred_effects", "price_range", "purchase_history", "interaction_count", "language", "timezone", "marketing_consent", "sms_consent", "tags", "notes", "is_verified", "created_at", "updated_at")
SELECT "id", "user_id", "contact_email", "first_name", "last_name", "phone", "date_of_birth", "address", "city", "state", "postal_code", "country", "loyalty_points", "customer_type", "preferred_payment_method", "total_spent", "order_count", "last_order_date", "preferences", "needs", "experience_level", "medical_conditions", "preferred_categories", "preferred_effects", "price_range", "purchase_history", "interaction_count", "language", "timezone", "marketing_consent", "sms_consent", "tags", "notes", "is_verified", "created_at", "updated_at" FROM "unification_profiles_alone" AS n WHERE true
UNION ALL SELECT "id", "user_id", "contact_email", "first_name", "last_name", "phone", "date_of_birth", "address", "city", "state", "postal_code", "country", "loyalty_points", "customer_type", "preferred_payment_method", "total_spent", "order_count", "last_order_date", "preferences", "needs", "experience_level", "medical_conditions", "preferred_categories", "preferred_effects", "price_range", "purchase_history", "interaction_count", "language", "timezone", "marketing_consent", "sms_consent", "tags", "notes", "is_verified", "created_at", "updated_at" FROM "unification_profiles_of_others" AS n WHERE true;

-- ALIASES
INSERT INTO profile_aliases (id, profile_id)
SELECT i.customer_id, p.id
FROM legacy_identities AS i JOIN profiles AS p ON p.user_id = i.user_id
WHERE i.position > 1
ON CONFLICT (id) DO NOTHING;
