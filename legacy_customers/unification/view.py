"""customers_view: the old customers table for code that is not ported, readable and writable."""

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from .field_map import Kind, Rule, fields_by
from .sources import CURRENT, Sources

# The old table's columns in their order, with their types; a sum can outgrow its old type. Defaults are what an INSERT
# that omits the column gets.
COLUMNS: tuple[tuple[str, str, str | None], ...] = (
    ("id", "uuid", "gen_random_uuid()"),
    ("user_id", "uuid", None),
    ("email", "varchar(255)", None),
    ("first_name", "varchar(100)", None),
    ("last_name", "varchar(100)", None),
    ("phone", "varchar(50)", None),
    ("date_of_birth", "date", None),
    ("address", "text", None),
    ("city", "varchar(100)", None),
    ("state", "varchar(50)", None),
    ("postal_code", "varchar(20)", None),
    ("country", "varchar(100)", "'USA'"),
    ("loyalty_points", "bigint", "0"),
    ("total_spent", "numeric(14,2)", "0"),
    ("order_count", "bigint", "0"),
    ("last_order_date", "timestamp", None),
    ("customer_type", "varchar(50)", "'regular'"),
    ("preferred_payment_method", "varchar(50)", None),
    ("marketing_consent", "boolean", "false"),
    ("sms_consent", "boolean", "false"),
    ("tags", "jsonb", "'[]'"),
    ("notes", "text", None),
    ("is_active", "boolean", "true"),
    ("is_verified", "boolean", "false"),
    ("created_at", "timestamp", "(now() AT TIME ZONE 'utc')"),
    ("updated_at", "timestamp", "(now() AT TIME ZONE 'utc')"),
    ("tenant_id", "uuid", None),
)
OWN = {
    "id": sql.SQL("p.id"),
    "user_id": sql.SQL("p.user_id"),
    "email": sql.SQL("coalesce(p.contact_email, u.email)"),
    "is_active": sql.SQL("u.active"),
    "tenant_id": sql.SQL("u.tenant_id"),
}
# What the profile takes as it is written; times and NOT NULL columns are converted below.
PROFILE_COLUMNS = tuple(name for name, _, _ in COLUMNS if name not in OWN)
NOT_NULL = {
    "loyalty_points": "0",
    "total_spent": "0",
    "order_count": "0",
    "customer_type": "'regular'",
    "marketing_consent": "false",
    "sms_consent": "false",
    "tags": "'[]'",
    "is_verified": "false",
}
TIMES = {field.column for field in fields_by(Rule.GREATEST, Rule.LEAST) if field.kind is Kind.TIME}

VIEW = sql.SQL(
    """
CREATE VIEW customers_view {options} AS
SELECT
    {columns}
FROM profiles AS p JOIN users AS u ON u.id = p.user_id
"""
)

# The accounts that have an address in any spelling, and whether it is an address at all. One writer per address at a time.
ACCOUNTS = """
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
$$
"""

INSERT_FUNCTION = sql.SQL(
    """
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
    INSERT INTO profiles (id, user_id, contact_email, {columns})
    VALUES (NEW.id, NEW.user_id, nullif(NEW.email, login), {values});
    INSERT INTO merge_suggestions (profile_id, other_profile_id, reason)
    SELECT NEW.id, p.id, CASE
        WHEN cardinality(accounts) > 1 THEN 'shared_address'
        WHEN u.email_verified THEN 'verified_address'
        ELSE 'unverified_address'
    END
    FROM profiles AS p JOIN users AS u ON u.id = p.user_id WHERE login IS NULL AND u.id = ANY(accounts);
    RETURN NEW;
END
$$
"""
)

UPDATE_FUNCTION = sql.SQL(
    """
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
        {assignments}
    WHERE id = OLD.id;
    UPDATE users SET active = NEW.is_active, tenant_id = NEW.tenant_id
    WHERE id = OLD.user_id AND (active, tenant_id) IS DISTINCT FROM (NEW.is_active, NEW.tenant_id);
    RETURN NEW;
END
$$
"""
)

