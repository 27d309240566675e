"""Finding a person as staff do: typing what they have before them."""

from playwright.sync_api import Page

from .conftest import OpenAs
from .looks import assert_looks_right

LIST = "/admin/profiles/profile/"


def people(page: Page) -> list[str]:
    """The ids of those who are listed, in their order."""
    links = page.locator("#result_list th a").evaluate_all("all => all.map(link => link.pathname)")
    return [link.split("/")[4] for link in links]


def test_looks(open_as: OpenAs) -> None:
    page = open_as("super_admin")
    page.goto(LIST)
    assert len(people(page)) == 50
    assert_looks_right(page, "find")
    page.get_by_role("button", name="Filters").click()
    assert_looks_right(page, "find-filters")
