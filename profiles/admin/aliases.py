"""The old ids that lead to a person."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from profiles.models import Profile, ProfileAlias
from profiles.workplace import Tab, add_tab

from .records import OfPersonAdmin


@admin.register(ProfileAlias)
class ProfileAliasAdmin(OfPersonAdmin):
    list_display = fields = ("id", "whose")
    search_exact = ("id", "profile_id")
    search_help_text = "A whole id: the old customer's or the profile's"
    ordering = ("id",)


MOST = 200  # shown of one person


def show(request: HttpRequest, profile: Profile) -> dict[str, Any]:
    found = list(profile.aliases.order_by("id")[: MOST + 1])
    return {"aliases": found[:MOST], "more": len(found) > MOST}


add_tab(Tab("aliases", "Old ids", "profiles.view_profile", "profiles/person/aliases.html", show, place=90))
