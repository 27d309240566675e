"""The indexes that tills and stores ask by: table and what follows. No order of an adopted table has an entry in them yet."""

DEFINITIONS = {
    "orders_tenant": "orders (tenant_id, created_at) WHERE tenant_id IS NOT NULL",
    "orders_store": "orders (store_code, created_at) WHERE store_code IS NOT NULL",
    "orders_one_per_receipt": (
        "orders (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid), store_code, receipt_number)"
        " WHERE content_digest IS NOT NULL"
    ),
    "orders_receipt_number": "orders (receipt_number) WHERE receipt_number IS NOT NULL",
}
UNIQUE = "orders_one_per_receipt"
