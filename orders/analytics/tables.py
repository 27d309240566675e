"""The roll-up's tables, and the triggers that say which days of it no longer hold. Made by orders.0004_sales_days.

`sales_days` and `sales_day_products` hold what the orders of a day come to; they can be made again from `orders` at any
time. `sales_rolled` says which days they hold and on what basis (definition and time zone): a day that is not there, or
on another basis, is answered from `orders`. `sales_dirty` is written by every statement that changes orders, and makes
the days that it touched be answered from `orders` too, until they are rolled up again.
"""

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

CREATE_TABLES = """
CREATE TABLE sales_rolled (day date PRIMARY KEY, basis text NOT NULL);
CREATE TABLE sales_days (
    day date NOT NULL,
    tenant_id uuid,
    store_code varchar(100),
    store_id uuid,
    orders bigint NOT NULL,
    revenue numeric NOT NULL,
    tax numeric NOT NULL,
    discounts numeric NOT NULL,
    units numeric NOT NULL,
    placed bigint NOT NULL,
    returned bigint NOT NULL
);
CREATE INDEX sales_days_day ON sales_days (day);
CREATE TABLE sales_products (
    id serial PRIMARY KEY,
    name text NOT NULL,
    sku text NOT NULL,
    category text NOT NULL,
    UNIQUE (name, sku, category)
);
CREATE TABLE sales_day_products (
    day date NOT NULL,
    product_id integer NOT NULL,
    tenant_id uuid,
    store_code varchar(100),
    store_id uuid,
    units numeric NOT NULL,
    revenue numeric NOT NULL
);
CREATE INDEX sales_day_products_day ON sales_day_products (day);
CREATE TABLE sales_month_products (LIKE sales_day_products);
ALTER TABLE sales_month_products RENAME COLUMN day TO month;
CREATE INDEX sales_month_products_month ON sales_month_products (month);

-- What changed: an hour of the epoch (that is right in every time zone), a user whose tenant is another now, or, where
-- both are NULL, everything. Nobody updates it, so that no sale waits for another.
CREATE TABLE sales_dirty (hour bigint, user_id uuid);
-- The old application's role marks too. A mark too many costs a reader some time and nothing else.
GRANT INSERT ON sales_dirty TO PUBLIC;

-- A number in a line, as a number or as a text; NULL for anything else, and for what no till sells.
CREATE FUNCTION sales_number(value jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE jsonb_typeof(value)
        WHEN 'number' THEN CASE WHEN abs(value::numeric) < 10000000000 THEN round(value::numeric, 6) END
        WHEN 'string' THEN CASE
            WHEN value #>> '{}' ~ '^ *[-+]?([0-9]{1,10}([.][0-9]{0,100})?|[.][0-9]{1,100}) *$'
            THEN round((value #>> '{}')::numeric, 6) END
    END
$$;
-- A name in a line; NULL for anything that is none.
CREATE FUNCTION sales_text(value jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN jsonb_typeof(value) IN ('string', 'number') THEN nullif(btrim(left(value #>> '{}', 200)), '') END
$$;
"""

