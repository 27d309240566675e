"""The questions of the analytics calls. Each statement reads the roll-up and `orders` in one snapshot.

`Scope` says whose figures: everything below it counts only orders and people of that scope.
"""

import datetime
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from psycopg import sql

from orders.models import Order
from orders.selectors import with_status

from . import facts, rollup
from .rollup import parameters, today

DAYS_OF_DASHBOARD = 30
DAYS = {"7d": 7, "30d": 30, "90d": 90, "1y": 365}
UNCATEGORISED = "Uncategorized"
VIP_SPENT, REGULAR_ORDERS = 1_000, 3
# Of more people than this, the figures are a minute old at most: one pass over a million takes some tenths of a second.
MANY = 100_000
# Who is younger than so many years, and not in the group before.
AGES = {"under_18": 18, "18-24": 25, "25-34": 35, "35-44": 45, "45-54": 55, "55-64": 65, "65+": 130}


@dataclass(frozen=True)
class Scope:
    """Whose figures: of one tenant (None: of those without) or, with `every_tenant`, of all; of one store or all."""

    tenant_id: uuid.UUID | None = None
    every_tenant: bool = False
    store: str | None = None

    @property
    def values(self) -> dict[str, Any]:
        return {"tenant": self.tenant_id, "store": self.store, "store_id": _as_uuid(self.store)}

    def kept(self) -> sql.Composable:
        """A condition on a row of the roll-up."""
        return _condition(self._tenant(sql.SQL("tenant_id")), self._store(sql.SQL("store_code"), sql.SQL("store_id")))

    def orders(self) -> sql.Composable:
        """The same on an order `o`."""
        return _condition(
            self._tenant(sql.SQL("whose.tenant_id")), self._store(sql.SQL("o.store_code"), sql.SQL("o.store_id"))
        )

    def people(self) -> sql.Composable:
        """A condition on a profile `p`. People belong to a tenant, not to a store."""
        if self.every_tenant:
            return sql.SQL("true")
        if self.tenant_id is None:  # who has a tenant is few where there are none, and the join small
            return sql.SQL("NOT EXISTS (SELECT FROM users AS u WHERE u.id = p.user_id AND u.tenant_id IS NOT NULL)")
        return sql.SQL("EXISTS (SELECT FROM users AS u WHERE u.id = p.user_id AND u.tenant_id = %(tenant)s)")

    def _tenant(self, column: sql.Composable) -> sql.Composable:
        if self.every_tenant:
            return sql.SQL("true")
        return sql.SQL("{} IS NULL" if self.tenant_id is None else "{} = %(tenant)s").format(column)

    def _store(self, code: sql.Composable, key: sql.Composable) -> sql.Composable:
        if self.store is None:
            return sql.SQL("true")
        if _as_uuid(self.store) is None:
            return sql.SQL("{} = %(store)s").format(code)
        return sql.SQL("({key} = %(store_id)s OR {code} IN (%(store)s, %(store_id)s::text))").format(code=code, key=key)


@dataclass(frozen=True)
class Sums:
    """What some days come to."""

    orders: int = 0
    revenue: Decimal = Decimal(0)
    tax: Decimal = Decimal(0)
    discounts: Decimal = Decimal(0)
    units: Decimal = Decimal(0)
    placed: int = 0
    returned: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    @property
    def average(self) -> Decimal:
        return _ratio(self.revenue, self.orders)


@dataclass(frozen=True)
class Product:
    name: str
    sku: str
    category: str
    units: Decimal
    revenue: Decimal


# Day by day; a day without orders is missing.
SUMS_BY_DAY = sql.SQL(
    """
WITH {marked}, {clean}, {open}, {sold}{lines}
SELECT day, sum(orders)::bigint, sum(revenue), sum(tax), sum(discounts), sum(units),
    sum(placed)::bigint, sum(returned)::bigint
FROM (
    SELECT day, orders, revenue, tax, discounts, units, placed, returned FROM sales_days JOIN clean USING (day) WHERE {kept}
    UNION ALL
    SELECT day, orders, revenue, tax, discounts, 0, placed, returned
    FROM (SELECT day, {sums} FROM sold GROUP BY day) AS live
    {live_units}
) AS parts
GROUP BY day ORDER BY day"""
)
LIVE_UNITS = sql.SQL("UNION ALL SELECT day, 0, 0, 0, 0, sum(units), 0, 0 FROM lines GROUP BY day")

