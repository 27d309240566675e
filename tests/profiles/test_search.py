"""Search: what finds whom, that the index is used where there is one, and that nothing differs without."""

import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from accounts.roles import Role
from config.indexes import drop_concurrently
from profiles import keyset, pages, search
from profiles.models import Profile, ProfileAlias
from profiles.services import profile_service
from tests.databases import maintenance, one, rows, run, temporary_database
from tests.factories import UserFactory, person
from tests.servers import DistributionPostgres, connected_to, own_directory

HAS_TRIGRAMS = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm')"
WAY_OUT = "No pg_trgm on this server, and none beside it. On Debian: apt-get install postgresql."


@pytest.fixture
def trigrams(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A migrated database that has pg_trgm: on the distribution's server, where the configured one has not."""
    with django_db_blocker.unblock(), ExitStack() as stack:
        with maintenance() as server:
            available = server.execute(HAS_TRIGRAMS).fetchone()
        if available == (False,):
            if DistributionPostgres.found() is None:
                (pytest.fail if os.environ.get("REQUIRE_TRIGRAMS") else pytest.skip)(WAY_OUT)
            stack.enter_context(connected_to(DistributionPostgres(stack.enter_context(own_directory()))))
        stack.enter_context(temporary_database())
        call_command("migrate", verbosity=0)
        yield


def found(text: str, **kwargs: Any) -> list[uuid.UUID]:
    return [profile.pk for profile in profile_service.search_profiles(text, **kwargs)]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text",
    [
        "anne",
        "NNE-M",
        "o'neil",
        "Anne-Marié O'Neil",
        "neil anne",
        "  anne   neil ",
        "home@",
        "LOGIN@EXAMPLE.COM",
        "gin@exa",
        "(416) 555-0100",
        "4165550100",
        "416-555",
        "416 555 0100",
        "5550",
        "555",
        "01",
        "(416)",
        "é",
    ],
)
def test_any_part_of_name_email_or_phone_finds(text: str) -> None:
    profile = person(
        "login@example.com",
        first_name="Anne-Marié",
        last_name="O'Neil",
        phone="(416) 555-0100",
        contact_email="Home@Example.com",
    )
    person("somebody@else.net", first_name="Bob", last_name="Stone", phone="999")
    assert found(text) == [profile.pk]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text",
    [
        *("%", "_", "\\", "an_e", "%anne%", "a%e", "\\%", "annex", "anne bob", "416-556", "(416)555-01009", "neilhome"),
        *("'; --", "é%", "%s", "{}", "%(word0)s", "-", "()"),
    ],
)
def test_what_is_not_there_finds_nobody(text: str) -> None:
    person("login@example.com", first_name="Anne", last_name="Neil", phone="416 555 0100", contact_email="home@x.com")
    assert found(text) == []


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["100%", "a_b", "back\\slash", "\\", "%", "_"])
def test_wildcards_are_letters(text: str) -> None:
    profile = person(first_name="100%", last_name="a_b back\\slash")
    person(first_name="100x", last_name="axb back-slash")
    assert found(text) == [profile.pk]


@pytest.mark.django_db
def test_digits_of_a_phone_are_found_in_phones_alone() -> None:
    """As typed it may be anywhere; taken apart, the digits are the phone's, last in the text."""
    phone, mail = person(phone="+1 (416) 555-0100"), person(contact_email="416555@example.com")
    person(phone="416", last_name="555")
    assert found("416-555") == [phone.pk]
    assert found("416555") == [mail.pk, phone.pk]
    last = person(contact_email="x416555")
    assert found("416-555") == [phone.pk]
    assert found("416 555") == [phone.pk]
    assert last.pk in found("416555")


@pytest.mark.django_db
def test_whole_ids_find_exactly_one() -> None:
    profile, alias = person(), uuid.uuid4()
    ProfileAlias.objects.create(id=alias, profile=profile)
    shell = person()
    Profile.objects.filter(pk=shell.pk).update(merged_into=profile)
    for wanted in (profile.pk, alias, profile.user_id, shell.pk, str(alias).upper(), f" {alias} "):
        assert found(str(wanted)) == [profile.pk]
    assert found(str(alias)[:-1]) == []
    assert found(str(uuid.uuid4())) == []


@pytest.mark.django_db
def test_who_is_found_twice_is_told_once_newest_first() -> None:
    everybody = [
        person(f"sam{number}@example.com", first_name="Sam", contact_email="sam@example.com") for number in range(5)
    ]
    assert found("sam") == [profile.pk for profile in reversed(everybody)]
    assert found("sam", limit=2) == [everybody[4].pk, everybody[3].pk]
    run("UPDATE profiles SET created_at = '2026-01-01'")
    assert found("sam") == sorted((profile.pk for profile in everybody), reverse=True)


