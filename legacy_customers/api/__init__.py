"""The HTTP API that clients of the old customer service still call."""
