"""Profiles in the admin, with every odd person of the sample shop."""

import html
import re
import uuid
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import call_command
from django.db import connection
from django.db.models import Q
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from legacy_customers.sample.logins import LOGINS, PASSWORD, PASSWORD_HASH
from legacy_customers.sample.persons import row_id
from legacy_customers.sample.shop_lists import LISTS
from legacy_customers.sample.shop_odd import ODD
from legacy_customers.sample.shop_values import VALUES
from profiles import pages
from profiles.keyset import Cursor
from profiles.models import (
    FieldConflict,
    LoyaltyEntry,
    PrivacyEvent,
    Profile,
    ProfileAlias,
    ProfileHistory,
    ProfileMerge,
)

LIST = "/admin/profiles/profile/"
ADMIN = "admin@example.com"
RECORDS = [
    *("fieldconflict", "mergesuggestion", "profilealias", "profilehistory"),
    *("loyaltyentry", "profilemerge", "privacyevent"),
]


def log_in(client: Client, email: str = ADMIN) -> User:
    """Log in through the form, as a person does."""
    answer = client.post("/admin/login/", {"username": email, "password": PASSWORD, "next": "/admin/"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
    return User.objects.get(email=email)


def of(key: str) -> Profile:
    """The profile of the shop's person `key`."""
    return Profile.objects.by_customer_id(row_id(key, "customers"))[0]  # type: ignore[attr-defined]


def page(profile: Profile) -> str:
    return f"{LIST}{profile.pk}/change/"


class Inputs(HTMLParser):
    """What a browser would send of the form `#profile_form`."""

    def __init__(self) -> None:
        super().__init__()
        self.data: dict[str, str] = {}
        self.inside = self.template = False
        self.area = self.select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = given.get("name") or ""
        if tag == "form":
            self.inside = given.get("id") == "profile_form"
        elif tag == "template":
            self.template = True
        if not self.inside or self.template:
            return
        if tag == "input" and name and (given.get("type") not in ("checkbox", "radio") or "checked" in given):
            self.data[name] = given.get("value") or ("on" if given.get("type") == "checkbox" else "")
        elif tag == "select":
            self.select, self.data[name] = name, ""
        elif tag == "option" and "selected" in given:
            self.data[self.select] = given.get("value") or ""
        elif tag == "textarea":
            self.area, self.data[name] = name, ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "template":
            self.template = False
        elif tag == "form":
            self.inside = False
        elif tag == "textarea" and self.area:
            # The first line end belongs to the markup; the others are sent as CR LF.
            text = self.data[self.area].removeprefix("\n")
            self.data[self.area], self.area = re.sub("\r\n|\r|\n", "\r\n", text), ""

    def handle_data(self, data: str) -> None:
        if self.area:
            self.data[self.area] += data


def shown(client: Client, profile: Profile) -> dict[str, str]:
    """What a browser would send back for the change form as it is."""
    answer = client.get(page(profile))
    assert answer.status_code == 200
    inputs = Inputs()
    inputs.feed(answer.content.decode())
    return inputs.data


def row(profile: Profile) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT p::text FROM profiles AS p WHERE id = %s", [profile.pk])
        return tuple(cursor.fetchone())


def change_thirty() -> None:
    """Leave a trace in the history of thirty profiles."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE profiles SET phone = concat(phone, ' ') WHERE id IN (SELECT id FROM profiles LIMIT 30)")


def test_login_is_a_raw_bcrypt_hash(shop: str, client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT password_hash FROM users WHERE email = %s", [ADMIN])
        assert cursor.fetchone() == (PASSWORD_HASH,)
    log_in(client)
    assert client.get("/admin/").status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("SELECT password_hash FROM users WHERE email = %s", [ADMIN])
        assert cursor.fetchone() == (PASSWORD_HASH,)


def listed(client: Client, **query: str) -> Any:
    answer = client.get(LIST, query)
    assert answer.status_code == 200
    return answer.context["cl"]


def all_pages(client: Client, **query: str) -> list[uuid.UUID]:
    """The ids on all pages of a search, from the newest to the oldest."""
    seen, address = [], f"?{urlencode(query)}"
    while address:
        answer = client.get(LIST + address)
        seen += [profile.pk for profile in answer.context["cl"].result_list]
        address = answer.context["cl"].older()
    return seen


def test_pages_lead_through_everybody_and_back(shop: str, client: Client) -> None:
    log_in(client)
    seen = all_pages(client)
    assert len(seen) == len(set(seen)) == Profile.objects.count() == 508
    second = client.get(LIST + listed(client).older()).context["cl"]
    assert [profile.pk for profile in second.result_list] == seen[50:100]
    first = client.get(LIST + second.newer()).context["cl"]
    assert [profile.pk for profile in first.result_list] == seen[:50]


@pytest.mark.parametrize("at", ["2", "x", "\0", "WyItY3JlYXRlZF9hdCIsICJ4IiwgIngiLCBmYWxzZV0"])
def test_place_that_is_none_of_ours_begins_again(shop: str, client: Client, at: str) -> None:
    log_in(client)
    assert [profile.pk for profile in listed(client, p=at).result_list] == all_pages(client)[:50]


def test_every_odd_profile_opens_and_is_saved_unchanged(shop: str, client: Client) -> None:
    log_in(client)
    ids = [row["id"] for person in VALUES + LISTS + ODD for row in (*person.users, *person.customers)]
    people = Profile.objects.filter(Q(user__in=ids) | Q(id__in=ids) | Q(aliases__in=ids)).distinct()
    assert len(people) == 80
    for profile in people:
        before = row(profile)
        answer = client.post(page(profile), shown(client, profile))
        assert answer.status_code == 302, answer.context["adminform"].form.errors
        assert row(profile) == before, profile
    assert list(ProfileHistory.objects.values_list("profile", "via", "changes")) == []


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("birth_date_bc", "0044-03-15 BC"),
        ("birth_date_five_digits", "12345-06-07"),
        ("birth_date_infinite", "infinity"),
    ],
)
def test_date_beyond_pythons_is_shown_kept_and_corrected(shop: str, client: Client, key: str, text: str) -> None:
    log_in(client)
    profile = of(key)
    data = shown(client, profile)
    assert data["date_of_birth"] == text
    assert client.post(page(profile), {**data, "phone": "555"}).status_code == 302
    after = Profile.objects.get(pk=profile.pk)
    assert (after.phone, str(after.date_of_birth)) == ("555", text)
    data = shown(client, profile)
    answer = client.post(page(profile), {**data, "date_of_birth": "2 BC"})
    assert list(answer.context["adminform"].form.errors) == ["date_of_birth"]
    assert client.post(page(profile), {**data, "date_of_birth": "1990-02-03"}).status_code == 302
    assert str(Profile.objects.get(pk=profile.pk).date_of_birth) == "1990-02-03"


def test_infinite_times_are_shown_and_kept(shop: str, client: Client) -> None:
    log_in(client)
    profile = of("times_infinite")
    text = client.get(page(profile)).content.decode()
    for time in ("-infinity", "infinity"):
        assert re.search(rf">\s*{time}\s*<", text)
    assert client.post(page(profile), shown(client, profile) | {"city": "Nowhere"}).status_code == 302
    after = Profile.objects.get(pk=profile.pk)
    assert (after.city, str(after.created_at), str(after.last_order_date)) == ("Nowhere", "-infinity", "infinity")


def test_points_are_changed_by_an_entry_with_a_reason(shop: str, client: Client) -> None:
    boss = log_in(client)
    profile = of("birth_date_leap")
    had, address = profile.loyalty_points, f"{LIST}{profile.pk}/loyalty/"
    assert client.post(address, {"points": "7", "reason": "a birthday"}).status_code == 302
    profile.refresh_from_db()
    assert profile.loyalty_points == had + 7
    entry = LoyaltyEntry.objects.filter(profile=profile).latest("id")
    assert (entry.delta, entry.reason, entry.source, entry.created_by) == (7, "a birthday", "admin", boss.pk)
    before = row(profile)
    for wrong, named in (
        ({"points": "1", "reason": " "}, "reason"),
        ({"points": str(-had - 8), "reason": "too many"}, "points"),
        ({"points": str(10**12 + 1), "reason": "too many"}, "points"),
    ):
        answer = client.post(address, wrong)
        assert list(answer.context["form"].errors) == [named]
        assert row(profile) == before


def test_sums_and_whose_it_is_are_not_typed(shop: str, client: Client) -> None:
    log_in(client)
    profile, before = of("birth_date_leap"), row(of("birth_date_leap"))
    typed = {"loyalty_points": "5", "total_spent": "5", "order_count": "5", "user": str(of("times_infinite").user_id)}
    answer = client.post(page(profile), shown(client, profile) | typed | {"last_order_date": "2026-01-01"})
    assert (answer.status_code, row(profile)) == (302, before)


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        (("budget", "number", "a lot"), "“a lot” is not a number. Write one like 12 or 12.5, or choose Text."),
        (("budget", "yes", "perhaps"), "“perhaps” is neither yes nor no. Write one of them, or choose Text."),
        (("", "text", "lost"), "“lost” has no name. Name it, or remove the row."),
    ],
)
def test_bad_input_is_explained_at_the_field(shop: str, client: Client, typed: tuple[str, str, str], text: str) -> None:
    log_in(client)
    profile, before = of("birth_date_leap"), row(of("birth_date_leap"))
    key, kind, value = typed
    rows = {"preferences-7-key": key, "preferences-7-kind": kind, "preferences-7-value": value}
    answer = client.post(page(profile), shown(client, profile) | rows | {"city": "Oslo"})
    assert list(answer.context["adminform"].form.errors) == ["preferences"]
    assert text in answer.context["adminform"].form.errors["preferences"][0]
    assert row(profile) == before
    shown_again = html.unescape(answer.content.decode())
    for part in (f'value="{value}"', 'value="Oslo"'):
        assert part in shown_again


def test_objects_and_lists_are_edited_in_rows(shop: str, client: Client) -> None:
    log_in(client)
    profile = of("birth_date_leap")
    Profile.objects.filter(pk=profile.pk).update(
        preferences={"size": "L", "deep": {"a": [1, 2]}, "two\nlines": 1, "n": 1.50}, tags=["a", {"odd": 1}, "b"]
    )
    data = shown(client, profile)
    assert client.post(page(profile), data).status_code == 302
    profile.refresh_from_db()
    assert profile.preferences == {"size": "L", "deep": {"a": [1, 2]}, "two\nlines": 1, "n": 1.5}
    size = next(name for name, value in data.items() if value == "L").replace("value", "kind")
    typed = {size: "text", size.replace("kind", "value"): "XL", "tags-0-text": "", "tags-9-text": " c "}
    typed |= {"preferences-9-key": "vip", "preferences-9-kind": "yes", "preferences-9-value": "Yes"}
    assert client.post(page(profile), shown(client, profile) | typed).status_code == 302
    profile.refresh_from_db()
    assert profile.preferences == {"size": "XL", "deep": {"a": [1, 2]}, "two\nlines": 1, "n": 1.5, "vip": True}
    assert profile.tags == [{"odd": 1}, "b", " c "]


def test_second_editor_is_told_what_changed_and_keeps_what_was_typed(shop: str, client: Client) -> None:
    log_in(client)
    profile = of("birth_date_leap")
    Profile.objects.filter(pk=profile.pk).update(phone="1", city="Rome", tags=["a"])
    data = shown(client, profile)
    log_in(client, "manager@example.com")
    Profile.objects.filter(pk=profile.pk).update(loyalty_points=77)  # a sale is nobody's edit
    assert client.get(page(profile)).status_code == 200
    theirs = {"phone": "2", "city": "Oslo", "sms_consent": "on", "tags-0-text": "b"}
    assert client.post(page(profile), data | theirs).status_code == 302
    log_in(client)
    mine = {"phone": "3", "notes": "mine"}
    before = row(profile)
    answer = client.post(page(profile), data | mine)
    assert row(profile) == before
    form = answer.context["adminform"].form
    told = {one.change.column: (one.change.text, one.both) for one in form.meanwhile}
    assert {column: both for column, (_, both) in told.items()} == {
        **{"phone": True, "city": False, "sms_consent": False, "tags": False}
    }
    assert re.fullmatch(r"manager@example\.com changed it by admin at \d\d:\d\d, from “1” to “2”\.", told["phone"][0])
    assert (form["phone"].value(), form["notes"].value()) == ("3", "mine")
    assert (form["city"].value(), form["sms_consent"].value()) == ("Oslo", True)
    inputs = Inputs()
    inputs.feed(answer.content.decode())
    assert client.post(page(profile), inputs.data).status_code == 302
    profile.refresh_from_db()
    assert (profile.phone, profile.city, profile.notes, profile.tags) == ("3", "Oslo", "mine", ["b"])
    assert profile.sms_consent is True


@pytest.mark.parametrize(
    ("column", "typed", "told"),
    [
        ("contact_email", "no address", "Enter an address like ann@example.com, or leave it empty."),
        ("date_of_birth", "2999-01-02", "2999-01-02 is yet to come. Give the date of birth."),
        ("interaction_count", "-1", "Nobody came less than never. Give 0 or more."),
    ],
)
def test_a_slip_is_explained_at_its_field_and_nothing_is_written(
    shop: str, client: Client, column: str, typed: str, told: str
) -> None:
    log_in(client)
    profile = of("birth_date_leap")
    before = row(profile)
    answer = client.post(page(profile), shown(client, profile) | {column: typed, "first_name": "Not yet"})
    assert answer.context["adminform"].form.errors == {column: [told]}
    assert answer.context["person_name"] == "Leap Day"  # the head tells how they are
    assert row(profile) == before


def test_shell_of_a_merged_profile_is_looked_at_and_not_changed(shop: str, client: Client) -> None:
    log_in(client)
    shell, survivor = of("birth_date_leap"), of("times_infinite")
    data = shown(client, shell)
    Profile.objects.filter(pk=shell.pk).update(merged_into=survivor)
    before = row(shell), row(survivor)
    text = client.get(page(shell)).content.decode()
    assert "null" not in re.findall(r"Price range.{0,900}", text, re.DOTALL)[0]
    assert client.post(page(shell), data | {"city": "Oslo"}).status_code == 403
    assert (row(shell), row(survivor)) == before


def test_history_names_who_changed_what_and_verification_accepts_it(shop: str, client: Client) -> None:
    boss = log_in(client)
    profile = of("birth_date_leap")
    data = shown(client, profile) | {"first_name": "  Leap\u3000", "notes": "one\r\ntwo", "sms_consent": "on"}
    assert client.post(page(profile), data).status_code == 302
    entry = ProfileHistory.objects.get()
    assert (entry.profile_id, entry.changed_by, entry.via) == (profile.pk, boss.pk, "admin")
    assert set(entry.changes) == {"first_name", "notes", "sms_consent", "updated_at"}
    assert entry.changes["first_name"] == {"old": "Leap", "new": "  Leap\u3000"}
    assert entry.changes["notes"] == {"old": None, "new": "one\ntwo"}
    call_command("verify_unification")


@pytest.mark.parametrize("text", ["an", "example", "ordinary.2"])
def test_text_that_many_have_is_found_among_the_newest_first(
    shop: str, client: Client, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(client)
    monkeypatch.setattr(admin.site.get_model_admin(Profile), "list_per_page", 7)
    everybody = all_pages(client, q=text)
    assert len(everybody) > 50
    monkeypatch.setattr(pages, "SAMPLE", 60)
    monkeypatch.setattr(pages, "MOST_READ", 60)
    assert all_pages(client, q=text) == everybody
    last = listed(client, q=text)
    while last.older():
        last = client.get(LIST + last.older()).context["cl"]
    back = [profile.pk for profile in last.result_list]
    while last.newer():
        last = client.get(LIST + last.newer()).context["cl"]
        back[:0] = [profile.pk for profile in last.result_list]
    assert back == everybody


def test_text_that_many_have_is_not_looked_for_without_an_end(
    shop: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(client)
    monkeypatch.setattr(pages, "SAMPLE", 60)
    monkeypatch.setattr(pages, "MOST_READ", 60)
    found = listed(client, q="example", min_spent="99999999999").found
    assert (found.people, found.stopped, found.older is None) == ([], True, False)


def test_text_that_few_have_is_found_however_far_back(
    shop: str, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(client)
    monkeypatch.setattr(pages, "SAMPLE", 60)
    monkeypatch.setattr(pages, "MOST_READ", 60)
    oldest = Profile.objects.exclude(created_at=None).order_by("created_at", "id")[0]
    Profile.objects.filter(pk=oldest.pk).update(last_name="Quuxquux")
    found = listed(client, q="quuxquux").found
    assert ([one.pk for one in found.people], found.stopped) == ([oldest.pk], False)


@pytest.mark.parametrize("query", [{"q": "an"}, {"is_guest": "true"}, {}])
def test_place_that_is_none_begins_the_list_again(
    shop: str, client: Client, query: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(client)
    monkeypatch.setattr(pages, "MOST_READ", 60)
    place = str(Cursor(pages.NEWEST, "no time", "no id"))
    assert all_pages(client, **query, p=place) == all_pages(client, **query)


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("O'Brien", "markup_and_quotes"),
        ("birth.date.leap@", "birth_date_leap"),
        (str(row_id("birth_date_leap", "customers")), "birth_date_leap"),
        (str(row_id("birth_date_leap", "users")), "birth_date_leap"),
        (str(row_id("times_infinite", "customers", 2)).upper(), "times_infinite"),
    ],
)
def test_search_finds_by_text_and_by_any_id(shop: str, client: Client, query: str, key: str) -> None:
    log_in(client)
    found = client.get(LIST, {"q": query}).context["cl"].result_list
    assert [profile.pk for profile in found] == [of(key).pk]


@pytest.mark.parametrize("text", ["%", "'; --", "\\", "𠮷", "no such thing", "0" * 300])
def test_search_takes_any_text(shop: str, client: Client, text: str) -> None:
    log_in(client)
    assert client.get(LIST, {"q": text}).status_code == 200


@pytest.mark.parametrize("filter", ["is_guest", "marketing_consent", "sms_consent", "is_verified", "has_conflicts"])
def test_filters_divide_the_profiles(shop: str, client: Client, filter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in(client)
    monkeypatch.setattr(admin.site.get_model_admin(Profile), "list_per_page", 600)
    yes, no = all_pages(client, **{filter: "true"}), all_pages(client, **{filter: "false"})
    assert yes
    assert no
    assert sorted(yes + no) == sorted(Profile.objects.values_list("pk", flat=True))
    assert set(listed(client, **{filter: "true"}).queryset.values_list("pk", flat=True)) == set(yes)


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_reading_stops_and_goes_on_without_losing_anybody(
    shop: str, client: Client, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(client)
    everybody = all_pages(client, is_guest="true")
    monkeypatch.setattr(pages, "MOST_READ", limit * 5)
    monkeypatch.setattr(admin.site.get_model_admin(Profile), "list_per_page", limit)
    first = listed(client, is_guest="true")
    assert first.older()
    assert all_pages(client, is_guest="true") == everybody
    page = first
    while page.older():
        page = client.get(LIST + page.older()).context["cl"]
    back = [profile.pk for profile in page.result_list]
    while page.newer():
        page = client.get(LIST + page.newer()).context["cl"]
        back[:0] = [profile.pk for profile in page.result_list]
    assert back == everybody


@pytest.mark.parametrize("model", ["profile", "fieldconflict", "mergesuggestion", "profilealias", "profilehistory"])
def test_list_has_a_fixed_number_of_queries(shop: str, client: Client, model: str) -> None:
    log_in(client)
    # Three at most of each, then as many as there are.
    with connection.cursor() as cursor:
        cursor.execute("UPDATE profiles SET phone = concat(phone, ' ') WHERE id IN (SELECT id FROM profiles LIMIT 30)")
    counts = []
    for size in (3, 50):
        admin.site.get_model_admin(apps.get_model("profiles", model)).list_per_page = size
        with CaptureQueriesContext(
            connection,
        ) as queries:
            answer = client.get(f"/admin/profiles/{model}/")
        assert answer.status_code == 200
        assert len(answer.context["cl"].result_list) > (3 if size == 50 else 0)
        counts.append(len(queries))
    # A conflict is shown with the rows that it comes from.
    assert counts[0] == counts[1] <= (8 if model == "fieldconflict" else 6)


@pytest.mark.parametrize("model", RECORDS)
def test_records_are_read_and_not_written(shop: str, client: Client, model: str) -> None:

    log_in(client)
    person, other = of("times_infinite"), of("birth_date_leap")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE profiles SET phone = concat(phone, ' '), loyalty_points = loyalty_points + 1 WHERE id = %s",
            [person.pk],
        )
    ProfileMerge.objects.create(survivor=person, other=other, via="test")
    PrivacyEvent.objects.create(profile=person, kind="export", via="test", counts={"orders": 2})
    for record in apps.get_model("profiles", model).objects.all()[:30]:
        # An open suggestion is decided on a page of its own.
        assert client.get(f"/admin/profiles/{model}/{record.pk}/change/", follow=True).status_code == 200
    address = f"/admin/profiles/{model}/{record.pk}"
    assert client.get(f"/admin/profiles/{model}/add/").status_code == 403
    assert client.post(f"{address}/change/", {}).status_code == (302 if model == "mergesuggestion" else 403)
    assert client.post(f"{address}/delete/", {"post": "yes"}).status_code == 403
    assert client.get(f"/admin/profiles/{model}/", {"q": "x"}).status_code == 200


def test_profile_is_neither_added_nor_deleted(shop: str, client: Client) -> None:
    log_in(client)
    profile = of("birth_date_leap")
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}{profile.pk}/delete/", {"post": "yes"}).status_code == 403
    client.post(LIST, {"action": "delete_selected", "_selected_action": [str(profile.pk)], "post": "yes"})
    assert Profile.objects.count() == 508


@pytest.mark.parametrize(
    ("role", "sees"),
    [("super_admin", True), ("tenant_admin", True), ("store_manager", False), ("staff", False)],
)
def test_medical_conditions_need_their_permission(shop: str, client: Client, role: str, sees: bool) -> None:
    ill = Profile.objects.exclude(medical_conditions=[]).first()
    assert ill is not None
    log_in(client, next(login.email for login in LOGINS if login.role == role))
    data = shown(client, ill)
    assert ("medical_conditions" in data) is sees
    forged = {"medical_conditions": "rows", "medical_conditions-0-text": "forged"}
    assert client.post(page(ill), data | forged).status_code == 302
    after = Profile.objects.get(pk=ill.pk).medical_conditions
    assert (after == ["forged"]) is sees


@pytest.mark.parametrize(("email", "sees"), [("tenant@example.com", True), ("manager@example.com", False)])
def test_history_names_the_medical_conditions_and_shows_them_by_permission(
    shop: str, client: Client, email: str, sees: bool
) -> None:
    asking = log_in(client, email)
    ill = Profile.objects.filter(user__tenant_id=asking.tenant_id)[0]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE profiles SET medical_conditions = '[\"scurvy\"]', phone = '17' WHERE id = %s", [ill.pk])
    entry = ProfileHistory.objects.get(profile=ill)
    assert "phone, medical conditions" in client.get("/admin/profiles/profilehistory/").content.decode()
    text = client.get(f"/admin/profiles/profilehistory/{entry.pk}/change/").content.decode()
    assert ("scurvy" in text) is sees
    assert "→ 17</div>" in text


def test_medical_conflict_needs_the_permission(shop: str, client: Client) -> None:
    conflict = FieldConflict.objects.get(field="medical_conditions")
    address = f"/admin/profiles/fieldconflict/{conflict.pk}/change/"
    log_in(client)
    assert client.get(address).status_code == 200
    log_in(client, "manager@example.com")
    assert client.get(address).status_code == 302  # as if it did not exist
    listed = client.get("/admin/profiles/fieldconflict/", {"q": "medical_conditions"}).context["cl"]
    assert listed.result_count == 0


def test_names_are_escaped(shop: str, client: Client) -> None:
    log_in(client)
    text = client.get(LIST, {"q": "O'Brien"}).content.decode()
    assert "<b>%s</b>" not in text
    assert html.escape("<b>%s</b>{}\\") in text


def test_unknown_id_is_answered(shop: str, client: Client) -> None:
    log_in(client)
    assert client.get(f"{LIST}{uuid.uuid4()}/change/").status_code == 302
    assert client.get(LIST, {"q": str(ProfileAlias.objects.all()[0].pk)}).context["cl"].result_count == 1
