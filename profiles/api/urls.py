"""Addresses under /api/."""

from django.urls import URLPattern, URLResolver, path

from . import merging, parts, privacy, profiles

urlpatterns: list[URLPattern | URLResolver] = [
    path("profiles/", profiles.ProfilesView.as_view(), name="profiles"),
    path("profiles/me/", profiles.MeView.as_view(), name="profile-me"),
    path("profiles/<uuid:profile_id>/", profiles.ProfileView.as_view(), name="profile"),
    path("profiles/<uuid:profile_id>/loyalty/", parts.LoyaltyView.as_view(), name="profile-loyalty"),
    path("profiles/<uuid:profile_id>/orders/", parts.OrdersView.as_view(), name="profile-orders"),
    path("profiles/<uuid:profile_id>/analytics/", parts.AnalyticsView.as_view(), name="profile-analytics"),
    path("profiles/<uuid:profile_id>/history/", parts.HistoryView.as_view(), name="profile-history"),
    path("profiles/<uuid:profile_id>/conflicts/", parts.ConflictsView.as_view(), name="profile-conflicts"),
    path(
        "profiles/<uuid:profile_id>/conflicts/<int:conflict_id>/", parts.ConflictView.as_view(), name="profile-conflict"
    ),
    # Merging and privacy
    path("profiles/merge/preview/", merging.MergePreviewView.as_view(), name="profile-merge-preview"),
    path("profiles/merge/", merging.MergeView.as_view(), name="profile-merge"),
    path("profiles/merge/<int:merge_id>/", merging.UnmergeView.as_view(), name="profile-unmerge"),
    path("profiles/<uuid:profile_id>/export/", privacy.ExportView.as_view(), name="profile-export"),
    path("profiles/<uuid:profile_id>/erase/", privacy.EraseView.as_view(), name="profile-erase"),
]
