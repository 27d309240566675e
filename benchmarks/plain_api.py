"""What the API is measured against: the same calls by FastAPI and asyncpg, as plainly as they are commonly written.

Plain SQL, LIMIT and OFFSET, ILIKE over four columns, row -> dict -> JSON; no roles, no ledger, no history.
`DATABASE_URL` names the database; run by `uvicorn plain_api:app`.
"""

import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel

COLUMNS = """p.id, p.user_id, u.email, p.contact_email, p.first_name, p.last_name, p.phone, p.date_of_birth, p.address,
    p.city, p.state, p.postal_code, p.country, p.loyalty_points, p.customer_type, p.preferred_payment_method,
    p.total_spent, p.order_count, p.last_order_date, p.preferences, p.needs, p.experience_level,
    p.preferred_categories, p.preferred_effects, p.price_range, p.purchase_history, p.language, p.timezone,
    p.marketing_consent, p.sms_consent, p.tags, p.notes, p.is_verified, p.created_at, p.updated_at"""
FROM = "FROM profiles AS p JOIN users AS u ON u.id = p.user_id"
GONE = "('cancelled', 'refunded', 'failed')"


class State:
    pool: asyncpg.Pool


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async def prepare(connection: asyncpg.Connection) -> None:
        await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")

    State.pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=4, max_size=16, init=prepare)
    yield
    await State.pool.close()


app = FastAPI(lifespan=lifespan)


@app.get("/profiles/{profile_id}")
async def get_profile(profile_id: uuid.UUID) -> dict[str, Any]:
    row = await State.pool.fetchrow(f"SELECT {COLUMNS} {FROM} WHERE p.id = $1", profile_id)
    if row is None:
        raise HTTPException(404)
    return dict(row)


@app.get("/profiles")
async def list_profiles(limit: int = Query(50, ge=1, le=200), offset: int = 0) -> list[dict[str, Any]]:
    rows = await State.pool.fetch(
        f"SELECT {COLUMNS} {FROM} ORDER BY p.created_at DESC, p.id DESC LIMIT $1 OFFSET $2", limit, offset
    )
    return [dict(row) for row in rows]


@app.get("/search")
async def search(q: str) -> list[dict[str, Any]]:
    rows = await State.pool.fetch(
        f"SELECT {COLUMNS} {FROM} WHERE p.first_name ILIKE $1 OR p.last_name ILIKE $1 OR u.email ILIKE $1"
        " OR p.phone ILIKE $1 ORDER BY p.created_at DESC, p.id DESC LIMIT 10",
        f"%{q}%",
    )
    return [dict(row) for row in rows]


@app.get("/analytics/dashboard")
async def dashboard() -> dict[str, Any]:
    since = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=30)
    days = await State.pool.fetch(
        "SELECT created_at::date AS date, sum(total_amount) AS revenue, count(*) AS orders FROM orders"
        f" WHERE created_at >= $1 AND coalesce(payment_status, '') NOT IN {GONE} GROUP BY 1 ORDER BY 1",
        since,
    )
    totals = await State.pool.fetchrow(
        "SELECT sum(total_amount) AS revenue, count(*) AS orders, avg(total_amount) AS average FROM orders"
        f" WHERE coalesce(payment_status, '') NOT IN {GONE}"
    )
    customers = await State.pool.fetchrow(
        "SELECT count(*) AS total, count(*) FILTER (WHERE created_at >= $1) AS new FROM profiles", since
    )
    return {"revenue": dict(totals), "chart": [dict(day) for day in days], "customers": dict(customers)}


@app.get("/analytics/revenue")
async def revenue(days: int = 365) -> list[dict[str, Any]]:
    rows = await State.pool.fetch(
        "SELECT created_at::date AS date, sum(total_amount) AS revenue, count(*) AS orders, avg(total_amount) AS average"
        f" FROM orders WHERE created_at >= $1 AND coalesce(payment_status, '') NOT IN {GONE} GROUP BY 1 ORDER BY 1",
        datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days),
    )
    return [dict(row) for row in rows]


