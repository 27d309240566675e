"""The people in the admin, with the records that hang on them: one module per thing."""

from . import (  # noqa: F401
    aliases,
    conflicts,
    corrections,
    dashboard,
    exports,
    history,
    loyalty,
    merges,
    panels,
    privacy,
    profile,
    suggestions,
)
