"""What a role may do: the one declaration of it."""

from collections.abc import Mapping

from django.db import models


class Role(models.TextChoices):
    """From the most to the least powerful, as in the legacy enum. Other values occur and give no rights."""

    SUPER_ADMIN = "super_admin"
    TENANT_ADMIN = "tenant_admin"
    STORE_MANAGER = "store_manager"
    STAFF = "staff"
    CUSTOMER = "customer"


STAFF_ROLES = frozenset({Role.SUPER_ADMIN, Role.TENANT_ADMIN, Role.STORE_MANAGER, Role.STAFF})

# What the till and its staff need: customers, their points, sales and refunds.
_STAFF = frozenset(
    {
        "profiles.view_profile",
        "profiles.add_profile",
        "profiles.change_profile",
        "profiles.adjust_points",
        "profiles.deactivate_profile",
        "orders.view_order",
        "orders.add_order",
        "orders.change_order",
        "orders.refund_order",
    }
)
_MANAGERS = _STAFF | {
    "profiles.view_fieldconflict",
    "profiles.change_fieldconflict",
    "profiles.view_mergesuggestion",
    "profiles.change_mergesuggestion",
    "profiles.view_profilehistory",
    "profiles.view_loyaltyentry",
    "profiles.view_profilemerge",
    "profiles.view_privacyevent",
    "profiles.delete_savedfilter",
    "profiles.merge_profile",
    "profiles.export_profile",
    "profiles.export_profiles",
    "profiles.view_listexport",
    "orders.edit_order",
    "orders.view_analytics",
}

# super_admin may do everything and is not listed. Medical conditions are health data: beside super_admin
# only the tenant's administrator, who answers for them, sees them; neither a manager nor the till needs them.
ROLE_PERMISSIONS: Mapping[str, frozenset[str]] = {
    Role.TENANT_ADMIN: _MANAGERS
    | {
        "accounts.view_user",
        "accounts.change_user",
        "accounts.view_apikey",
        "accounts.add_apikey",
        "accounts.change_apikey",
        "profiles.erase_profile",
        "profiles.import_profiles",
        "profiles.view_correction",
        "profiles.view_medical_conditions",
    },
    Role.STORE_MANAGER: _MANAGERS,
    Role.STAFF: _STAFF,
    Role.CUSTOMER: frozenset(),
}


def ranks_below(role: str | None, other: str | None) -> bool:
    """Whether `role` has strictly less power than `other`; an unknown role and none at all have the least."""
    return _rank(role) > _rank(other)


def _rank(role: str | None) -> int:
    return Role.values.index(role) if role in Role.values else len(Role.values) - 1
