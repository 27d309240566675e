-- customers_view, readable and writable (unification/view.py).
-- Rendered by `manage.py render_sql` for a current installation. To be read, not run.

CREATE VIEW customers_view WITH (security_invoker = true) AS
SELECT
    (p.id)::uuid AS "id",
    (p.user_id)::uuid AS "user_id",
    (coalesce(p.contact_email, u.email))::varchar(255) AS "email",
    ("p"."first_name")::varchar(100) AS "first_name",
    ("p"."last_name")::varchar(100) AS "last_name",
    ("p"."phone")::varchar(50) AS "phone",
    ("p"."date_of_birth")::date AS "date_of_birth",
    ("p"."address")::text AS "address",
    ("p"."city")::varchar(100) AS "city",
    ("p"."state")::varchar(50) AS "state",
    ("p"."postal_code")::varchar(20) AS "postal_code",
    ("p"."country")::varchar(100) AS "country",
    ("p"."loyalty_points")::bigint AS "loyalty_points",
    ("p"."total_spent")::numeric(14,2) AS "total_spent",
    ("p"."order_count")::bigint AS "order_count",
    ("p"."last_order_date" AT TIME ZONE 'UTC')::timestamp AS "last_order_date",
    ("p"."customer_type")::varchar(50) AS "customer_type",
    ("p"."preferred_payment_method")::varchar(50) AS "preferred_payment_method",
    ("p"."marketing_consent")::boolean AS "marketing_consent",
    ("p"."sms_consent")::boolean AS "sms_consent",
    ("p"."tags")::jsonb AS "tags",
    ("p"."notes")::text AS "notes",
    (u.active)::boolean AS "is_active",
    ("p"."is_verified")::boolean AS "is_verified",
    ("p"."created_at" AT TIME ZONE 'UTC')::timestamp AS "created_at",
    ("p"."updated_at" AT TIME ZONE 'UTC')::timestamp AS "updated_at",
    (u.tenant_id)::uuid AS "tenant_id"
FROM profiles AS p JOIN users AS u ON u.id = p.user_id;

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

ALTER VIEW customers_view ALTER COLUMN "id" SET DEFAULT gen_random_uuid();

ALTER VIEW customers_view ALTER COLUMN "country" SET DEFAULT 'USA';

ALTER VIEW customers_view ALTER COLUMN "loyalty_points" SET DEFAULT 0;

ALTER VIEW customers_view ALTER COLUMN "total_spent" SET DEFAULT 0;

ALTER VIEW customers_view ALTER COLUMN "order_count" SET DEFAULT 0;

ALTER VIEW customers_view ALTER COLUMN "customer_type" SET DEFAULT 'regular';

ALTER VIEW customers_view ALTER COLUMN "marketing_consent" SET DEFAULT false;

ALTER VIEW customers_view ALTER COLUMN "sms_consent" SET DEFAULT false;

ALTER VIEW customers_view ALTER COLUMN "tags" SET DEFAULT '[]';

ALTER VIEW customers_view ALTER COLUMN "is_active" SET DEFAULT true;

ALTER VIEW customers_view ALTER COLUMN "is_verified" SET DEFAULT false;

ALTER VIEW customers_view ALTER COLUMN "created_at" SET DEFAULT (now() AT TIME ZONE 'utc');

ALTER VIEW customers_view ALTER COLUMN "updated_at" SET DEFAULT (now() AT TIME ZONE 'utc');

-- A row written into the view is a customer of the old application: with a user_id it becomes that user's profile,
-- else a guest's, under the rules of identity. A guest whose address is an account's stays apart, and is suggested.
CREATE OR REPLACE FUNCTION customers_view_insert() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    login text := btrim(NEW.email, unification_white_space());
    usable boolean;
    accounts uuid[];
