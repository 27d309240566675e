"""Searches that staff give a name, and take away again."""

from urllib.parse import parse_qsl, urlencode

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from config.api.problems import Problem, not_found
from profiles.models import SavedFilter

MOST = 30  # tabs of one maker
# What says where in the list one is, not what is searched.
PLACE = {"p", "e", "all"}


def kept(query: str) -> str:
    """What an address searches for: without its place in the list, and without what was left blank."""
    return urlencode([(key, value) for key, value in parse_qsl(query.replace("\0", "")) if key not in PLACE])


def save(name: str, query: str, *, shared: bool, by: User) -> SavedFilter:
    """Keep the search of an address. ValidationError where the name is taken, too long or blank, or the query empty."""
    searched = kept(query)
    made = SavedFilter(
        name=name.replace("\0", "").strip(), query=searched, shared=shared, tenant_id=by.tenant_id, made_by=by
    )
    if not searched:
        raise ValidationError("Search or filter first: this would be a tab of everybody.")
    with transaction.atomic():
        if SavedFilter.objects.filter(made_by=by).count() >= MOST:
            raise ValidationError(f"You have {MOST} tabs. Remove one first.")
        made.full_clean()
        made.save()
    return made


def may_remove(found: SavedFilter, by: User) -> bool:
    return found.made_by_id == by.pk or by.has_perm("profiles.delete_savedfilter")


def remove(filter_id: int, *, by: User) -> None:
    """Whoever made it, or who ranks as manager or above for one that is shared. Problem 403, 404."""
    found = SavedFilter.objects.seen_by(by).filter(pk=filter_id).first()
    if found is None:
        raise not_found("saved filter", filter_id)
    if not may_remove(found, by):
        raise Problem("permission_denied", f"The tab {found.name!r} is a colleague's.", status=403)
    found.delete()