# What the functions do not manage must not undo a sale: it is a warning in the server's log, and `roll_up_sales --verify`
# finds the day. The table is named with its schema, since a writer's search_path may be any.
# An hour is counted from the epoch by extract, which reads a `timestamp` as UTC, whatever the session's time zone is.
HOUR = (
    "CASE WHEN {0}.created_at >= '0001-01-02 00:00+00' AND {0}.created_at < '9999-12-30 00:00+00'"
    " THEN floor(extract(epoch FROM {0}.created_at) / 3600)::bigint END"
)
CREATE_TRIGGERS = """
CREATE FUNCTION sales_mark() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO {dirty} (hour)
        SELECT DISTINCT {hour_after} FROM after WHERE {hour_after} IS NOT NULL;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO {dirty} (hour)
        SELECT DISTINCT {hour_before} FROM before WHERE {hour_before} IS NOT NULL;
    ELSIF TG_OP = 'TRUNCATE' THEN
        INSERT INTO {dirty} (hour) VALUES (NULL);
    ELSE
        INSERT INTO {dirty} (hour)
        SELECT DISTINCT hour FROM (
            SELECT {hour_before} AS was, {hour_after} AS became
            FROM before FULL JOIN after USING (id)
            WHERE ({of_before}) IS DISTINCT FROM ({of_after})
        ) AS changed CROSS JOIN LATERAL (VALUES (was), (became)) AS touched (hour)
        WHERE hour IS NOT NULL;
    END IF;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'sales_dirty was not written: % (run manage.py roll_up_sales --rebuild)', SQLERRM;
    RETURN NULL;
END
$$;
CREATE FUNCTION sales_mark_user() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO {dirty} (user_id) VALUES (NEW.id);
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'sales_dirty was not written: % (run manage.py roll_up_sales --rebuild)', SQLERRM;
    RETURN NULL;
END
$$;
CREATE TRIGGER sales_days_inserted AFTER INSERT ON orders REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION sales_mark();
CREATE TRIGGER sales_days_updated AFTER UPDATE ON orders REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION sales_mark();
CREATE TRIGGER sales_days_deleted AFTER DELETE ON orders REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION sales_mark();
CREATE TRIGGER sales_days_truncated AFTER TRUNCATE ON orders
    FOR EACH STATEMENT EXECUTE FUNCTION sales_mark();
-- Whose tenant changes takes their orders along that name none.
CREATE TRIGGER sales_days_moved AFTER UPDATE OF tenant_id ON users FOR EACH ROW
    WHEN (OLD.tenant_id IS DISTINCT FROM NEW.tenant_id) EXECUTE FUNCTION sales_mark_user();
"""

# The columns of an order that the roll-up reads: a change of another one touches no day.
READ_COLUMNS = (
    "created_at",
    "user_id",
    "tenant_id",
    "store_code",
    "store_id",
    "items",
    "total_amount",
    "tax_amount",
    "discount_amount",
    "refunded_amount",
    "order_status",
    "payment_status",
    "delivery_status",
)

DROP_TRIGGERS = """
DROP TRIGGER IF EXISTS sales_days_moved ON users;
DROP TRIGGER IF EXISTS sales_days_truncated ON orders;
DROP TRIGGER IF EXISTS sales_days_deleted ON orders;
DROP TRIGGER IF EXISTS sales_days_updated ON orders;
DROP TRIGGER IF EXISTS sales_days_inserted ON orders;
DROP FUNCTION IF EXISTS sales_mark_user();
DROP FUNCTION IF EXISTS sales_mark();
"""

DROP_TABLES = """
DROP TABLE IF EXISTS sales_dirty, sales_month_products, sales_day_products, sales_products, sales_days, sales_rolled;
DROP FUNCTION IF EXISTS sales_text(jsonb);
DROP FUNCTION IF EXISTS sales_number(jsonb);
"""


def install(connection: BaseDatabaseWrapper) -> None:
    """Create the tables and their triggers; nothing is rolled up yet, so every day is answered from `orders`."""
    with connection.cursor() as cursor:
        cursor.execute(CREATE_TABLES)
        cursor.execute("SELECT current_schema()")
        schema = cursor.fetchone()[0]
        columns = {
            f"of_{side}": sql.SQL(", ").join(sql.Identifier(side, column) for column in READ_COLUMNS)
            for side in ("before", "after")
        }
        hours = {f"hour_{side}": sql.SQL(HOUR.format(side)) for side in ("before", "after")}
        dirty = sql.Identifier(schema, "sales_dirty")
        cursor.execute(sql.SQL(CREATE_TRIGGERS).format(dirty=dirty, **columns, **hours))


def uninstall(connection: BaseDatabaseWrapper) -> None:
    """Drop them: the roll-up holds nothing that `orders` does not."""
    with connection.cursor() as cursor:
        cursor.execute(DROP_TRIGGERS)
        cursor.execute(DROP_TABLES)
