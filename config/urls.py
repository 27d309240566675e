"""Where each address leads."""

from django.apps import apps
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/", include("config.api.urls")),
]

if apps.is_installed("legacy_customers"):
    urlpatterns.append(path("", include("legacy_customers.urls")))