@pytest.mark.django_db
def test_shells_are_not_found() -> None:
    survivor, shell = person(first_name="Sam"), person(first_name="Sam")
    Profile.objects.filter(pk=shell.pk).update(merged_into=survivor)
    assert found("sam") == [survivor.pk]


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["sam", "", "555-01", "@example"])
def test_viewer_finds_whom_they_may_see(text: str) -> None:
    tenant = uuid.uuid4()
    mine = person("a@example.com", first_name="Sam", phone="5550100", tenant_id=tenant)
    theirs = person("b@example.com", first_name="Sam", phone="5550100", tenant_id=uuid.uuid4())
    nobodys = person("c@example.com", first_name="Sam", phone="5550100")
    staff = UserFactory(email="staff@nowhere.net", role=Role.STAFF, tenant_id=tenant)
    free = UserFactory(email="free@nowhere.net", role=Role.STAFF)
    chief = UserFactory(email="chief@nowhere.net", role=Role.SUPER_ADMIN)
    team = {profile.pk for profile in Profile.objects.filter(user__in=[staff, free, chief])}
    assert set(found(text, visible_to=staff)) - team == {mine.pk}
    assert set(found(text, visible_to=free)) - team == {nobodys.pk}
    assert set(found(text, visible_to=theirs.user)) == {theirs.pk}
    assert set(found(text, visible_to=chief)) - team == {mine.pk, theirs.pk, nobodys.pk}
    for wanted in (theirs.pk, theirs.user_id):
        assert found(str(wanted), visible_to=staff) == []
        assert found(str(wanted), visible_to=mine.user) == []


@pytest.mark.django_db
def test_customer_type_filters() -> None:
    vip = person(first_name="Sam", customer_type="vip")
    person(first_name="Sam")
    assert found("sam", customer_type="vip") == [vip.pk]


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["", "sam", "12345", "(416) 5", "sam 12345"])
def test_search_is_two_queries_whatever_it_finds(text: str, django_assert_num_queries: Any) -> None:
    for number in range(3):
        person(first_name="Sam", phone=f"(416) 5{number}12345")
    with django_assert_num_queries(2):
        profiles = profile_service.search_profiles(text)
        assert {profile.user.role for profile in profiles} == {Role.CUSTOMER}


# With and without the index.

TERMS = [
    *("ada7", "o", "ob", "bob", "(9", "9999", "(416) 000-1", "416000", "example", "guest77@", "É", "é77", "a b", "%"),
    *("ada 12", "x" * 200, "1", "0", "-", "@", "zzz"),
]


def crowd(size: int) -> None:
    """People made in the database: some with a login, some to be written to, with phones of several spellings."""
    run(
        """
        WITH made AS (
            INSERT INTO users (email, password_hash, created_at)
            SELECT CASE WHEN n % 3 > 0 THEN 'guest' || n || '@example.com' END, '!', now() - n * interval '1 minute'
            FROM generate_series(1, %s) AS n
            RETURNING id
        ), numbered AS (SELECT id, row_number() OVER () AS n FROM made)
        INSERT INTO profiles (user_id, first_name, last_name, contact_email, phone, created_at)
        SELECT id, (ARRAY['Ada', 'Bob', 'Éva', 'Zoë'])[1 + n %% 4] || n, CASE WHEN n %% 5 > 0 THEN 'Ob' || n / 7 END,
            CASE WHEN n %% 7 = 0 THEN 'write' || n || '@example.net' END,
            CASE n %% 3 WHEN 0 THEN '(416) 000-' || lpad(n::text, 5, '0') WHEN 1 THEN '416000' || lpad(n::text, 5, '0') END,
            CASE WHEN n %% 50 > 0 THEN now() - n / 3 * interval '1 hour' END
        FROM numbered
        """.replace("% 3 > 0 THEN 'guest'", "%% 3 > 0 THEN 'guest'"),
        size,
    )
    for table, index in (("profiles", search.PROFILES_INDEX), ("users", search.LOGINS_INDEX)):
        run(f"ANALYZE {table}")
        # What autovacuum does; the planner counts what it has not done yet.
        if one("SELECT to_regclass(%s)", index):
            run("SELECT gin_clean_pending_list(%s::regclass)", index)