DELETE_FUNCTION = """
CREATE OR REPLACE FUNCTION customers_view_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE feature_not_supported USING
        MESSAGE = format('customer %s cannot be deleted through customers_view', OLD.id),
        HINT = 'UPDATE customers_view SET is_active = false instead.';
END
$$
"""
TRIGGER = sql.SQL(
    "CREATE TRIGGER {name} INSTEAD OF {event} ON customers_view FOR EACH ROW EXECUTE FUNCTION {function}()"
)


def _read(name: str, kind: str, json_address: bool) -> sql.Composable:
    value: sql.Composable = OWN.get(name, sql.Identifier("p", name))
    if name in TIMES:
        value = sql.SQL("{} AT TIME ZONE 'UTC'").format(value)
    if name == "address" and json_address:
        return sql.SQL("coalesce(unification_object({0}), to_jsonb({0})) AS address").format(value)
    return sql.SQL("({})::{} AS {}").format(value, sql.SQL(kind), sql.Identifier(name))


def _written(name: str, json_address: bool) -> sql.Composable:
    value: sql.Composable = sql.Identifier("new", name)
    if name in TIMES:
        return sql.SQL("{} AT TIME ZONE 'UTC'").format(value)
    if name == "address" and json_address:
        return sql.SQL("CASE jsonb_typeof({0}) WHEN 'string' THEN {0} #>> '{{}}' ELSE {0}::text END").format(value)
    if name in NOT_NULL:
        return sql.SQL("coalesce({}, {})").format(value, sql.SQL(NOT_NULL[name]))
    return value


def statements(sources: Sources = CURRENT, security_invoker: bool = True) -> list[sql.Composable]:
    """The view, its defaults, and the triggers that make it writable."""
    json_address = sources.json_address
    made: list[sql.Composable] = [
        VIEW.format(
            options=sql.SQL("WITH (security_invoker = true)" if security_invoker else ""),
            columns=sql.SQL(",\n    ").join(_read(name, kind, json_address) for name, kind, _ in COLUMNS),
        ),
        sql.SQL(ACCOUNTS),
        *(
            sql.SQL("ALTER VIEW customers_view ALTER COLUMN {} SET DEFAULT {}").format(
                sql.Identifier(name),
                sql.SQL(default),
            )
            for name, _, default in COLUMNS
            if default is not None
        ),
        INSERT_FUNCTION.format(
            columns=sql.SQL(", ").join(map(sql.Identifier, PROFILE_COLUMNS)),
            values=sql.SQL(", ").join(_written(name, json_address) for name in PROFILE_COLUMNS),
        ),
        UPDATE_FUNCTION.format(
            assignments=sql.SQL(",\n        ").join(
                sql.SQL("{} = {}").format(sql.Identifier(name), _written(name, json_address))
                for name in PROFILE_COLUMNS
            )
        ),
        sql.SQL(DELETE_FUNCTION).format(),
    ]
    for event in ("insert", "update", "delete"):
        made.append(
            TRIGGER.format(
                name=sql.Identifier(f"customers_view_{event}"),
                event=sql.SQL(event.upper()),
                function=sql.Identifier(f"customers_view_{event}"),
            )
        )
    return made


def create(connection: BaseDatabaseWrapper, sources: Sources | None) -> None:
    """Create the view in the old table's types; on a database without legacy tables in the current ones."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        invoker = int(cursor.fetchone()[0]) >= 150000
        cursor.execute("DROP VIEW IF EXISTS customers_view")  # of a run that was killed before Django recorded it
        for statement in statements(sources or CURRENT, invoker):
            cursor.execute(statement)


def drop(connection: BaseDatabaseWrapper) -> None:
    """Drop the view with its triggers. A view of somebody else's on top of it stops this, and is named by PostgreSQL."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("DROP VIEW IF EXISTS customers_view")
        for event in ("insert", "update", "delete"):
            cursor.execute(sql.SQL("DROP FUNCTION IF EXISTS {}()").format(sql.Identifier(f"customers_view_{event}")))
