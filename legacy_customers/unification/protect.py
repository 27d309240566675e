"""What of the old world cannot be lost by accident, next to what orders/protection.py names: see config/protection.py."""

from orders import protection as lasting

from .sources import LEGACY_TABLES

# The old tables, their backups, whose row is whose, what was deleted, and what the way back and the verification go by.
TABLES = (
    *(table for table in LEGACY_TABLES if table not in lasting.TABLES),
    *(f"backup_{table}" for table in LEGACY_TABLES),
    *("legacy_identities", "legacy_attachments", "legacy_deletions", "legacy_moved_logins", "legacy_writes"),
    *("unification_phases", "unification_verifications", "api_usage", "legacy_usage"),
    *("legacy_usage_counters", "unification_contract"),
)
ALL = (*lasting.TABLES, *TABLES)
