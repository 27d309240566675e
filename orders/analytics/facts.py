"""What an order comes to: the one definition, read by the roll-up and by the answers for days that are not in it.

Counted is an order that is not parked, resumed, cancelled, failed or refunded, by any of its three statuses; one that is
not paid yet counts. Its revenue is its total less what was given back. A line's revenue is price × quantity less its
discount, before tax, less what was given back: a line that was returned loses its part, an amount given back for the
whole order is taken from its lines in proportion.

The statements are composed of named parts of one WITH. Their parameters: zone, basis, first, last (days).
"""

from psycopg import sql

# Changes with the meaning of any column of the roll-up: what was rolled up before no longer holds then.
DEFINITION = 1

FIRST_DAY, LAST_DAY = "0001-01-03", "9999-12-28"  # what an order's time may be; others, infinity, NULL have no day

# Days that something changed in since they were rolled up; they are few. An hour may belong to two days.
MARKED = sql.SQL(
    """
marks AS MATERIALIZED (SELECT DISTINCT hour, user_id FROM sales_dirty),
marked AS MATERIALIZED (
    SELECT timezone(%(zone)s, to_timestamp(second))::date AS day
    FROM marks CROSS JOIN LATERAL (VALUES (hour * 3600.0), (hour * 3600.0 + 3599)) AS ends (second)
    WHERE hour IS NOT NULL
    UNION
    SELECT timezone(%(zone)s, o.created_at::timestamptz)::date
    FROM marks JOIN orders AS o ON o.user_id = marks.user_id
    WHERE o.tenant_id IS NULL AND o.created_at >= %(epoch)s AND o.created_at < %(doomsday)s
)"""
)

# Days of the period that the roll-up has right, and the stretches between them, which are asked of `orders`.
CLEAN = sql.SQL(
    """
clean AS MATERIALIZED (
    SELECT r.day FROM sales_rolled AS r
    WHERE r.basis = %(basis)s AND r.day BETWEEN %(first)s AND %(last)s
        AND NOT EXISTS (SELECT FROM marked WHERE marked.day = r.day)
        AND NOT EXISTS (SELECT FROM marks WHERE hour IS NULL AND user_id IS NULL)
)"""
)
# The same while rolling up, for which marks are none of its business: it took those that it saw.
ROLLED = sql.SQL(
    "clean AS MATERIALIZED"
    " (SELECT day FROM sales_rolled WHERE basis = %(basis)s AND day BETWEEN %(first)s AND %(last)s)"
)
OPEN = sql.SQL(
    """
stretches AS MATERIALIZED (
    SELECT timezone(%(zone)s, (before + 1)::timestamp) AS starts, timezone(%(zone)s, day::timestamp) AS ends
    FROM (
        SELECT day, lag(day, 1, %(first)s::date - 1) OVER (ORDER BY day) AS before
        FROM (SELECT day FROM clean UNION ALL SELECT %(last)s::date + 1) AS edges
    ) AS gaps
    WHERE day > before + 1
)"""
)

# Orders of the stretches, as they count. NaN and what no money column of ours holds is 0.
SOLD = sql.SQL(
    """
sold AS {materialized} (
    SELECT o.id, timezone(%(zone)s, o.created_at::timestamptz)::date AS day,
        whose.tenant_id, o.store_code, o.store_id, o.items,
        NOT stands.out AND NOT stands.refunded AS counted,
        NOT stands.out AS placed,
        NOT stands.out AND (stands.refunded OR money.refunded > 0) AS returned,
        money.*
    FROM stretches AS s
    CROSS JOIN LATERAL (
        SELECT * FROM orders WHERE created_at >= s.starts AND created_at < s.ends
        OFFSET 0 -- by the index, stretch by stretch: mostly there is one, and it is today
    ) AS o
    CROSS JOIN LATERAL (SELECT
        coalesce(o.tenant_id, (SELECT u.tenant_id FROM users AS u WHERE u.id = o.user_id)) AS tenant_id
    ) AS whose
    CROSS JOIN LATERAL (SELECT
        ARRAY[lower(o.order_status), lower(o.payment_status), lower(o.delivery_status)]
            && '{{cancelled,canceled,failed,parked,resumed,voided}}' AS out,
        'refunded' IN (lower(o.order_status), lower(o.payment_status), lower(o.delivery_status)) IS TRUE AS refunded
    ) AS stands
    CROSS JOIN LATERAL (SELECT
        CASE WHEN abs(o.total_amount) < 10000000000 THEN o.total_amount ELSE 0 END AS total,
        CASE WHEN abs(o.refunded_amount) < 10000000000 THEN o.refunded_amount ELSE 0 END AS refunded,
        CASE WHEN abs(o.tax_amount) < 10000000000 THEN o.tax_amount ELSE 0 END AS tax,
        CASE WHEN abs(o.discount_amount) < 10000000000 THEN o.discount_amount ELSE 0 END AS discounts
    ) AS money
    WHERE {orders}
)"""
)