BEGIN
    IF NEW.email IS NULL THEN
        RAISE not_null_violation USING
            MESSAGE = 'a customer needs an email', HINT = 'Write an empty text where there is none.';
    END IF;
    IF EXISTS (SELECT FROM profiles WHERE id = NEW.id) OR EXISTS (SELECT FROM profile_aliases WHERE id = NEW.id) THEN
        RAISE unique_violation USING
            MESSAGE = format('customer %s exists already', NEW.id), HINT = 'Update that row, or insert without an id.';
    END IF;
    IF EXISTS (SELECT FROM profiles WHERE user_id = NEW.user_id) THEN
        RAISE unique_violation USING
            MESSAGE = format('user %s has a customer already', NEW.user_id),
            HINT = 'Update the customers_view row with that user_id.';
    END IF;
    IF NEW.user_id IS NULL THEN
        SELECT a.usable, a.accounts INTO usable, accounts FROM unification_accounts(NEW.email) AS a;
        IF usable AND accounts IS NULL THEN
            NEW.email := login;
        ELSE
            login := NULL;
        END IF;
        -- The profile comes from here, not from the sync.
        PERFORM set_config('unification.sync', 'on', true);
        INSERT INTO users (email, password_hash, role, active, email_verified, created_at, updated_at, tenant_id)
        VALUES (
            login, '!' || left(translate(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 40),
            'customer', NEW.is_active, false, NEW.created_at, NEW.updated_at, NEW.tenant_id
        ) RETURNING id INTO NEW.user_id;
        PERFORM set_config('unification.sync', '', true);
    ELSE
        SELECT email INTO login FROM users WHERE id = NEW.user_id;
        IF NOT FOUND THEN
            RAISE foreign_key_violation USING
                MESSAGE = format('user %s does not exist', NEW.user_id), HINT = 'Insert the users row first.';
        END IF;
    END IF;
    INSERT INTO profiles (id, user_id, contact_email, "first_name", "last_name", "phone", "date_of_birth", "address", "city", "state", "postal_code", "country", "loyalty_points", "total_spent", "order_count", "last_order_date", "customer_type", "preferred_payment_method", "marketing_consent", "sms_consent", "tags", "notes", "is_verified", "created_at", "updated_at")
    VALUES (NEW.id, NEW.user_id, nullif(NEW.email, login), "new"."first_name", "new"."last_name", "new"."phone", "new"."date_of_birth", "new"."address", "new"."city", "new"."state", "new"."postal_code", "new"."country", coalesce("new"."loyalty_points", 0), coalesce("new"."total_spent", 0), coalesce("new"."order_count", 0), "new"."last_order_date" AT TIME ZONE 'UTC', coalesce("new"."customer_type", 'regular'), "new"."preferred_payment_method", coalesce("new"."marketing_consent", false), coalesce("new"."sms_consent", false), coalesce("new"."tags", '[]'), "new"."notes", coalesce("new"."is_verified", false), "new"."created_at" AT TIME ZONE 'UTC', "new"."updated_at" AT TIME ZONE 'UTC');
    INSERT INTO merge_suggestions (profile_id, other_profile_id, reason)
    SELECT NEW.id, p.id, CASE
        WHEN cardinality(accounts) > 1 THEN 'shared_address'
        WHEN u.email_verified THEN 'verified_address'
        ELSE 'unverified_address'
    END
    FROM profiles AS p JOIN users AS u ON u.id = p.user_id WHERE login IS NULL AND u.id = ANY(accounts);
    RETURN NEW;
END
$$;

-- An update reaches the profile and the login, and only where something changed.
CREATE OR REPLACE FUNCTION customers_view_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id IS DISTINCT FROM OLD.id OR NEW.user_id IS DISTINCT FROM OLD.user_id THEN
        RAISE feature_not_supported USING
            MESSAGE = format('the id and user_id of customer %s cannot change', OLD.id),
            HINT = 'Merge the two profiles instead; every old id keeps resolving through its alias.';
    END IF;
    IF NEW.email IS NULL THEN
        RAISE not_null_violation USING
            MESSAGE = format('customer %s needs an email', OLD.id), HINT = 'Write an empty text where there is none.';
    END IF;
    IF NEW IS NOT DISTINCT FROM OLD THEN
        RETURN NEW;
    END IF;
    IF NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at THEN
        NEW.updated_at := now() AT TIME ZONE 'utc';
    END IF;
    UPDATE profiles SET
        contact_email = CASE
            WHEN NEW.email = OLD.email THEN contact_email
            ELSE nullif(NEW.email, (SELECT email FROM users WHERE id = OLD.user_id))
        END,
        "first_name" = "new"."first_name",
        "last_name" = "new"."last_name",
        "phone" = "new"."phone",
        "date_of_birth" = "new"."date_of_birth",
        "address" = "new"."address",
        "city" = "new"."city",
        "state" = "new"."state",
        "postal_code" = "new"."postal_code",
        "country" = "new"."country",
        "loyalty_points" = coalesce("new"."loyalty_points", 0),
        "total_spent" = coalesce("new"."total_spent", 0),
        "order_count" = coalesce("new"."order_count", 0),
        "last_order_date" = "new"."last_order_date" AT TIME ZONE 'UTC',
        "customer_type" = coalesce("new"."customer_type", 'regular'),
        "preferred_payment_method" = "new"."preferred_payment_method",
        "marketing_consent" = coalesce("new"."marketing_consent", false),
        "sms_consent" = coalesce("new"."sms_consent", false),
        "tags" = coalesce("new"."tags", '[]'),
        "notes" = "new"."notes",
        "is_verified" = coalesce("new"."is_verified", false),
        "created_at" = "new"."created_at" AT TIME ZONE 'UTC',
        "updated_at" = "new"."updated_at" AT TIME ZONE 'UTC'
    WHERE id = OLD.id;
    UPDATE users SET active = NEW.is_active, tenant_id = NEW.tenant_id
    WHERE id = OLD.user_id AND (active, tenant_id) IS DISTINCT FROM (NEW.is_active, NEW.tenant_id);
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION customers_view_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE feature_not_supported USING
        MESSAGE = format('customer %s cannot be deleted through customers_view', OLD.id),
        HINT = 'UPDATE customers_view SET is_active = false instead.';
END
$$;

CREATE TRIGGER "customers_view_insert" INSTEAD OF INSERT ON customers_view FOR EACH ROW EXECUTE FUNCTION "customers_view_insert"();

CREATE TRIGGER "customers_view_update" INSTEAD OF UPDATE ON customers_view FOR EACH ROW EXECUTE FUNCTION "customers_view_update"();

CREATE TRIGGER "customers_view_delete" INSTEAD OF DELETE ON customers_view FOR EACH ROW EXECUTE FUNCTION "customers_view_delete"();
