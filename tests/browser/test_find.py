"""Finding a person as staff do: typing what they have before them."""

from playwright.sync_api import Page, expect

from accounts.models import User
from orders.models import Order
from profiles.models import Profile, ProfileAlias

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


def find(page: Page, text: str) -> list[str]:
    """Type into the box and press Enter, as at the till."""
    page.goto(LIST)
    page.get_by_role("textbox").first.focus()
    page.keyboard.type(text)
    page.keyboard.press("Enter")
    page.wait_for_url("**?*q=**")
    return people(page)


def test_one_box_finds_by_whatever_is_at_hand(open_as: OpenAs) -> None:
    page = open_as("super_admin")
    alias = ProfileAlias.objects.select_related("profile").first()
    person = Profile.objects.select_related("user").exclude(user__email=None).exclude(aliases=None)[0]
    Profile.objects.filter(pk=person.pk).update(first_name="Zacharias", last_name="Quux", phone="(416) 555-0177")
    order = Order.objects.filter(user__isnull=False).select_related("user__profile")[0]
    Order.objects.filter(pk=order.pk).update(receipt_number="R-77-12")
    for text in ("zacharias quux", "quux", "(416) 555-0177", "4165550177", person.user.email, str(person.pk)):
        assert find(page, text) == [str(person.pk)], text
    assert find(page, str(alias.pk)) == [str(alias.profile_id)]
    for text in (order.order_number, "R-77-12"):
        assert find(page, text) == [str(order.user.profile.pk)], text
    assert find(page, "nobody is called so") == []
    assert_looks_right(page, "find-nobody")


def test_a_search_is_kept_as_a_tab_and_shared(open_as: OpenAs) -> None:
    page, colleague = open_as("store_manager"), open_as("staff")
    manager = User.objects.get(email="manager@example.com")
    some = Profile.objects.filter(user__tenant_id=manager.tenant_id)[:3]
    Profile.objects.filter(pk__in=[one.pk for one in some]).update(customer_type="wholesale")
    page.goto(LIST)
    page.get_by_role("button", name="Filters").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Type").select_option("wholesale")
    page.get_by_label("Points at least").fill("0")
    page.get_by_role("button", name="Apply Filters").click()
    page.wait_for_url("**?*customer_type=wholesale*")
    shown = people(page)
    assert len(shown) == 4  # with the one of the shop's own
    page.get_by_text("Keep this search as a tab").click()
    page.get_by_label("Name").fill("Wholesale")
    page.get_by_label("For all colleagues").check()
    page.get_by_role("button", name="Keep", exact=True).click()
    tab = page.locator("#tabs-items a.active")
    expect(tab).to_have_text("Wholesale")
    assert_looks_right(page, "find-tab")
    colleague.goto(LIST)
    colleague.get_by_role("link", name="Wholesale").click()
    expect(colleague.locator("#tabs-items a.active")).to_have_text("Wholesale")
    assert people(colleague) == shown
    expect(colleague.get_by_role("button", name="Remove the tab")).to_have_count(0)
    page.get_by_role("button", name="Remove the tab").click()
    expect(page.get_by_role("link", name="Wholesale")).to_have_count(0)


def test_on_a_phone_the_menu_opens_and_leads_on(open_as: OpenAs) -> None:
    page = open_as("staff")
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/admin/")
    page.get_by_role("button", name="Menu").locator("visible=true").focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Profiles", exact=True).click()
    expect(page).to_have_url("/admin/profiles/profile/")
