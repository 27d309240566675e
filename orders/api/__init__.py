"""The HTTP API of orders: the till, web orders, analytics."""
