"""Rolling up: the days that are over are computed from `orders` and kept, month by month, until an order of them changes.

Why nothing is lost: an order and its mark in sales_dirty are committed together. A mark is taken away only in a
transaction that declares its days open first and computes them in a later statement, whose snapshot holds every order
whose mark was taken. A mark that is committed later stays, and keeps its day open.
"""

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from psycopg import sql

from . import facts

# One at a time, whoever it is: an advisory lock of this number.
LOCK = 5_417_330_102

# Where a reader finds more than this, it rolls up a month before it answers.
MARKS_TO_LEAVE, DAYS_TO_LEAVE = 1_000, 4


@dataclass(frozen=True)
class Difference:
    """A row that the roll-up has and should not ("kept"), or has not and should ("right")."""

    table: str
    day: str
    side: str
    row: str


def today() -> datetime.date:
    """The day that it is in the shop."""
    return timezone.localdate(timezone=timezone.get_default_timezone())


def parameters(first: datetime.date | str, last: datetime.date | str) -> dict[str, Any]:
    """What every statement over `facts` asks for, for the days from `first` to `last`, both included."""
    return {
        "zone": settings.TIME_ZONE,
        "basis": f"{facts.DEFINITION} {settings.TIME_ZONE}",
        "first": first,
        "last": last,
        "epoch": f"{facts.FIRST_DAY} 00:00+00",
        "doomsday": f"{facts.LAST_DAY} 00:00+00",
    }


# A mark is taken where its days are declared open in the same transaction, or were open anyway.
TAKE_MARKS = sql.SQL(
    """
WITH {marked}, taken AS (DELETE FROM sales_dirty),
open AS (
    UPDATE sales_rolled AS r SET basis = '' WHERE basis <> '' AND (
        EXISTS (SELECT FROM marked WHERE marked.day = r.day)
        OR EXISTS (SELECT FROM marks WHERE hour IS NULL AND user_id IS NULL)
    )
)
SELECT 1"""
).format(marked=facts.MARKED)

# The newest month with an open day that has an order, or had one when it was rolled up.
NEXT_MONTH = sql.SQL(
    """
WITH {rolled}, {open}
SELECT date_trunc('month', greatest(
    (
        SELECT max(timezone(%(zone)s, newest.created_at)) FROM stretches AS s CROSS JOIN LATERAL (
            SELECT o.created_at::timestamptz AS created_at FROM orders AS o
            WHERE o.created_at >= s.starts AND o.created_at < s.ends ORDER BY o.created_at DESC LIMIT 1
        ) AS newest
    ),
    (SELECT max(day) FROM sales_rolled WHERE basis <> %(basis)s AND day <= %(last)s)
))::date"""
).format(rolled=facts.ROLLED, open=facts.OPEN)

OPEN_DAYS = """
SELECT wanted::date FROM generate_series(%(first)s::date, %(last)s::date, '1 day') AS wanted
WHERE NOT EXISTS (SELECT FROM sales_rolled AS r WHERE r.day = wanted::date AND r.basis = %(basis)s)
"""

# All lines of those days, and the products that nobody had sold before.
ROLL_PRODUCTS = sql.SQL(
    """
WITH {rolled}, {open}, {sold}, {lines},
sums AS MATERIALIZED (
    SELECT day, tenant_id, store_code, store_id, name, sku, category, sum(units) AS units, sum(revenue) AS revenue
    FROM lines GROUP BY day, tenant_id, store_code, store_id, name, sku, category
),
new AS (
    INSERT INTO sales_products (name, sku, category)
    SELECT DISTINCT name, sku, category FROM sums
    ON CONFLICT (name, sku, category) DO NOTHING
    RETURNING id, name, sku, category
),
known AS (SELECT id, name, sku, category FROM sales_products UNION ALL SELECT id, name, sku, category FROM new)
INSERT INTO sales_day_products (day, product_id, tenant_id, store_code, store_id, units, revenue)
SELECT day, known.id, tenant_id, store_code, store_id, units, revenue FROM sums JOIN known USING (name, sku, category)
ORDER BY day"""
).format(rolled=facts.ROLLED, open=facts.OPEN, sold=facts.sold(), lines=facts.lines())