@app.get("/analytics/products")
async def products(limit: int = 10) -> list[dict[str, Any]]:
    rows = await State.pool.fetch(
        """SELECT item ->> 'name' AS name, sum((item ->> 'quantity')::numeric) AS units,
            sum((item ->> 'quantity')::numeric * (item ->> 'price')::numeric) AS revenue
        FROM orders CROSS JOIN LATERAL jsonb_array_elements(items) AS item
        GROUP BY 1 ORDER BY revenue DESC NULLS LAST LIMIT $1""",
        limit,
    )
    return [dict(row) for row in rows]


@app.get("/analytics/customers")
async def customers() -> dict[str, Any]:
    row = await State.pool.fetchrow(
        """SELECT count(DISTINCT p.id) AS total, avg(s.spent) AS lifetime_value,
            count(*) FILTER (WHERE s.orders > 1) AS returning
        FROM profiles AS p LEFT JOIN (
            SELECT user_id, sum(total_amount) AS spent, count(*) AS orders FROM orders GROUP BY user_id
        ) AS s ON s.user_id = p.user_id"""
    )
    places = await State.pool.fetch(
        "SELECT city, count(*) AS customers FROM profiles GROUP BY 1 ORDER BY 2 DESC LIMIT 10"
    )
    return {**dict(row), "top_locations": [dict(place) for place in places]}


@app.get("/analytics/sales")
async def sales(start: date, end: date) -> dict[str, Any]:
    row = await State.pool.fetchrow(
        "SELECT count(*) AS orders, sum(total_amount) AS revenue, sum(tax_amount) AS tax, sum(discount_amount) AS discounts"
        " FROM orders WHERE created_at::date BETWEEN $1 AND $2",
        start,
        end,
    )
    best = await State.pool.fetch(
        """SELECT item ->> 'name' AS name, sum((item ->> 'quantity')::numeric) AS units
        FROM orders CROSS JOIN LATERAL jsonb_array_elements(items) AS item
        WHERE created_at::date BETWEEN $1 AND $2 GROUP BY 1 ORDER BY 2 DESC LIMIT 10""",
        start,
        end,
    )
    return {**dict(row), "top_products": [dict(item) for item in best]}


class Product(BaseModel):
    id: str
    name: str
    price: float
    sku: str | None = None
    category: str | None = None


class Line(BaseModel):
    product: Product
    quantity: int
    discount: float | None = None


class Sale(BaseModel):
    store_id: str
    cashier_id: str
    customer_id: uuid.UUID | None = None
    items: list[Line]
    subtotal: float
    discounts: float
    tax: float
    total: float
    payment_method: str
    payment_details: dict[str, Any] = {}
    status: str = "completed"
    receipt_number: str


@app.post("/transactions")
async def sell(sale: Sale) -> dict[str, Any]:
    """The plain INSERTs that a sale of ours replaces: the order, and its customer's totals."""
    async with State.pool.acquire() as connection, connection.transaction():
        order_id = uuid.uuid4()
        await connection.execute(
            "INSERT INTO orders (id, order_number, customer_id, items, subtotal, discount_amount, tax_amount, total_amount,"
            " payment_method, payment_status, order_source, receipt_number, created_at, updated_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'completed', 'pos', $10, now(), now())",
            order_id,
            f"POS-{order_id}",
            sale.customer_id,
            [line.model_dump() for line in sale.items],
            sale.subtotal,
            sale.discounts,
            sale.tax,
            sale.total,
            sale.payment_method,
            sale.receipt_number,
        )
        await connection.execute(
            "UPDATE customers SET loyalty_points = loyalty_points + $2, total_spent = total_spent + $3,"
            " order_count = order_count + 1, last_order_date = now() WHERE id = $1",
            sale.customer_id,
            int(sale.total),
            sale.total,
        )
    return {"id": order_id, **sale.model_dump(), "timestamp": datetime.now(UTC)}
