"""Files as a spreadsheet writes them, for tests."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from accounts.models import User
from profiles.models import Profile
from profiles.sheets.export import export


def exported(by: User, **filters: Any) -> list[dict[str, str]]:
    """The list as rows of cells."""
    content = b"".join(export(Profile.objects.filter(**filters), filters={}, by=by))
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def written(rows: Iterable[Mapping[str, str]], delimiter: str = ",") -> bytes:
    """Rows as a file; the first one's keys are the header."""
    kept = list(rows)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(kept[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(kept)
    return text.getvalue().encode("utf-8-sig")
