"""Run as a program with LEGACY=false, on the database named by the first argument: what a shop does after the contract phase.

The second argument is JSON: {"email", "password", "old_id", "alias"}. Prints JSON of what it saw.
"""

import json
import os
import sys
from io import StringIO
from typing import Any


def main(name: str, given: dict[str, str]) -> dict[str, Any]:
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = name
    settings.ALLOWED_HOSTS = ["testserver"]
    import django

    django.setup()
    from django.apps import apps
    from django.core.management import CommandError, call_command
    from django.db import connection
    from django.test import Client

    assert not apps.is_installed("legacy_customers")
    output = StringIO()
    try:
        call_command("check", databases=["default"], stdout=output, stderr=output)
    except (CommandError, SystemExit) as error:
        return {"refused": f"{output.getvalue()}{error}"}
    call_command("makemigrations", check=True, dry_run=True, stdout=output)
    call_command("migrate", stdout=output)
    client = Client()
    logged_in = [
        client.post("/api/auth/token/", {"email": given["email"], "password": given["password"]}, "application/json")
        for _ in range(2)
    ]
    with connection.cursor() as cursor:
        cursor.execute("SELECT password_hash FROM users WHERE email = %s", [given["email"]])
        password_hash = cursor.fetchone()[0]
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {logged_in[0].json()['access']}"}
    client.post("/admin/login/", {"username": given["email"], "password": given["password"]})
    pages = ("/admin/", "/admin/profiles/profile/", f"/admin/profiles/profile/{given['old_id']}/change/")
    return {
        "migrated": "No migrations to apply" in output.getvalue(),
        "logins": [answer.status_code for answer in logged_in],
        "password_hash": password_hash.partition("$")[0],
        "by_old_id": client.get(f"/api/profiles/{given['old_id']}/", **bearer).json().get("id"),
        "by_alias": client.get(f"/api/profiles/{given['alias']}/", **bearer).json().get("id"),
        "orders": len(client.get(f"/api/profiles/{given['old_id']}/orders/", **bearer).json()["results"]),
        "superseded": client.get("/api/customers/", **bearer).status_code,
        "pages": [client.get(page).status_code for page in pages],
        "landing": client.get("/").status_code,
    }


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    print(json.dumps(main(sys.argv[1], json.loads(sys.argv[2]))))  # noqa: T201
