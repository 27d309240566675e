"""The person's page as staff use it."""

import pytest
from playwright.sync_api import expect

from legacy_customers.sample.persons import row_id
from profiles.models import LoyaltyEntry, Profile, ProfileHistory

from .conftest import OpenAs
from .looks import assert_looks_right

TABS = ["change", "orders", "loyalty", "history", "conflicts", "origins", "aliases"]


def of(key: str) -> Profile:
    """The profile of the shop's person `key`."""
    return Profile.objects.by_customer_id(row_id(key, "customers"))[0]  # type: ignore[attr-defined]


def address(profile: Profile, tab: str = "change") -> str:
    return f"/admin/profiles/profile/{profile.pk}/{tab}/"


@pytest.mark.parametrize("tab", TABS)
def test_tab_looks_right(open_as: OpenAs, tab: str) -> None:
    page = open_as("super_admin")
    page.goto(address(of("names_disagree"), tab))
    assert_looks_right(page, f"person-{tab}")


def test_correcting_somebody_by_keyboard_alone(open_as: OpenAs) -> None:
    page, person = open_as("staff"), of("names_disagree")
    page.goto(address(person))
    page.get_by_label("Phone").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("(416) 555-0100")
    page.get_by_role("button", name="Add to Tags").focus()
    page.keyboard.press("Enter")
    page.keyboard.type("allergic to nuts")
    page.keyboard.press("Enter")
    page.keyboard.type("comes on Fridays")
    page.get_by_role("button", name="Add to Preferences").focus()
    page.keyboard.press("Enter")
    page.keyboard.type("budget")
    page.keyboard.press("Tab")
    page.keyboard.type("40")
    page.keyboard.press("Tab")
    page.keyboard.type("Number")
    page.get_by_role("button", name="Save").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    person.refresh_from_db()
    assert person.phone == "(416) 555-0100"
    assert person.tags[-2:] == ["allergic to nuts", "comes on Fridays"]
    assert person.preferences["budget"] == 40
    page.goto(address(person))
    assert page.get_by_label("Preferences: value 1").input_value() == "40"


def test_bad_input_is_explained_and_keeps_what_was_typed(open_as: OpenAs) -> None:
    page, person = open_as("store_manager"), of("names_disagree")
    page.goto(address(person))
    page.get_by_role("button", name="Add to Preferences").click()
    page.get_by_label("Preferences: name").fill("budget")
    page.get_by_label("Preferences: value").fill("a lot")
    page.get_by_label("Preferences: kind").select_option("Number")
    page.get_by_label("City").fill("Oslo")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("budget: “a lot” is not a number.")).to_be_visible()
    expect(page.get_by_label("City")).to_have_value("Oslo")
    expect(page.get_by_label("Preferences: value 1")).to_have_value("a lot")
    assert_looks_right(page, "person-bad-input")
    assert ProfileHistory.objects.count() == 0


def test_two_edit_at_once_and_the_second_loses_nothing(open_as: OpenAs) -> None:
    first, second, person = open_as("store_manager"), open_as("staff"), of("names_disagree")
    for page in (first, second):
        page.goto(address(person))
    first.get_by_label("Phone").fill("1")
    first.get_by_label("City").fill("Oslo")
    first.get_by_role("button", name="Save").click()
    expect(first.get_by_text("was changed successfully")).to_be_visible()
    second.get_by_label("Phone").fill("2")
    second.get_by_label("Notes").fill("asked for a call")
    second.get_by_role("button", name="Save").click()
    told = second.get_by_role("alert", name="Changed meanwhile")
    expect(told).to_contain_text("manager@example.com changed it by admin")
    expect(told).to_contain_text("from “+14165550112” to “1”")
    expect(told).to_contain_text("from “nothing” to “Oslo”")
    assert_looks_right(second, "person-changed-meanwhile")
    expect(second.get_by_label("Phone")).to_have_value("2")
    expect(second.get_by_label("City")).to_have_value("Oslo")
    second.get_by_role("button", name="Save").click()
    expect(second.get_by_text("was changed successfully")).to_be_visible()
    person.refresh_from_db()
    assert (person.phone, person.city, person.notes) == ("2", "Oslo", "asked for a call")


def test_points_are_given_with_a_reason_and_history_tells_who(open_as: OpenAs) -> None:
    page, person = open_as("store_manager"), of("names_disagree")
    page.goto(address(person))
    page.get_by_role("link", name="Points", exact=True).last.click()
    page.get_by_label("Points to add").fill("-5")
    page.get_by_label("Reason").fill("typo")
    page.get_by_role("button", name="Change the points").click()
    expect(page.get_by_text("5 points cannot be taken from a balance of 0")).to_be_visible()
    page.get_by_label("Points to add").fill("250")
    page.get_by_label("Reason").fill("a birthday")
    page.get_by_role("button", name="Change the points").click()
    expect(page.get_by_role("row", name="+250 250 a birthday manager@example.com, admin")).to_be_visible()
    assert LoyaltyEntry.objects.get(profile=person).reason == "a birthday"
    page.get_by_role("link", name="History", exact=True).last.click()
    expect(page.get_by_role("heading", name="manager@example.com, by the admin")).to_be_visible()
    expect(page.get_by_role("row", name="Loyalty points 0 250")).to_be_visible()


def test_where_a_value_came_from_names_table_row_and_rule(open_as: OpenAs) -> None:
    page, person = open_as("store_manager"), of("names_disagree")
    page.goto(address(person, "origins"))
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="First name"))
    expect(row).to_contain_text("the first that says something")
    expect(row.locator("strong")).to_have_text("Bob")
    expect(row.locator("strong + span + code")).to_have_text(str(row_id("names_disagree", "customers")))
    expect(row.locator("s")).to_have_text(["Robert", "Robbie", "Rob"])
