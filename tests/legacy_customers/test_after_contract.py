"""After the contract phase legacy_customers is out of INSTALLED_APPS: another process, on a real database."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from django.db import connection

from accounts.models import User
from legacy_customers.sample.logins import LOGINS
from profiles.models import Profile
from tests.databases import one, rows
from tests.legacy_customers.contract import let_go, until_step


@pytest.fixture(autouse=True)
def dumps(settings: Any, tmp_path: Path) -> None:
    settings.UNIFICATION_DUMP_DIR = str(tmp_path)


def without_legacy_customers(**given: str) -> dict[str, Any]:
    """What tests/legacy_customers/after_contract.py sees in this database."""
    connection.close()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.legacy_customers.after_contract",
            connection.settings_dict["NAME"],
            json.dumps(given),
        ],
        env={**os.environ, "LEGACY": "false", "EMBEDDED_POSTGRES_DIR": configured.EMBEDDED_POSTGRES_DIR},
        cwd=configured.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_shop_works_without_the_old_world_and_old_ids_resolve(shop: str) -> None:
    let_go()
    until_step("unique_email")
    [(alias, profile_id)] = rows("SELECT id, profile_id FROM profile_aliases ORDER BY id LIMIT 1")
    profile = Profile.objects.get(pk=profile_id)
    admin = LOGINS[0]
    assert one("SELECT left(password_hash, 4) FROM users WHERE email = %s", admin.email) == "$2b$"
    seen = without_legacy_customers(
        email=admin.email, password=admin.password, old_id=str(profile.pk), alias=str(alias)
    )
    assert seen == {
        "migrated": True,
        "logins": [200, 200],
        "password_hash": "pbkdf2_sha256",
        "by_old_id": str(profile.pk),
        "by_alias": str(profile.pk),
        "orders": profile.user.orders.count(),
        "superseded": 404,
        "pages": [200, 200, 200],
        "landing": 404,
    }
    assert User.objects.get(email=admin.email).check_password(admin.password)


def test_it_is_refused_while_the_old_application_reads_the_passwords(seed: str) -> None:
    seen = without_legacy_customers()
    assert (
        "(accounts.E001) LEGACY is off, and the old application's customers and customers_view is there still"
        in seen["refused"]
    )
    assert one("SELECT count(*) FROM users WHERE password_hash LIKE 'pbkdf2%%'") == 0
