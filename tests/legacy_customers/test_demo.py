"""`manage.py demo`, without its server."""

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from legacy_customers.models import VerificationRun
from profiles.models import Profile


def test_empty_database_becomes_a_verified_shop_and_a_second_run_is_harmless(
    empty_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("demo", no_server=True)
    out = capsys.readouterr().out
    assert "Loading the sample shop" in out
    assert "consolidate: 508 rows" in out
    assert "Verification passed" in out
    assert "  admin@example.com      sample-password-1  super_admin\n" in out
    assert Profile.objects.count() == 508
    call_command("demo", no_server=True)
    out = capsys.readouterr().out
    assert f"The database {empty_database!r} is not empty: no sample data is loaded again." in out
    assert "No migrations to apply." in out
    assert Profile.objects.count() == 508
    assert list(VerificationRun.objects.values_list("passed", flat=True)) == [True, True]


def test_difference_ends_with_its_exit_code(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE profiles DISABLE TRIGGER USER")
        cursor.execute(
            "UPDATE profiles SET phone = 'changed without a trace' WHERE id IN (SELECT id FROM profiles LIMIT 1)"
        )
        cursor.execute("ALTER TABLE profiles ENABLE TRIGGER USER")
    with pytest.raises(SystemExit) as ended:
        call_command("demo", no_server=True)
    assert ended.value.code == 3
    assert "Verification FAILED" in capsys.readouterr().out


def test_database_of_somebody_is_refused_and_left_alone(empty_database: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid())")
        cursor.execute("INSERT INTO users DEFAULT VALUES")
    with pytest.raises(CommandError, match="holds tables that are not the sample's"):
        call_command("demo", no_server=True)
    assert connection.introspection.table_names() == ["users"]
