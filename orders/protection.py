"""What this shop cannot do without, here and below. It stays protected after the old world is gone."""

# People and their logins, what is known of them and how it came to be so, and what they bought.
TABLES = (
    *("users", "api_keys"),
    *("profiles", "profile_aliases", "field_conflicts", "merge_suggestions", "profile_merges", "profile_history"),
    *("loyalty_entries", "privacy_events"),
    *("orders", "order_events", "refunds"),
)
