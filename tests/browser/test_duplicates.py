"""Conflicts and duplicates as staff decide them."""

import pytest
from playwright.sync_api import Page, expect

from legacy_customers.sample.persons import row_id
from profiles.models import ConflictDecision, FieldConflict, MergeSuggestion, Profile, ProfileHistory, ProfileMerge

from .conftest import OpenAs
from .looks import assert_looks_right

CONFLICTS, SUGGESTIONS = "/admin/profiles/fieldconflict/", "/admin/profiles/mergesuggestion/"


def of(key: str) -> Profile:
    """The profile of the shop's person `key`."""
    return Profile.objects.by_customer_id(row_id(key, "customers"))[0]  # type: ignore[attr-defined]


def run_action(page: Page, name: str, *, everything: bool = False) -> None:
    """Run an action on the first row of a list, or on all of its page."""
    if everything:
        page.locator("#action-toggle").check()
    else:
        page.locator("input.action-select").first.check()
    page.locator("select[name=action]").select_option(label=name)
    page.get_by_role("button", name="Run").click()


# --- conflicts ----------------------------------------------------------------------------------------------------


def test_conflicts_look_right_and_are_decided_by_rule_and_undone(open_as: OpenAs) -> None:
    page = open_as("super_admin")
    page.goto(CONFLICTS)
    expect(page.locator("#result_list")).to_contain_text("customer row")
    assert_looks_right(page, "conflicts")
    before = {p.pk: p.first_name for p in Profile.objects.all()}
    page.goto(CONFLICTS + "?field=first_name&rule=first")
    wanted = FieldConflict.objects.filter(field="first_name", rule="first").count()
    run_action(page, "Take what lost", everything=True)
    # Of several values for one cell one is taken, and the others are kept out.
    expect(page.get_by_text(" taken.")).to_be_visible()
    changed = {p.pk for p in Profile.objects.all() if p.first_name != before[p.pk]}
    assert len(changed) == len({c.profile_id for c in FieldConflict.objects.filter(field="first_name", rule="first")})
    entry = ProfileHistory.objects.filter(changes__has_key="first_name").latest("id")
    assert entry.changed_by is not None
    page.get_by_role("button", name="Undo that").click()
    expect(page.get_by_text(f"{wanted} undone.")).to_be_visible()
    assert {p.pk: p.first_name for p in Profile.objects.all()} == before
    assert not ConflictDecision.objects.filter(undone_at=None).exists()


def test_a_conflict_is_taken_and_undone_on_the_persons_page_by_keyboard(open_as: OpenAs) -> None:
    person = of("names_disagree")
    page = open_as("super_admin")
    page.goto(f"/admin/profiles/profile/{person.pk}/conflicts/")
    assert_looks_right(page, "person-conflicts")
    found = FieldConflict.objects.get(profile=person, field="first_name", other_table="users")
    page.get_by_role("button", name=f"Take first name: {found.other_value}").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 taken.")).to_be_visible()
    person.refresh_from_db()
    assert person.first_name == found.other_value
    page.get_by_role("button", name="Undo the decision on first name").press("Enter")
    expect(page.get_by_text("1 undone.")).to_be_visible()
    person.refresh_from_db()
    assert person.first_name == found.chosen_value


# --- duplicates ---------------------------------------------------------------------------------------------------


def test_duplicates_are_looked_for_and_dismissed_for_good(open_as: OpenAs) -> None:
    page = open_as("super_admin")
    page.goto(SUGGESTIONS)
    page.get_by_role("link", name="Look for duplicates").click()
    expect(page.get_by_text("profiles looked at")).to_be_visible()
    assert_looks_right(page, "suggestions")
    first = MergeSuggestion.objects.filter(status="open").order_by("-score", "-id")[0]
    run_action(page, "Dismiss: two people each")
    expect(page.get_by_text("1 dismissed: they are not suggested again.")).to_be_visible()
    first.refresh_from_db()
    assert first.status == "dismissed"
    page.get_by_role("link", name="Look for duplicates").click()
    expect(page.get_by_text("0 profiles looked at, 0 pairs suggested.")).to_be_visible()
    first.refresh_from_db()
    assert first.status == "dismissed"


def test_a_pair_is_compared_merged_with_a_choice_and_made_two_again(open_as: OpenAs) -> None:
    found = MergeSuggestion.objects.filter(status="open", reason="same_login").order_by("id")[0]
    survivor, other = found.other_profile, found.profile
    Profile.objects.filter(pk=survivor.pk).update(phone="111 1111")
    Profile.objects.filter(pk=other.pk).update(phone="222 2222")
    page = open_as("super_admin")
    page.goto(f"{SUGGESTIONS}{found.pk}/change/")
    expect(page.get_by_role("heading", name="Stays:")).to_be_visible()
    assert_looks_right(page, "compare")
    page.get_by_label("phone").select_option("other")
    page.get_by_role("button", name="Merge as shown").click()
    # What was chosen was never previewed.
    expect(page.get_by_text("are not those of the preview")).to_be_visible()
    assert not ProfileMerge.objects.exists()
    expect(page.get_by_label("phone")).to_have_value("other")
    page.get_by_role("button", name="Merge as shown").click()
    expect(page.get_by_text("They are one person now.")).to_be_visible()
    survivor.refresh_from_db()
    assert survivor.phone == "222 2222"
    assert_looks_right(page, "person-duplicates")
    page.get_by_text("Take back", exact=True).click()
    page.get_by_role("button", name="Make them two again").click()
    expect(page.get_by_text("They are two again")).to_be_visible()
    survivor.refresh_from_db()
    other.refresh_from_db()
    assert (survivor.phone, other.phone, other.merged_into) == ("111 1111", "222 2222", None)
    assert ProfileMerge.objects.get().unmerged_by is not None


def test_what_is_in_the_way_is_named_and_can_be_confirmed(open_as: OpenAs) -> None:
    one, other = of("linked"), of("names_disagree")
    Profile.objects.filter(pk=one.pk).update(date_of_birth="1990-01-01")
    Profile.objects.filter(pk=other.pk).update(date_of_birth="1991-01-01")
    page = open_as("super_admin")
    page.goto(f"/admin/profiles/profile/{one.pk}/duplicates/")
    page.get_by_label("Compare with").fill(str(other.pk))
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The birth dates contradict each other.")
    assert_looks_right(page, "compare-blocked")
    expect(page.get_by_role("button", name="Merge as shown")).to_have_count(0)
    page.get_by_label("One person, although").check()
    page.get_by_role("button", name="Preview again").click()
    page.get_by_role("button", name="Merge as shown").click()
    expect(page.get_by_text("They are one person now.")).to_be_visible()


@pytest.mark.parametrize("role", ["store_manager", "staff"])
def test_who_may_not_merge_finds_no_way_to(open_as: OpenAs, role: str) -> None:
    page = open_as(role)
    answer = page.request.get(f"/admin/profiles/profile/{of('linked').pk}/merge/{of('names_disagree').pk}/")
    assert answer.status == (200 if role == "store_manager" else 403)
    assert page.request.get(CONFLICTS).status == (200 if role == "store_manager" else 403)
