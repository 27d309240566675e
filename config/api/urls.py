"""Addresses under /api/: each app's own, the OpenAPI document and its page."""

from django.apps import apps
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from accounts.api.access import PUBLIC


class SchemaView(SpectacularAPIView):
    authentication_classes = ()  # a token that has ended must not keep anybody from reading
    access = {"GET": PUBLIC}


class DocsView(SpectacularSwaggerView):
    authentication_classes = ()
    access = {"GET": PUBLIC}


urlpatterns = [
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", DocsView.as_view(url_name="schema"), name="api-docs"),
    path("", include("accounts.api.urls")),
    path("", include("profiles.api.urls")),
    path("", include("orders.api.urls")),
]

if apps.is_installed("legacy_customers"):
    urlpatterns.append(path("", include("legacy_customers.api.urls")))
