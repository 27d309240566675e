"""The page of tables."""

from playwright.sync_api import expect

from .conftest import OpenAs
from .looks import assert_looks_right


def test_a_super_admin_finds_what_is_protected_and_who_depends_on_it(open_as: OpenAs) -> None:
    page = open_as("super_admin")
    page.goto("/admin/")
    page.get_by_role("link", name="Tables", exact=True).click()
    expect(page).to_have_title("Tables | Unified Profiles")
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="profiles", exact=True))
    expect(row).to_contain_text("refused: DROP, DROP COLUMN, RENAME, TRUNCATE")
    row.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(row).to_contain_text("unification_sync_profiles_updated")
    page.get_by_text("What looks, since when").click()
    assert_looks_right(page, "tables")