# Whole months from sales_month_products, less what of them does not hold any more; the days beside them from
# sales_day_products; the rest from `orders`.
SUMS_BY_PRODUCT = sql.SQL(
    """
WITH {marked}, {clean}, {open}, {sold}, {lines},
months AS MATERIALIZED (
    SELECT DISTINCT date_trunc('month', day)::date AS month FROM clean
    WHERE date_trunc('month', day) >= %(first)s AND date_trunc('month', day) + interval '1 month' <= %(last)s::date + 1
),
kept AS (
    SELECT product_id, sum(units) AS units, sum(revenue) AS revenue FROM (
        SELECT product_id, units, revenue FROM sales_month_products JOIN months USING (month) WHERE {kept}
        UNION ALL
        SELECT d.product_id, days.sign * d.units, days.sign * d.revenue
        FROM (
            SELECT day, 1 AS sign FROM clean
            WHERE NOT EXISTS (SELECT FROM months WHERE month = date_trunc('month', day)::date)
            UNION ALL
            SELECT day, -1 FROM sales_rolled AS r
            WHERE EXISTS (SELECT FROM months WHERE month = date_trunc('month', day)::date)
                AND NOT EXISTS (SELECT FROM clean WHERE clean.day = r.day)
        ) AS days
        JOIN sales_day_products AS d USING (day)
        WHERE {kept}
    ) AS kept_parts
    GROUP BY product_id
)
SELECT name, sku, category, sum(units) AS units, sum(revenue) AS revenue
FROM (
    SELECT name, sku, category, units, revenue FROM kept JOIN sales_products AS p ON p.id = kept.product_id
    UNION ALL
    SELECT name, sku, category, sum(units), sum(revenue) FROM lines GROUP BY name, sku, category
) AS all_products
GROUP BY name, sku, category"""
)

# Days on which, says the roll-up, the scope has no order are not searched: a small tenant's may be far between.
RECENT = sql.SQL(
    """
WITH {marked}, {clean},
idle AS MATERIALIZED (
    SELECT day FROM clean WHERE NOT EXISTS (SELECT FROM sales_days AS d WHERE d.day = clean.day AND {kept})
)
SELECT o.id, o.order_number,
    nullif(btrim(concat_ws(' ', nullif(btrim(p.first_name), ''), nullif(btrim(p.last_name), ''))), '') AS name,
    coalesce(p.contact_email, u.email), o.total_amount, o.created_at::timestamptz
FROM (
    SELECT o.* FROM orders AS o
    CROSS JOIN LATERAL (SELECT
        coalesce(o.tenant_id, (SELECT u.tenant_id FROM users AS u WHERE u.id = o.user_id)) AS tenant_id
    ) AS whose
    WHERE o.created_at >= %(month)s AND o.created_at < %(until)s AND {orders}
        AND timezone(%(zone)s, o.created_at::timestamptz)::date NOT IN (SELECT day FROM idle)
    ORDER BY o.created_at DESC, o.id DESC LIMIT 10
) AS o
LEFT JOIN users AS u ON u.id = o.user_id
LEFT JOIN profiles AS p ON p.user_id = o.user_id
ORDER BY o.created_at DESC, o.id DESC"""
)

NEW_PEOPLE = sql.SQL(
    """
SELECT count(*),
    count(*) FILTER (WHERE p.created_at >= %(month)s AND p.created_at < %(until)s),
    count(*) FILTER (WHERE p.created_at >= %(before)s AND p.created_at < %(month)s),
    count(*) FILTER (WHERE p.created_at >= %(week)s AND p.created_at < %(until)s)
FROM profiles AS p WHERE {people}"""
)

# Everybody in one pass, without groups, which several processes do together. Ages are counted from the youngest up; who is
# born after today, or on no day that there is, has an unknown one.
PEOPLE = sql.SQL(
    """
SELECT count(*), count(*) FILTER (WHERE is_new),
    count(*) FILTER (WHERE p.last_order_date >= %(month)s AND p.last_order_date < %(until)s AND p.order_count > 1),
    coalesce(sum(p.total_spent) FILTER (WHERE abs(p.total_spent) < 1000000000000), 0),
    count(*) FILTER (WHERE p.order_count > 0), count(*) FILTER (WHERE p.order_count > 1),
    count(*) FILTER (WHERE is_vip),
    count(*) FILTER (WHERE is_new AND is_vip IS NOT TRUE),
    count(*) FILTER (WHERE p.order_count >= %(regular)s AND is_new IS NOT TRUE AND is_vip IS NOT TRUE),
    count(*) FILTER (WHERE p.date_of_birth > %(born_0)s),
    {ages}
FROM profiles AS p
CROSS JOIN LATERAL (SELECT
    p.created_at >= %(month)s AND p.created_at < %(until)s AS is_new,
    p.customer_type = 'vip' OR p.total_spent >= %(vip)s AS is_vip
) AS kind
WHERE {people}"""
)
CITIES = sql.SQL(
    """
SELECT city, sum(people)::bigint FROM (
    SELECT nullif(btrim(city), '') AS city, people
    FROM (SELECT p.city, count(*) AS people FROM profiles AS p WHERE {people} GROUP BY p.city) AS as_typed
) AS trimmed
WHERE city IS NOT NULL GROUP BY city ORDER BY 2 DESC, 1 LIMIT 10"""
)