ROLL_DAYS = sql.SQL(
    """
WITH {rolled}, {open}, {sold}
INSERT INTO sales_days (day, tenant_id, store_code, store_id, orders, revenue, tax, discounts, placed, returned, units)
SELECT day, tenant_id, store_code, store_id,
    sum(orders), sum(revenue), sum(tax), sum(discounts), sum(placed), sum(returned), sum(units)
FROM (
    SELECT day, tenant_id, store_code, store_id, {sums}, 0 AS units FROM sold
    GROUP BY day, tenant_id, store_code, store_id
    UNION ALL
    SELECT day, tenant_id, store_code, store_id, 0, 0, 0, 0, 0, 0, units FROM sales_day_products
    WHERE day = ANY(%(days)s::date[])
) AS parts
GROUP BY day, tenant_id, store_code, store_id"""
).format(rolled=facts.ROLLED, open=facts.OPEN, sold=facts.sold(), sums=facts.SUMS)

ROLL_MONTH = """
DELETE FROM sales_month_products WHERE month = %(first)s;
INSERT INTO sales_month_products (month, product_id, tenant_id, store_code, store_id, units, revenue)
SELECT %(first)s, product_id, tenant_id, store_code, store_id, sum(units), sum(revenue)
FROM sales_day_products WHERE day BETWEEN %(first)s AND %(last)s
GROUP BY product_id, tenant_id, store_code, store_id
"""

DECLARE = """
INSERT INTO sales_rolled (day, basis) SELECT day, %(basis)s FROM unnest(%(days)s::date[]) AS day
ON CONFLICT (day) DO UPDATE SET basis = excluded.basis
"""

# Whether a reader should roll up before it answers: a day is over and not rolled up, or too much is marked to ask
# `orders` for it each time. A few late changes are left to the command.
IS_DUE = sql.SQL(
    """
WITH {marked}, {rolled}, {open}
SELECT (SELECT count(*) FROM (SELECT FROM sales_dirty LIMIT %(marks)s + 1) AS a_few) > %(marks)s
    OR EXISTS (SELECT FROM marks WHERE hour IS NULL AND user_id IS NULL)
    OR (SELECT count(*) FROM clean JOIN marked USING (day)) > %(days)s
    OR EXISTS (SELECT FROM stretches AS s CROSS JOIN LATERAL (
        SELECT FROM orders AS o WHERE o.created_at >= s.starts AND o.created_at < s.ends LIMIT 1) AS waiting)"""
).format(marked=facts.MARKED, rolled=facts.ROLLED, open=facts.OPEN)

# Rolled-up days against the orders of those days, and months against their days. In one statement: one snapshot.
COMPARE = sql.SQL(
    """
WITH {marked}, {clean},
stretches AS MATERIALIZED (
    SELECT timezone(%(zone)s, day::timestamp) AS starts, timezone(%(zone)s, (day + 1)::timestamp) AS ends FROM clean
),
{sold}, {lines},
right_products AS (
    SELECT day, tenant_id, store_code, store_id, name, sku, category, sum(units) AS units, sum(revenue) AS revenue
    FROM lines GROUP BY 1, 2, 3, 4, 5, 6, 7
),
right_days AS (
    SELECT day, tenant_id, store_code, store_id, sum(orders) AS orders, sum(revenue) AS revenue, sum(tax) AS tax,
        sum(discounts) AS discounts, sum(placed) AS placed, sum(returned) AS returned, sum(units) AS units
    FROM (
        SELECT day, tenant_id, store_code, store_id, {sums}, 0 AS units FROM sold GROUP BY 1, 2, 3, 4
        UNION ALL
        SELECT day, tenant_id, store_code, store_id, 0, 0, 0, 0, 0, 0, sum(units) FROM right_products GROUP BY 1, 2, 3, 4
    ) AS parts GROUP BY 1, 2, 3, 4
),
kept_products AS (
    SELECT d.day, d.tenant_id, d.store_code, d.store_id, p.name, p.sku, p.category, d.units, d.revenue
    FROM sales_day_products AS d JOIN clean USING (day) LEFT JOIN sales_products AS p ON p.id = d.product_id
),
kept_days AS (
    SELECT day, tenant_id, store_code, store_id, orders, revenue, tax, discounts, placed, returned, units
    FROM sales_days JOIN clean USING (day)
),
right_months AS (
    SELECT date_trunc('month', day)::date AS month, tenant_id, store_code, store_id, product_id,
        sum(units) AS units, sum(revenue) AS revenue
    FROM sales_day_products GROUP BY 1, 2, 3, 4, 5
),
kept_months AS (
    SELECT month, tenant_id, store_code, store_id, product_id, units, revenue FROM sales_month_products
)
{differences}"""
)
ONE_WAY = "SELECT '{table}', {key}::text, '{side}', to_jsonb(d)::text FROM (TABLE {one} EXCEPT ALL TABLE {other}) AS d"


