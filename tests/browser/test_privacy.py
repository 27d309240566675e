"""What do you know about me: shown, taken along, erased."""

import json
import re

from playwright.sync_api import Page, expect

from legacy_customers.sample.persons import row_id
from profiles.models import PrivacyEvent, Profile

from .conftest import OpenAs
from .looks import assert_looks_right


def somebody() -> Profile:
    """With medical conditions, a session and orders in the old shop."""
    found: Profile = Profile.objects.select_related("user").get(user_id=row_id("session_of_one_user", "users"))
    assert found.medical_conditions
    return found


def tab(page: Page, profile: Profile) -> None:
    page.goto(f"/admin/profiles/profile/{profile.pk}/privacy/")


def test_everything_that_is_held_is_read_and_downloaded_and_recorded(open_as: OpenAs) -> None:
    page, found = open_as("super_admin"), somebody()
    page.goto(f"/admin/profiles/profile/{found.pk}/change/")
    page.get_by_role("link", name="Privacy", exact=True).last.press("Enter")
    expect(page.get_by_text("Nobody yet.")).to_be_visible()
    assert_looks_right(page, "privacy")
    page.get_by_role("link", name="Show everything").press("Enter")
    expect(page.get_by_text(re.compile(r"^Old table backup_users"))).to_be_visible()
    profile = page.locator("details.held", has_text="Profile (1)").first
    expect(profile).to_contain_text(found.medical_conditions[0])
    page.get_by_text("Old table user_profiles").press("Enter")
    assert_looks_right(page, "privacy-held")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download JSON").click()
    assert download.value.suggested_filename == f"profile-{found.pk}.json"
    held = json.loads(download.value.path().read_text())
    assert held["profiles"][0]["medical_conditions"] == found.medical_conditions
    assert held["legacy"]["user_profiles"]
    page.get_by_role("link", name="Back").click()
    expect(page.get_by_role("cell", name="Export", exact=True)).to_have_count(2)
    assert list(PrivacyEvent.objects.values_list("kind", "via")) == [("export", "admin")] * 2


def test_manager_reads_without_medical_conditions_and_erases_nobody(open_as: OpenAs) -> None:
    page, found = open_as("store_manager"), somebody()
    tab(page, found)
    expect(page.get_by_text("An administrator of the tenant erases people.")).to_be_visible()
    page.get_by_role("link", name="Show everything").click()
    assert found.medical_conditions[0] not in page.content()
    tab(page, found)
    answer = page.request.post(
        page.url,
        form={"csrfmiddlewaretoken": token(page), "reason": "x", "confirm": "on"},
        headers={"Referer": page.url},
    )
    assert (answer.status, "Erased" in answer.text()) == (200, False)
    found.refresh_from_db()
    assert found.erased_at is None


def token(page: Page) -> str:
    return next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "csrftoken")


def test_staff_at_the_till_have_no_such_tab(open_as: OpenAs) -> None:
    page, found = open_as("staff"), somebody()
    page.goto(f"/admin/profiles/profile/{found.pk}/change/")
    expect(page.get_by_role("link", name="Details")).to_be_visible()
    expect(page.get_by_role("link", name="Privacy", exact=True)).to_have_count(0)
    assert page.request.get(f"/admin/profiles/profile/{found.pk}/privacy/?show=json").status == 403


def test_person_is_erased_by_keyboard_with_a_reason(open_as: OpenAs) -> None:
    page, found = open_as("super_admin"), somebody()
    tab(page, found)
    page.get_by_label("Reason").focus()
    page.keyboard.type("asked for it by letter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # without the tick: the browser asks for it
    found.refresh_from_db()
    assert found.erased_at is None
    page.get_by_label("I know that this cannot be taken back").press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text(re.compile(r"Erased: .*1 of profiles"))).to_be_visible()
    expect(page.get_by_role("cell", name="asked for it by letter")).to_be_visible()
    expect(page.get_by_text(re.compile("sales figures are all that is left"))).to_be_visible()
    assert_looks_right(page, "privacy-erased")
    found.refresh_from_db()
    assert (found.erased_at is not None, found.medical_conditions) == (True, [])
    event = PrivacyEvent.objects.get()
    assert (event.kind, event.via, event.reason) == ("erase", "admin", "asked for it by letter")


def test_staff_account_is_not_erased_and_the_way_out_is_named(open_as: OpenAs) -> None:
    page = open_as("super_admin")
    tab(page, Profile.objects.get(user__email="staff@example.com"))
    expect(page.get_by_text("The account is a staff's. Make it a customer's first.")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Erase"))).to_have_count(0)
