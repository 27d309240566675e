"""What the admins of records have in common."""

from typing import Any

from django.http import HttpRequest

from accounts.staff_admin import OwnTenantAdmin


class ReadOnlyAdmin(OwnTenantAdmin):
    """Rows to be looked at: nobody adds, changes or deletes them here."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
