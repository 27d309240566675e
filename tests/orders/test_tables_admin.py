"""The admin's page of tables: for super admins alone, with rows, size, owner, dependents, protection and releases."""

import pytest
from django.db import connection, transaction
from django.test import Client

from accounts.models import User
from config import protection
from legacy_customers.sample.logins import LOGINS
from orders.protection import TABLES
from orders.tables import tables
from tests.databases import one, run


def client_of(role: str) -> Client:
    client = Client()
    client.force_login(
        User.objects.get(email=next(login.email for login in LOGINS if login.role == role)),
        backend="accounts.backends.AddressBackend",
    )
    return client


def test_a_super_admin_sees_every_table_and_who_used_the_old_world(shop: str) -> None:
    run("ANALYZE; CREATE TABLE shelves (id integer, user_id uuid REFERENCES users (id))")
    with transaction.atomic(), connection.cursor() as cursor:
        protection.release(cursor, "an <empty> shelf")
        run("TRUNCATE merge_suggestions")
    page = client_of("super_admin").get("/admin/tables/")
    assert page.status_code == 200
    html = page.content.decode()
    assert "key of shelves" in html
    assert "refused: DROP, DROP COLUMN, RENAME, TRUNCATE" in html
    assert "an &lt;empty&gt; shelf" in html
    assert "every row of merge_suggestions" in html
    assert "For personal data: <strong>backups are kept until" in html
    assert 'href="/admin/tables/"' in html


@pytest.mark.parametrize("role", ["tenant_admin", "store_manager", "staff"])
def test_nobody_else_does(shop: str, role: str) -> None:
    client = client_of(role)
    assert client.get("/admin/tables/").status_code == 403
    assert "/admin/tables/" not in client.get("/admin/").content.decode()


def test_a_table_says_who_depends_on_it(shop: str) -> None:
    run("ANALYZE profiles; CREATE VIEW somebodys AS SELECT phone FROM profiles")
    run("CREATE FUNCTION reports() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM profiles'")
    run("CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.profiles (id integer)")
    found = {table.name: table for table in tables(connection, protection.in_force(connection, TABLES))}
    profiles = found["profiles"]
    assert profiles.rows == one("SELECT count(*) FROM profiles")
    assert profiles.size == one("SELECT pg_total_relation_size('profiles')")
    assert profiles.owner == one("SELECT current_user::text")
    assert profiles.views == ["customers_view", "somebodys"]
    assert {"profile_aliases", "field_conflicts"} <= set(profiles.keys)
    assert {"reports", "unification_sync_profiles_updated"} <= set(profiles.functions)
    assert profiles.protected == "refused: DROP, DROP COLUMN, RENAME, TRUNCATE"
    assert found["django_migrations"].protected == ""
    elsewhere = found["elsewhere.profiles"]
    assert (elsewhere.rows, elsewhere.views, elsewhere.protected) == (None, [], "")
