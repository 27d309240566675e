"""What changes accounts: one module per thing that is changed. Each signs what it writes."""