def dashboard(scope: Scope) -> dict[str, Any]:
    """The last 30 days, today included, each trend against the 30 before."""
    rollup.roll_up_if_due()
    now = today()
    month, before = _back(now, DAYS_OF_DASHBOARD), _back(now, 2 * DAYS_OF_DASHBOARD)
    with _reading() as cursor:
        days = _days(cursor, scope, before, now, units=True)
        sold = _products(cursor, scope, month, now)
        cursor.execute(
            RECENT.format(marked=facts.MARKED, clean=facts.CLEAN, kept=scope.kept(), orders=scope.orders()),
            parameters(month, now) | scope.values | _times(now),
        )
        recent = cursor.fetchall()
        told = with_status(Order.objects.filter(pk__in=[key for key, *_ in recent]))
        statuses = dict(told.values_list("pk", "shown_status"))
        cursor.execute(NEW_PEOPLE.format(people=scope.people()), scope.values | _times(now))
        people, new, new_before, new_this_week = cursor.fetchone()
    total = sum((found for day, found in days.items() if day >= month), Sums())
    previous = sum((found for day, found in days.items() if day < month), Sums())
    lines = sum((product.revenue for product in sold if product.revenue > 0), Decimal(0))
    return {
        "revenue": {
            "total": _money(total.revenue),
            "trend": _trend(total.revenue, previous.revenue),
            "chart_data": [
                {"date": day, "revenue": _money(days.get(day, Sums()).revenue)} for day in _each(month, now)
            ],
        },
        "orders": {
            "total": total.orders,
            "trend": _trend(total.orders, previous.orders),
            "recent": [
                {
                    "id": key,
                    "order_number": number,
                    "customer": name or email or "Guest",
                    "total": _money(_finite(amount)),
                    "status": statuses.get(key, "pending"),
                    "time": timezone.localtime(at),
                }
                for key, number, name, email, amount, at in recent
            ],
            "average_value": _money(total.average),
        },
        "customers": {
            "total": people,
            "trend": _trend(new, new_before),
            "new": new,
            "new_this_week": new_this_week,
        },
        "inventory": {"total": 0, "low_stock": 0, "out_of_stock": 0},
        "sales_by_category": {
            category["category"]: _percent(category["revenue"], lines)
            for category in _categories(sold)
            if category["revenue"] > 0
        },
        "top_products": [
            {"name": product.name, "sales": _units(product.units), "revenue": _money(product.revenue)}
            for product in _by_name(sold)[:10]
        ],
        "metrics": {
            "average_cart_size": float(round(_ratio(total.units, total.orders), 2)),
            "return_rate": _percent(total.returned, total.placed),
        },
    }


def revenue(scope: Scope, period: str) -> dict[str, Any]:
    """Day by day over `period`, a key of DAYS, today included; days without orders are 0."""
    rollup.roll_up_if_due()
    now = today()
    first = _back(now, DAYS[period])
    with _reading() as cursor:
        days = _days(cursor, scope, first, now)
    total = sum(days.values(), Sums())
    peak = max(days, key=lambda day: days[day].revenue, default=None)
    return {
        "period": period,
        "data": [
            {
                "date": day,
                "revenue": _money(days.get(day, Sums()).revenue),
                "orders": days.get(day, Sums()).orders,
                "average_order": _money(days.get(day, Sums()).average),
            }
            for day in _each(first, now)
        ],
        "summary": {
            "total": _money(total.revenue),
            "average_daily": _money(total.revenue / DAYS[period]),
            "peak_day": peak,
            "peak_revenue": _money(days[peak].revenue) if peak else 0.0,
        },
    }


def products(scope: Scope, limit: int, period: str | None) -> dict[str, Any]:
    """What sold best, by revenue, ever or over `period`. A product is what has one name."""
    rollup.roll_up_if_due()
    now = today()
    first, last = (_back(now, DAYS[period]), now) if period else (facts.FIRST_DAY, facts.LAST_DAY)
    with _reading() as cursor:
        sold = _products(cursor, scope, first, last)
    return {
        "top_products": [
            {
                "name": product.name,
                "category": product.category or UNCATEGORISED,
                "units": _units(product.units),
                "revenue": _money(product.revenue),
            }
            for product in _by_name(sold)[:limit]
        ],
        "categories_performance": [
            {**category, "units": _units(category["units"]), "revenue": _money(category["revenue"])}
            for category in _categories(sold)
        ],
    }


