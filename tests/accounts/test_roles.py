"""Who may do what."""

import pytest

from accounts.models import User
from accounts.roles import ROLE_PERMISSIONS, Role, ranks_below

STAFF = {
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
MANAGER = STAFF | {
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
    "orders.view_analytics",
    "orders.edit_order",
}
TENANT = MANAGER | {
    "accounts.view_user",
    "accounts.change_user",
    "accounts.view_apikey",
    "accounts.add_apikey",
    "accounts.change_apikey",
    "profiles.erase_profile",
    "profiles.import_profiles",
    "profiles.view_correction",
    "profiles.view_medical_conditions",
}
EVERYTHING = TENANT | {"accounts.delete_user", "profiles.delete_profile", "sessions.view_session"}


def test_declared_permissions_are_exactly_these() -> None:
    declared = {str(role): set(permissions) for role, permissions in ROLE_PERMISSIONS.items()}
    assert declared == {"tenant_admin": TENANT, "store_manager": MANAGER, "staff": STAFF, "customer": set()}


@pytest.mark.parametrize(
    ("role", "held", "is_staff"),
    [
        ("super_admin", EVERYTHING, True),
        ("tenant_admin", TENANT, True),
        ("store_manager", MANAGER, True),
        ("staff", STAFF, True),
        ("customer", set(), False),
        ("user", set(), False),
        ("", set(), False),
        (None, set(), False),
    ],
)
def test_role_gives_its_permissions_and_no_other(role: str | None, held: set[str], is_staff: bool) -> None:
    user = User(role=role)
    assert {perm for perm in EVERYTHING if user.has_perm(perm)} == held
    assert (user.is_staff, user.is_superuser, user.is_active) == (is_staff, role == "super_admin", True)
    assert user.has_perms(held)
    assert user.has_perms(EVERYTHING) is (role == "super_admin")
    assert {app for app in ("accounts", "profiles", "orders") if user.has_module_perms(app)} == {
        perm.split(".")[0] for perm in held
    } - {"sessions"}


@pytest.mark.parametrize("active", [False, None])
@pytest.mark.parametrize("role", Role.values)
def test_inactive_user_has_no_permission(role: str, active: bool | None) -> None:
    user = User(role=role, active=active)
    assert not user.is_active
    assert not any(user.has_perm(perm) for perm in EVERYTHING)
    assert not user.has_module_perms("profiles")


def test_one_permission_in_place_of_several_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not the text 'profiles.view_profile'"):
        User().has_perms("profiles.view_profile")


def test_rank_follows_the_order_and_unknown_roles_are_lowest() -> None:
    assert [role for role in [*Role.values, "user", None] if ranks_below(role, "store_manager")] == [
        "staff",
        "customer",
        "user",
        None,
    ]
    assert not ranks_below("customer", "user")
    assert not ranks_below("super_admin", "super_admin")