def plan(text: str) -> str:
    statement, params = keyset.compose(
        pages.LISTING, pages.asked(viewer=None, text=text), {"id": "p.id"}, as_json=False
    )
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + statement, params)
        return "\n".join(row[0] for row in cursor.fetchall())


def test_rare_terms_are_looked_up_in_both_indexes_and_common_ones_need_none(trigrams: None) -> None:
    crowd(20_000)
    for text in ("guest7777", "(416) 000-07777", "ada7777", "zzzz", "ada7 7777"):
        assert "Index Scan on profiles_search" in plan(text), text
        assert "Index Scan on users_login_search" in plan(text), text
        assert "Seq Scan" not in plan(text), text
    assert "profiles_created_at" in plan("416000")
    assert "Seq Scan" not in plan("416000")


@pytest.mark.django_db
def test_results_are_the_same_without_the_indexes() -> None:
    crowd(3_000)

    def everything() -> list[list[uuid.UUID]]:
        return [found(text, limit=40) for text in TERMS]

    with_index = everything()
    run("DROP INDEX IF EXISTS profiles_search")
    run("DROP INDEX IF EXISTS users_login_search")
    assert everything() == with_index
    by_hand = [
        [
            row[0]
            for row in rows(
                "SELECT p.id FROM profiles AS p JOIN users AS u ON u.id = p.user_id WHERE strpos(lower("
                "concat_ws(' ', first_name, last_name)), %s) > 0 OR strpos(lower(contact_email), %s) > 0"
                " OR strpos(phone, %s) > 0 OR strpos(lower(u.email), %s) > 0"
                " OR (%s ~ '^[0-9]+$' AND strpos(regexp_replace(phone, '\\D', '', 'g'), %s) > 0)"
                " ORDER BY created_at DESC NULLS LAST, id DESC LIMIT 40".replace("created_at", "p.created_at").replace(
                    " id DESC", " p.id DESC"
                ),
                *([text.lower()] * 6),
            )
        ]
        for text in TERMS
        if " " not in text and not text.startswith("(")
    ]
    assert by_hand == [ids for text, ids in zip(TERMS, with_index, strict=True) if " " not in text and text[0] != "("]
    assert sum(map(len, by_hand)) > 200


def test_index_that_a_kill_left_broken_is_built_anew(trigrams: None) -> None:
    run("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_login_search'::regclass")
    assert search.create_index(connection, search.LOGINS_INDEX, concurrently=True) is True
    assert one("SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_login_search'::regclass") is True
    drop_concurrently(connection, search.LOGINS_INDEX)
    assert one("SELECT to_regclass('users_login_search')") is None
    assert search.create_index(connection, search.LOGINS_INDEX, concurrently=True) is True


def test_refused_extension_is_no_index_and_no_error(empty_database: str) -> None:
    if one("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm')"):
        pytest.skip("pg_trgm is in every new database here")
    role = f"test_{uuid.uuid4().hex[:16]}"
    run(f"CREATE ROLE {role}")
    try:
        run(f"SET ROLE {role}")
        assert search.create_index(connection, search.PROFILES_INDEX) is False
        assert one("SELECT current_user") == role
    finally:
        run("RESET ROLE")
        run(f"DROP ROLE {role}")


@pytest.fixture
def c_database(empty_database: str, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A database of the locale C under Django's connection: its lower() knows ASCII alone."""
    provider = "LOCALE_PROVIDER libc" if one("SHOW server_version_num") >= "150000" else ""
    name = f"test_{uuid.uuid4().hex[:16]}"
    run(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {provider} LC_COLLATE 'C' LC_CTYPE 'C'")
    connection.close()
    before, connection.settings_dict["NAME"] = connection.settings_dict["NAME"], name
    yield name
    connection.close()
    connection.settings_dict["NAME"] = before
    run(f"DROP DATABASE {name} WITH (FORCE)")


def test_case_beyond_ascii_is_folded_in_a_database_of_the_locale_c(c_database: str) -> None:
    assert one("SELECT lower('Ä')") == "Ä"
    call_command("migrate", verbosity=0)
    profile = person("jürgen@bücher.example", first_name="ÄNNE", last_name="Żółć")
    for text in ("änne", "ÄNNE", "żÓŁĆ", "JÜRGEN", "bÜcher"):
        assert found(text) == [profile.pk], text
    made = profile_service.create_customer({"name": "X", "email": "JÜRGEN@bücher.example"})
    assert rows("SELECT profile_id, other_profile_id FROM merge_suggestions") == [(made["id"], profile.pk)]
