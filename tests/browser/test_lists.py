"""Lists of people as CSV: taken as they are filtered, corrected in a spreadsheet, handed in and applied as a whole."""

import csv
import io
import re
from pathlib import Path

import pytest
from playwright.sync_api import Download, Page, expect

from accounts.models import User
from profiles.models import Correction, ListExport, Profile, ProfileHistory
from tests.profiles.sheets.files import written

from .conftest import OpenAs
from .looks import assert_looks_right

LIST = "/admin/profiles/profile/"
HAND_IN = "/admin/profiles/correction/hand-in/"


def taken(page: Page, query: str) -> Download:
    page.goto(f"{LIST}?{query}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export as CSV").first.press("Enter")
    return download.value


def rows(download: Download) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(download.path().read_text(encoding="utf-8-sig"), newline="")))


def hand_in(page: Page, path: Path, people: list[dict[str, str]]) -> None:
    file = path / "people.csv"
    file.write_bytes(written(people))
    page.goto(HAND_IN)
    page.get_by_label("CSV file").set_input_files(file)
    page.get_by_role("button", name="Show the differences").press("Enter")


def test_list_is_taken_as_it_is_filtered_and_who_took_it_is_recorded(open_as: OpenAs) -> None:
    page = open_as("super_admin")
    download = taken(page, "customer_type=vip&q=a")
    assert_looks_right(page, "list-to-take")
    assert re.fullmatch(r"people-\d{4}-\d\d-\d\d\.csv", download.suggested_filename)
    people = rows(download)
    assert people
    assert {row["customer_type"] for row in people} == {"vip"}
    record = ListExport.objects.get()
    assert (record.rows, record.filters) == (len(people), {"customer_type": "vip", "q": True})
    page.goto("/admin/profiles/listexport/")
    expect(page.get_by_role("row", name=re.compile("admin@example.com"))).to_contain_text("customer_type vip")
    assert_looks_right(page, "lists-taken")
    page.get_by_role("row", name=re.compile("admin@example.com")).get_by_role("link").click()
    assert_looks_right(page, "list-taken")


def test_manager_takes_a_list_without_medical_conditions_and_staff_take_none(open_as: OpenAs) -> None:
    page = open_as("store_manager")
    people = rows(taken(page, ""))
    assert "medical_conditions" not in people[0]
    tenant = User.objects.get(email="manager@example.com").tenant_id
    assert len(people) == Profile.objects.of_people().filter(user__tenant_id=tenant).count()
    assert page.request.get(HAND_IN).status == 403
    page = open_as("staff")
    page.goto(LIST)
    expect(page.get_by_role("link", name="Export as CSV")).to_have_count(0)
    assert page.request.get(f"{LIST}csv/").status == 403
    assert ListExport.objects.count() == 1


def test_file_is_corrected_shown_and_applied(open_as: OpenAs, tmp_path: Path) -> None:
    page = open_as("super_admin")
    people = rows(taken(page, "customer_type=vip"))
    assert len(people) > 1
    for row in people:
        row |= {"city": "Zürich", "tags": "corrected; by file"}
    page.goto("/admin/profiles/correction/")
    page.get_by_role("link", name="Hand in a file").first.press("Enter")
    assert_looks_right(page, "hand-in")
    hand_in(page, tmp_path, people)
    expect(page.get_by_text("Nothing is written yet")).to_be_visible()
    expect(page.get_by_role("cell", name="Zürich")).to_have_count(len(people))
    assert_looks_right(page, "correction")
    assert not Profile.objects.filter(city="Zürich").exists()
    page.get_by_role("button", name=f"Correct {len(people)} people").press("Enter")
    expect(page.get_by_text(f"{len(people)} people were corrected.")).to_be_visible()
    expect(page.get_by_text("Applied", exact=True)).to_be_visible()
    assert_looks_right(page, "correction-applied")
    changed = Profile.objects.filter(city="Zürich", tags=["corrected", "by file"])
    assert {str(profile.pk) for profile in changed} == {row["id"] for row in people}
    author = User.objects.get(email="admin@example.com").pk
    entries = ProfileHistory.objects.filter(via="import")
    assert set(entries.values_list("changed_by", flat=True)) == {author}
    page.goto("/admin/profiles/correction/")
    assert_looks_right(page, "corrections")


def test_problems_are_told_line_by_line_and_nothing_is_written(open_as: OpenAs, tmp_path: Path) -> None:
    page = open_as("super_admin")
    people = rows(taken(page, "customer_type=vip"))
    people[0] |= {"city": "Zürich", "date_of_birth": "31.12.1999", "loyalty_points": "999999"}
    people[1] |= {"city": "Zürich", "id": "00000000-0000-4000-8000-000000000000"}
    hand_in(page, tmp_path, people)
    expect(page.get_by_text("Cannot be applied")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("31.12.1999"))).to_contain_text("YYYY-MM-DD")
    expect(page.get_by_role("row", name=re.compile("999999"))).to_contain_text("loyalty_points is there to be read")
    expect(page.get_by_role("row", name=re.compile("There is no person"))).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Correct"))).to_have_count(0)
    assert_looks_right(page, "correction-problems")
    page.get_by_role("button", name="Discard").press("Enter")
    expect(page.get_by_text("Discarded", exact=True)).to_be_visible()
    assert not Profile.objects.filter(city="Zürich").exists()


def test_who_was_changed_between_is_told_and_nothing_is_written(open_as: OpenAs, tmp_path: Path) -> None:
    page = open_as("super_admin")
    people = rows(taken(page, "customer_type=vip"))
    for row in people:
        row["city"] = "Zürich"
    hand_in(page, tmp_path, people)
    expect(page.get_by_text("Nothing is written yet")).to_be_visible()
    Profile.objects.filter(pk=people[0]["id"]).update(city="Bern")
    page.get_by_role("button", name=re.compile("Correct")).click()
    expect(page.get_by_text(re.compile("was changed since the dry run. Nothing was written."))).to_be_visible()
    assert not Profile.objects.filter(city="Zürich").exists()
    assert Correction.objects.get().status == "open"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "The submitted file is empty."),
        (b"fone,id\n1,2", "There is no column 'fone'. Do you mean 'phone'?"),
        ("id,city\n1,Zürich".encode("latin-1"), "The file is not UTF-8"),
    ],
)
def test_file_that_is_none_is_refused_with_the_way_out(
    open_as: OpenAs, tmp_path: Path, content: bytes, told: str
) -> None:
    page = open_as("tenant_admin")
    (tmp_path / "a.csv").write_bytes(content)
    page.goto(HAND_IN)
    page.get_by_label("CSV file").set_input_files(tmp_path / "a.csv")
    page.get_by_role("button", name="Show the differences").click()
    expect(page.get_by_text(told)).to_be_visible()
