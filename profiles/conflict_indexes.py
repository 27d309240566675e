"""The indexes by which the queue of conflicts is filtered: table and what follows."""

DEFINITIONS = {
    "field_conflicts_open_field": "field_conflicts (field, id) WHERE resolved_at IS NULL",
    "field_conflicts_open_rule": "field_conflicts (rule, id) WHERE resolved_at IS NULL",
    "field_conflicts_open_source": "field_conflicts (other_table, id) WHERE resolved_at IS NULL",
    "field_conflicts_field": "field_conflicts (field, id)",
    "field_conflicts_rule": "field_conflicts (rule, id)",
    "field_conflicts_source": "field_conflicts (other_table, id)",
    "field_conflicts_decided": "field_conflicts (id) WHERE resolved_at IS NOT NULL",
}
