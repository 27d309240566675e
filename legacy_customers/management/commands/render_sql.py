"""`manage.py render_sql`: write the SQL that the rules render, and the field map's page, to be read."""

import difflib
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from legacy_customers.unification.rendering import COMMAND, ROOT, rendered


class Command(BaseCommand):
    help = (
        "Write legacy_customers/sql/ and docs/field-map.md from the code. Needs no database. "
        "Exit codes: 0 written or equal, 1 a file differs (--check)."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="write nothing; show what differs")
        parser.add_argument("--root", type=Path, default=ROOT, help="the checkout (default: this one)")

    def handle(self, *args: Any, **options: Any) -> None:
        differing = []
        for path, text in rendered().items():
            target: Path = options["root"] / path
            there = target.read_text(encoding="utf-8") if target.is_file() else ""
            if there == text:
                continue
            differing.append(path.as_posix())
            if options["check"]:
                before, after = there.splitlines(keepends=True), text.splitlines(keepends=True)
                self.stdout.writelines(difflib.unified_diff(before, after, f"{path}", f"{path} (rendered)"))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
                self.stdout.write(f"wrote {path}")
        if options["check"] and differing:
            raise CommandError(f"Not as rendered: {', '.join(differing)}. Run `{COMMAND}` and commit the result.")
