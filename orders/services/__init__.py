"""Writes to orders: the till, web orders, and what both share (sums, counting, idempotency)."""