# Lines of counted orders. A till nests what it sells under `product`, the shop does not; anything that is no object is no
# line. Without a quantity it is one.
LINES = sql.SQL(
    """
lines AS (
    SELECT sold.day, sold.tenant_id, sold.store_code, sold.store_id,
        coalesce(sales_text(product -> 'name'), sales_text(line -> 'name'), sales_text(line -> 'product_name'),
            sales_text(line -> 'product'), sales_text(product -> 'sku'), sales_text(line -> 'sku'),
            sales_text(product -> 'id'), sales_text(line -> 'product_id'), sales_text(line -> 'id'), 'Unknown') AS name,
        coalesce(sales_text(product -> 'sku'), sales_text(line -> 'sku'), '') AS sku,
        coalesce(sales_text(product -> 'category'), sales_text(line -> 'category'),
            sales_text(product -> 'category' -> 'name'), sales_text(line -> 'category' -> 'name'), '') AS category,
        quantity * kept.part AS units,
        greatest(least(coalesce(price * quantity - CASE
            WHEN sales_text(line -> 'discount_type') IN ('percentage', 'percent', '%%')
            THEN price * quantity * sales_number(line -> 'discount') / 100
            ELSE coalesce(sales_number(line -> 'discount'), 0) END,
            sales_number(line -> 'subtotal'), sales_number(line -> 'total'), 0), 1e16), -1e16)
            * kept.part * kept.share AS revenue
    FROM sold
    CROSS JOIN LATERAL jsonb_array_elements(
        CASE jsonb_typeof(sold.items) WHEN 'array' THEN sold.items ELSE '[]' END
    ) WITH ORDINALITY AS item (line, position)
    CROSS JOIN LATERAL (SELECT
        CASE jsonb_typeof(line -> 'product') WHEN 'object' THEN line -> 'product' ELSE '{{}}' END AS product,
        coalesce(sales_number(line -> 'quantity'), 1) AS quantity
        OFFSET 0 -- computed once per line, not once per use
    ) AS sort
    CROSS JOIN LATERAL (SELECT
        coalesce(sales_number(product -> 'price'), sales_number(line -> 'price'), sales_number(line -> 'unit_price'))
            AS price
    ) AS priced
    CROSS JOIN LATERAL (SELECT
        CASE WHEN sold.refunded > 0 AND quantity > 0 THEN 1 - least(1, coalesce((
            SELECT sum(greatest(sales_number(given -> 'quantity'), 0))
            FROM refunds AS r CROSS JOIN LATERAL jsonb_array_elements(
                CASE jsonb_typeof(r.lines) WHEN 'array' THEN r.lines ELSE '[]' END) AS given
            WHERE r.order_id = sold.id AND sales_number(given -> 'index') = position - 1
        ), 0) / quantity) ELSE 1 END AS part,
        CASE WHEN sold.refunded > 0 AND sold.total > 0 THEN 1 - least(1, greatest(0, sold.refunded - coalesce((
            SELECT sum(r.amount) FROM refunds AS r
            WHERE r.order_id = sold.id AND jsonb_typeof(r.lines) = 'array' AND r.lines <> '[]'
        ), 0)) / sold.total) ELSE 1 END AS share
    ) AS kept
    WHERE sold.counted AND jsonb_typeof(line) = 'object'
)"""
)

# One day of one store, as sales_days has it, but for the units, which are its lines'.
SUMS = sql.SQL(
    """
count(*) FILTER (WHERE counted) AS orders,
coalesce(sum(total - refunded) FILTER (WHERE counted), 0) AS revenue,
coalesce(sum(tax) FILTER (WHERE counted), 0) AS tax,
coalesce(sum(discounts) FILTER (WHERE counted), 0) AS discounts,
count(*) FILTER (WHERE placed) AS placed,
count(*) FILTER (WHERE returned) AS returned"""
)


EVERY_ORDER = sql.SQL("true")


def sold(orders: sql.Composable = EVERY_ORDER, *, materialized: bool = False) -> sql.Composed:
    """The part `sold`, narrowed by a condition on the order `o` and on `whose.tenant_id`."""
    return SOLD.format(orders=orders, materialized=sql.SQL("MATERIALIZED" if materialized else "NOT MATERIALIZED"))


def lines() -> sql.Composed:
    """The part `lines`, of the orders in `sold`."""
    return LINES.format()
