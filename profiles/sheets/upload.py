"""A file of corrections as it comes in: its lines, and what is wrong with it before anybody is asked about its people."""

import csv
import difflib
import io
import uuid
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from config.api.problems import Problem
from profiles.selectors import as_uuid

MOST_BYTES = 10_000_000
MOST_LINES = 20_000
DELIMITERS = ",;\t"  # spreadsheets take the one of their country


@dataclass(frozen=True)
class Line:
    """`number` counts the header as 1; `profile_id` and `version` are None where the cell holds none."""

    number: int
    profile_id: uuid.UUID | None
    version: int | None
    cells: dict[str, str]
    problem: str = ""


@dataclass(frozen=True)
class Sheet:
    """`columns` without id and version; `problems` are of the file as a whole, and nothing is compared where there are any."""

    columns: list[str]
    has_version: bool
    lines: list[Line]
    problems: list[str]


def read(content: bytes, *, known: Collection[str]) -> Sheet:
    """The file's lines. Problem 400 (too_large): more than MOST_BYTES or MOST_LINES."""
    if len(content) > MOST_BYTES:
        raise Problem(
            "too_large",
            f"The file is larger than {MOST_BYTES:,} bytes. Leave out columns and people that stay as they are, or split it.",
        )
    text, problem = _decoded(content)
    if problem:
        return Sheet([], False, [], [problem])
    first = text.lstrip("\r\n").partition("\n")[0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=first.count), strict=True)
    try:
        header = [name.strip() for name in next((row for row in rows if any(row)), [])]
        if problems := _of_header(header, known):
            return Sheet([], False, [], problems)
        lines = list(_lines(rows, header))
    except csv.Error as error:
        return Sheet([], False, [], [f"Line {rows.line_num} is no CSV: {error}. Save the file as CSV again."])
    if not lines:
        return Sheet([], False, [], ["The file has no lines but the header. Nobody would change."])
    columns = [name for name in header if name not in {"id", "version"}]
    return Sheet(columns, "version" in header, lines, [])


def _decoded(content: bytes) -> tuple[str, str]:
    """The text, or what is wrong with it."""
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        return "", f"The file is not UTF-8 (byte {error.start:,}). In a spreadsheet, save it as “CSV UTF-8”."
    if "\0" in text:
        return "", "The file holds NUL characters: it is no CSV. In a spreadsheet, save it as “CSV UTF-8”."
    return text, "" if text.strip() else "The file is empty. Begin with an export of the list."


def _of_header(header: list[str], known: Collection[str]) -> list[str]:
    problems = [
        f"The column {name!r} is there {times} times. Leave one."
        for name, times in Counter(header).items()
        if times > 1
    ]
    if "id" not in header:
        problems.append("There is no column id, which says whom a line is about. Begin with an export of the list.")
    for name in dict.fromkeys(header):
        if name in known:
            continue
        close = difflib.get_close_matches(name.lower(), sorted(known), n=1)
        hint = f"Do you mean {close[0]!r}?" if close else f"There are: {', '.join(sorted(known))}."
        problems.append(f"There is no column {name!r}. {hint}")
    return problems


def _lines(rows: Iterator[list[str]], header: list[str]) -> Iterator[Line]:
    """The header's own line is 1; a cell with line ends counts as one line, as a spreadsheet counts it."""
    for number, row in enumerate(rows, start=2):
        if not any(cell.strip() for cell in row):
            continue
        if number > MOST_LINES + 1:
            raise Problem(
                "too_large",
                f"The file has more than {MOST_LINES:,} lines. Leave out people who stay as they are, or split it.",
            )
        yield _line(number, row, header)


def _line(number: int, row: list[str], header: list[str]) -> Line:
    if len(row) != len(header):
        problem = (
            f"The line has {len(row)} cells, the header {len(header)}. Put quotes around a cell with a separator in it."
        )
        return Line(number, None, None, {}, problem)
    cells = dict(zip(header, row, strict=True))
    wanted, version = cells.pop("id").strip(), cells.pop("version", "").strip()
    profile_id = as_uuid(wanted)
    if profile_id is None:
        return Line(number, None, None, cells, f"{wanted!r} is no id. Copy it from an export." if wanted else NO_ID)
    if version and not (version.isascii() and version.isdecimal() and len(version) < 19):
        return Line(
            number, profile_id, None, cells, f"{version!r} is no version. Leave the column as the export has it."
        )
    return Line(number, profile_id, int(version) if version else None, cells)


NO_ID = "The line has no id: nobody is added by a file. Copy the id from an export, or leave the line out."
