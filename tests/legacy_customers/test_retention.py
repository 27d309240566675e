"""Until when the backups are kept: the date is set down, shown, moved with a reason, and enforced by the verification."""

import datetime
import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from legacy_customers.unification import retention
from legacy_customers.unification.verify import verify
from tests.databases import one, rows, run

OVER = """UPDATE unification_phases SET detail = detail || '{"keep_until": "2025-01-31"}' WHERE name = 'backup'"""


def told(*arguments: Any) -> str:
    out = StringIO()
    call_command("backup_retention", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def today() -> datetime.date:
    found: datetime.date = one("SELECT (now() AT TIME ZONE 'UTC')::date")
    return found


def test_the_date_is_set_down_when_they_are_made_and_a_later_setting_does_not_move_it(seed: str, settings: Any) -> None:
    until = today() + datetime.timedelta(days=90)
    settings.UNIFICATION_BACKUP_DAYS = 3
    assert one("SELECT detail ->> 'keep_until' FROM unification_phases WHERE name = 'backup'") == until.isoformat()
    line = f"backups are kept until {until}, 90 days more"
    assert told() == f"Made on {today()}: {line}.\n"
    out = StringIO()
    call_command("unification_status", stdout=out, no_color=True)
    assert f"  {line}\n" in out.getvalue()
    out = StringIO()
    call_command("unification_status", "--json", stdout=out)
    assert json.loads(out.getvalue())["retention"]["keep_until"] == until.isoformat()
    assert verify(connection).checks["backups_in_their_time"].note == line


def test_after_it_the_verification_fails_until_the_date_is_moved_for_a_reason(
    seed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(OVER)
    assert not verify(connection).passed
    with pytest.raises(SystemExit) as ended:
        call_command("backup_retention", no_color=True)
    assert ended.value.code == 3
    assert "backups were to be kept until 2025-01-31" in capsys.readouterr().out
    with pytest.raises(CommandError, match="Say why"):
        told("--until", "2099-01-31")
    assert "  moved from 2025-01-31 to 2099-01-31: a lawsuit\n" in told(
        "--until", "2099-01-31", "--reason", "a lawsuit"
    )
    assert verify(connection).passed


def test_they_are_removed_after_it_and_not_before(seed: str) -> None:
    with pytest.raises(CommandError, match="nothing was removed"):
        told("--remove", "--reason", "tidying up")
    assert len(rows("SELECT relname FROM pg_class WHERE relname LIKE 'backup\\_%%' AND relkind = 'r'")) == 5
    run(OVER)
    assert told("--remove", "--reason", "their time is over").endswith(": no backups are kept any more.\n")
    assert rows("SELECT relname FROM pg_class WHERE relname LIKE 'backup\\_%%' AND relkind = 'r'") == []
    [(reason, lost)] = rows("SELECT reason, lost FROM protection_releases")
    assert reason.endswith("days ago: their time is over")
    assert sorted(lost)[0] == "table backup_customer_profiles"
    with pytest.raises(CommandError, match="There are no backups in this database"):
        told("--remove", "--reason", "again")


def test_a_database_without_backups_says_so(empty_database: str) -> None:
    assert retention.find(connection) is None
    call_command("migrate", verbosity=0)
    assert told() == "No backups were made in this database.\n"