def sales(scope: Scope, first: datetime.date, last: datetime.date, period: str) -> dict[str, Any]:
    """The days from `first` to `last`, both included; `period` is how they were asked for."""
    rollup.roll_up_if_due()
    with _reading() as cursor:
        total = sum(_days(cursor, scope, first, last).values(), Sums())
        sold = _products(cursor, scope, first, last)
    return {
        "period": {"start_date": first, "end_date": last, "period_type": period},
        "summary": {
            "total_orders": total.orders,
            "total_revenue": _money(total.revenue),
            "average_order_value": _money(total.average),
            "total_tax": _money(total.tax),
            "total_discounts": _money(total.discounts),
        },
        "top_products": [
            {
                "product_name": product.name,
                "sku": product.sku or None,
                "units_sold": _units(product.units),
                "revenue": _money(product.revenue),
            }
            for product in _by_sku(sold)[:10]
        ],
    }


def customers(scope: Scope) -> dict[str, Any]:
    """`_customers`; of many people, an answer is given for a minute."""
    key = f"analytics-customers:{settings.TIME_ZONE}:{today()}:{scope.every_tenant}:{scope.tenant_id}"
    found: dict[str, Any] | None = cache.get(key)
    if found is None:
        found = _customers(scope)
        if found["total_customers"] > MANY:
            cache.set(key, found, 60)
    return found


def _customers(scope: Scope) -> dict[str, Any]:
    """Everybody of the tenant; 30 days are the last 30, today included. Lifetime value is the mean total_spent of who bought,
    retention the percentage of them who bought again. Segments are disjoint."""
    now = today()
    values = scope.values | _times(now) | {"vip": VIP_SPENT, "regular": REGULAR_ORDERS}
    values |= {f"born_{years}": _years_ago(now, years) for years in (0, *AGES.values())}
    younger = sql.SQL(", ").join(
        sql.SQL("count(*) FILTER (WHERE p.date_of_birth > {})").format(sql.Placeholder(f"born_{years}"))
        for years in AGES.values()
    )
    with _reading() as cursor:
        cursor.execute(PEOPLE.format(people=scope.people(), ages=younger), values)
        (total, new, back, spent, buyers, repeated, vip, new_only, regular, unborn, *by_age) = cursor.fetchone()
        cursor.execute(CITIES.format(people=scope.people()), values)
        cities = cursor.fetchall()
    ages = {group: count - below for group, count, below in zip(AGES, by_age, [unborn, *by_age], strict=False)}
    return {
        "total_customers": total,
        "new_customers_30d": new,
        "returning_customers_30d": back,
        "customer_lifetime_value": _money(_ratio(spent, buyers)),
        "retention_rate": _percent(repeated, buyers),
        "segments": {
            "vip": vip,
            "regular": regular,
            "occasional": total - vip - regular - new_only,
            "new": new_only,
        },
        "demographics": {
            "age_groups": {**ages, "unknown": total - sum(ages.values())},
            "top_locations": [{"city": city, "customers": count} for city, count in cities],
        },
    }


