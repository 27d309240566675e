"""The people in the admin, with the records that hang on them: one module per thing."""

from . import aliases, conflicts, dashboard, history, loyalty, merges, privacy, profile, suggestions  # noqa: F401
