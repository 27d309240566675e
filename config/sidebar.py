"""The admin's sidebar: the one declaration of what is found where, and what it asks of who sees it."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse


@dataclass(frozen=True)
class Entry:
    """A page by the name of its address; `needs` is a permission, '' for all staff."""

    title: str
    icon: str  # of Material Symbols
    address: str
    needs: str = ""


GROUPS = {
    "": (Entry("Dashboard", "dashboard", "admin:index"),),
    "People": (
        Entry("Profiles", "person_search", "admin:profiles_profile_changelist", "profiles.view_profile"),
        Entry("Conflicts", "difference", "admin:profiles_fieldconflict_changelist", "profiles.view_fieldconflict"),
        Entry("Duplicates", "group", "admin:profiles_mergesuggestion_changelist", "profiles.view_mergesuggestion"),
        Entry("Corrections", "edit_note", "admin:profiles_correction_changelist", "profiles.view_correction"),
        Entry("Merges", "merge", "admin:profiles_profilemerge_changelist", "profiles.view_profilemerge"),
    ),
    "Sales": (Entry("Orders", "receipt_long", "admin:orders_order_changelist", "orders.view_order"),),
    "Records": (
        Entry("History", "history", "admin:profiles_profilehistory_changelist", "profiles.view_profilehistory"),
        Entry("Points", "loyalty", "admin:profiles_loyaltyentry_changelist", "profiles.view_loyaltyentry"),
        Entry("Privacy", "shield_person", "admin:profiles_privacyevent_changelist", "profiles.view_privacyevent"),
        Entry("Lists taken", "download", "admin:profiles_listexport_changelist", "profiles.view_listexport"),
        Entry("Old ids", "tag", "admin:profiles_profilealias_changelist", "profiles.view_profilealias"),
    ),
    "Access": (
        Entry("Accounts", "manage_accounts", "admin:accounts_user_changelist", "accounts.view_user"),
        Entry("API keys", "key", "admin:accounts_apikey_changelist", "accounts.view_apikey"),
        Entry("Failed logins", "lock", "admin:axes_accessattempt_changelist", "axes.view_accessattempt"),
        Entry("Tables", "database", "admin:tables", "orders.see_tables"),
    ),
    "Unification": (
        Entry("Phases", "timeline", "admin:legacy_customers_phase_changelist", "legacy_customers.view_phase"),
        Entry(
            "Verifications",
            "verified",
            "admin:legacy_customers_verificationrun_changelist",
            "legacy_customers.view_verificationrun",
        ),
        Entry(
            "Whose row is whose",
            "fingerprint",
            "admin:legacy_customers_customeridentity_changelist",
            "legacy_customers.view_customeridentity",
        ),
        Entry(
            "Attached rows",
            "attachment",
            "admin:legacy_customers_attachment_changelist",
            "legacy_customers.view_attachment",
        ),
        Entry(
            "customers_view",
            "table_view",
            "admin:legacy_customers_legacycustomer_changelist",
            "legacy_customers.view_legacycustomer",
        ),
        Entry(
            "Old tables in use",
            "edit_document",
            "admin:legacy_customers_legacywrite_changelist",
            "legacy_customers.view_legacywrite",
        ),
        Entry("Old API in use", "api", "admin:legacy_customers_apiusage_changelist", "legacy_customers.view_apiusage"),
    ),
}


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups as unfold takes them, with what there is and the viewer may see."""
    groups = []
    for title, entries in GROUPS.items():
        items = [
            {"title": entry.title, "icon": entry.icon, "link": address}
            for entry in entries
            if (not entry.needs or request.user.has_perm(entry.needs)) and (address := _address(entry))
        ]
        if items:
            groups.append({"title": title, "items": items})
    return groups


def _address(entry: Entry) -> str | None:
    """Where the page is; None without its app."""
    try:
        return reverse(entry.address)
    except NoReverseMatch:
        return None