@contextmanager
def _reading() -> Iterator[CursorWrapper]:
    """A cursor whose statements have the memory for a million groups; compiling their plans does not pay."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)")
        yield cursor


def _days(
    cursor: CursorWrapper, scope: Scope, first: datetime.date, last: datetime.date, *, units: bool = False
) -> dict[datetime.date, Sums]:
    statement = SUMS_BY_DAY.format(
        marked=facts.MARKED,
        clean=facts.CLEAN,
        open=facts.OPEN,
        sold=facts.sold(scope.orders(), materialized=units),
        lines=sql.SQL(", {}").format(facts.lines()) if units else sql.SQL(""),
        live_units=LIVE_UNITS if units else sql.SQL(""),
        sums=facts.SUMS,
        kept=scope.kept(),
    )
    cursor.execute(statement, parameters(first, last) | scope.values)
    return {day: Sums(*sums) for day, *sums in cursor.fetchall()}


def _products(
    cursor: CursorWrapper, scope: Scope, first: datetime.date | str, last: datetime.date | str
) -> list[Product]:
    statement = SUMS_BY_PRODUCT.format(
        marked=facts.MARKED,
        clean=facts.CLEAN,
        open=facts.OPEN,
        sold=facts.sold(scope.orders()),
        lines=facts.lines(),
        kept=scope.kept(),
    )
    cursor.execute(statement, parameters(first, last) | scope.values)
    return [Product(*row) for row in cursor.fetchall()]


def _by_name(sold: Sequence[Product]) -> list[Product]:
    """One per name, best first; its category is the one that sold most of it."""
    return _grouped(sold, lambda product: (product.name, ""))


def _by_sku(sold: Sequence[Product]) -> list[Product]:
    """One per name and sku, best first. Lines that name no sku go to the only one that the name has."""
    skus: dict[str, set[str]] = {}
    for product in sold:
        if product.sku:
            skus.setdefault(product.name, set()).add(product.sku)
    only = {name: next(iter(found)) for name, found in skus.items() if len(found) == 1}
    return _grouped(sold, lambda product: (product.name, product.sku or only.get(product.name, "")))


def _grouped(sold: Sequence[Product], key: Callable[[Product], tuple[str, str]]) -> list[Product]:
    groups: dict[tuple[str, str], list[Product]] = {}
    for product in sold:
        groups.setdefault(key(product), []).append(product)
    found = [
        Product(
            name,
            sku,
            max(parts, key=lambda part: (bool(part.category), part.revenue, part.category)).category,
            sum((part.units for part in parts), Decimal(0)),
            sum((part.revenue for part in parts), Decimal(0)),
        )
        for (name, sku), parts in groups.items()
    ]
    return sorted(found, key=lambda product: (-product.revenue, -product.units, product.name, product.sku))


def _categories(sold: Sequence[Product]) -> list[dict[str, Any]]:
    """{category, units, revenue} of each, best first."""
    found: dict[str, dict[str, Any]] = {}
    for product in sold:
        name = product.category or UNCATEGORISED
        sums = found.setdefault(name, {"category": name, "units": Decimal(0), "revenue": Decimal(0)})
        sums["units"] += product.units
        sums["revenue"] += product.revenue
    return sorted(found.values(), key=lambda category: (-category["revenue"], category["category"]))


def _times(now: datetime.date) -> dict[str, Any]:
    """When the dashboard's stretches begin, as moments; `until` is the end of today."""
    return {
        "month": _midnight(_back(now, DAYS_OF_DASHBOARD)),
        "before": _midnight(_back(now, 2 * DAYS_OF_DASHBOARD)),
        "week": _midnight(_back(now, 7)),
        "until": _midnight(now + datetime.timedelta(days=1)),
    }


def _midnight(day: datetime.date) -> str:
    """The first moment of a day in the shop, in UTC with its offset: right for columns with and without a time zone."""
    start = datetime.datetime.combine(day, datetime.time(), timezone.get_default_timezone())
    return start.astimezone(datetime.UTC).isoformat(sep=" ")


def _years_ago(day: datetime.date, years: int) -> datetime.date:
    """Who was born on that day is `years` old today; on 29 February the day before, as nobody else has that birthday."""
    try:
        return day.replace(year=day.year - years)
    except ValueError:
        return day.replace(year=day.year - years, day=28)


def _back(day: datetime.date, days: int) -> datetime.date:
    """The first of the `days` days that end with `day`."""
    return day - datetime.timedelta(days=days - 1)


def _each(first: datetime.date, last: datetime.date) -> Iterator[datetime.date]:
    return (first + datetime.timedelta(days=number) for number in range((last - first).days + 1))


def _condition(*parts: sql.Composable) -> sql.Composable:
    return sql.SQL(" AND ").join(parts)


def _as_uuid(value: str | None) -> uuid.UUID | None:
    try:
        return uuid.UUID(value) if value and len(value) == 36 else None
    except ValueError:
        return None


def _finite(amount: Decimal | None) -> Decimal:
    return amount if amount is not None and amount.is_finite() else Decimal(0)


def _ratio(part: Decimal | int, whole: Decimal | int) -> Decimal:
    return Decimal(part) / whole if whole else Decimal(0)


def _trend(now: Decimal | int, before: Decimal | int) -> float:
    """The change in percent; 0 where there is nothing to compare with."""
    return float(round(_ratio((Decimal(now) - before) * 100, before), 1)) if before > 0 else 0.0


def _percent(part: Decimal | int, whole: Decimal | int) -> float:
    return float(round(_ratio(Decimal(part) * 100, whole), 1))


def _money(amount: Decimal) -> float:
    return float(amount.quantize(Decimal("0.01"), ROUND_HALF_UP)) + 0.0


def _units(units: Decimal) -> int | float:
    return int(units) if units == int(units) else float(round(units, 3))