def roll_up(
    *, seconds: float | None = None, wait: bool = True, progress: Callable[[str], None] = lambda line: None
) -> int:
    """Roll up every day that is over and open, newest month first, one transaction per month. Returns how many days.

    Stops after `seconds`, with what is done done. Without `wait` it does nothing while somebody else is at it.
    """
    began = time.monotonic()
    done = 0
    while True:
        days = _roll_up_month(wait=wait)
        if days is None:
            return done
        done += len(days)
        if days:
            progress(f"{days[0]:%Y-%m}: {len(days)} days, {time.monotonic() - began:.1f} s in all")
        if seconds is not None and time.monotonic() - began >= seconds:
            return done


def roll_up_if_due() -> None:
    """Before a reader answers: one month at most, and nothing where another is at it or the server takes no writes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('transaction_read_only') = 'on'")
        if cursor.fetchone()[0]:
            return
        last = today() - datetime.timedelta(days=1)
        cursor.execute(IS_DUE, {**parameters(facts.FIRST_DAY, last), "marks": MARKS_TO_LEAVE, "days": DAYS_TO_LEAVE})
        due = cursor.fetchone()[0]
    if due:
        roll_up(seconds=0, wait=False)


def forget() -> None:
    """Let no day count as rolled up, as after changes that no trigger saw."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO sales_dirty (hour) VALUES (NULL)")


def differences(limit: int = 20) -> list[Difference]:
    """Where the roll-up is not what `orders` say: computed again and compared, row by row, in one snapshot."""
    pairs = [
        ("sales_days", "day", "days"),
        ("sales_day_products", "day", "products"),
        ("sales_month_products", "month", "months"),
    ]
    ways = [
        ONE_WAY.format(table=table, key=key, side=side, one=f"{side}_{name}", other=f"{other}_{name}")
        for table, key, name in pairs
        for side, other in (("kept", "right"), ("right", "kept"))
    ]
    statement = COMPARE.format(
        marked=facts.MARKED,
        clean=facts.CLEAN,
        sold=facts.sold(),
        lines=facts.lines(),
        sums=facts.SUMS,
        differences=sql.SQL(" UNION ALL ").join(map(sql.SQL, ways)),
    )
    with transaction.atomic(), connection.cursor() as cursor:
        _tune(cursor)
        cursor.execute(
            sql.SQL("{} ORDER BY 2, 1, 3, 4 LIMIT %(limit)s").format(statement),
            {**parameters(facts.FIRST_DAY, facts.LAST_DAY), "limit": limit},
        )
        return [Difference(*row) for row in cursor.fetchall()]


def _roll_up_month(*, wait: bool) -> list[datetime.date] | None:
    """Take all marks, and roll up the newest month that has open days. None where there is nothing to do."""
    with transaction.atomic(), connection.cursor() as cursor:
        if wait:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        else:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
            if not cursor.fetchone()[0]:
                return None
        _tune(cursor)
        yesterday = today() - datetime.timedelta(days=1)
        values = parameters(facts.FIRST_DAY, yesterday)
        cursor.execute(TAKE_MARKS, values)
        cursor.execute(NEXT_MONTH, values)
        month = cursor.fetchone()[0]
        if month is None:
            return None
        end = (month + datetime.timedelta(days=31)).replace(day=1) - datetime.timedelta(days=1)
        values |= {"first": month, "last": min(end, yesterday)}
        cursor.execute(OPEN_DAYS, values)
        days = [day for (day,) in cursor.fetchall()]
        values |= {"days": days}
        cursor.execute("DELETE FROM sales_days WHERE day = ANY(%(days)s::date[])", values)
        cursor.execute("DELETE FROM sales_day_products WHERE day = ANY(%(days)s::date[])", values)
        cursor.execute(ROLL_PRODUCTS, values)
        cursor.execute(ROLL_DAYS, values)
        cursor.execute(ROLL_MONTH, values | {"last": end})
        cursor.execute(DECLARE, values)
        return days


def _tune(cursor: Any) -> None:
    """Memory for a month's sorts; compiling its plans does not pay."""
    cursor.execute("SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)")
