"""The triggers that write profile_history: ORM, admin, raw SQL and customers_view leave the same trace."""

# Who signs with a text that is no id, or that is too long, is not named; the change itself stands.
# A profile's changed columns, or its login's as `users.<column>`, as {"column": {"old": …, "new": …}}. That a password
# changed is recorded, not what it was or is. Times are written as UTC, so that equal times are equal texts. Who writes to users
# or profiles may have no rights on the history.
CREATE_TRIGGERS = """
CREATE FUNCTION profile_history_record() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT SET timezone = 'UTC' AS $$
DECLARE
    before jsonb := to_jsonb(OLD);
    after jsonb := to_jsonb(NEW);
    prefix text := CASE TG_TABLE_NAME WHEN 'users' THEN 'users.' ELSE '' END;
    found jsonb;
    person uuid;
    actor text := current_setting('unified.actor', true);
BEGIN
    SELECT jsonb_object_agg(
        prefix || key,
        CASE WHEN key = 'password_hash' THEN '{}'::jsonb
        ELSE jsonb_build_object('old', before -> key, 'new', after -> key) END
    ) INTO found
    FROM jsonb_object_keys(after) AS key
    WHERE before -> key IS DISTINCT FROM after -> key
        AND (prefix <> '' OR key <> 'search_text')
        AND (prefix = '' OR key IN ('email', 'password_hash', 'role', 'active', 'email_verified', 'phone_verified',
            'age_verified', 'terms_accepted', 'tenant_id'));
    IF found IS NULL THEN
        RETURN NULL;
    END IF;
    IF prefix = '' THEN
        person := (after ->> 'id')::uuid;
    ELSE
        SELECT id INTO person FROM profiles WHERE user_id = (after ->> 'id')::uuid;
    END IF;
    IF person IS NOT NULL THEN
        INSERT INTO profile_history (profile_id, changed_at, changed_by, via, changes) VALUES (
            person, clock_timestamp(), CASE WHEN actor ~ '^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$'
                THEN actor::uuid END,
            coalesce(nullif(left(current_setting('unified.via', true), 63), ''), 'sql'), found
        );
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER profile_history_of_profiles AFTER UPDATE ON profiles FOR EACH ROW
    WHEN (OLD IS DISTINCT FROM NEW) EXECUTE FUNCTION profile_history_record();
CREATE TRIGGER profile_history_of_users AFTER UPDATE ON users FOR EACH ROW
    WHEN ((OLD.email, OLD.password_hash, OLD.role, OLD.active, OLD.email_verified, OLD.phone_verified,
        OLD.age_verified, OLD.terms_accepted, OLD.tenant_id) IS DISTINCT FROM
        (NEW.email, NEW.password_hash, NEW.role, NEW.active, NEW.email_verified, NEW.phone_verified,
        NEW.age_verified, NEW.terms_accepted, NEW.tenant_id))
    EXECUTE FUNCTION profile_history_record();
"""

DROP_TRIGGERS = """
DROP TRIGGER profile_history_of_users ON users;
DROP TRIGGER profile_history_of_profiles ON profiles;
DROP FUNCTION profile_history_record();
"""
