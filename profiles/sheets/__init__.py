"""People as CSV: a list of them out, corrections of them in."""
