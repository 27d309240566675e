"""The landing page, and the repository's texts."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from .selectors import documents, overview


@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    """What was unified, how, and whether it is proved: counts alone, nothing about a person."""
    return render(request, "legacy_customers/landing.html", {"overview": overview(), "documents": documents()})


@require_safe
def document(request: HttpRequest, name: str) -> HttpResponse:
    """One of the repository's texts, as it is written."""
    found = documents().get(name)
    if found is None:
        raise Http404(f"There is no document {name!r}.")
    return render(request, "legacy_customers/document.html", {"document": found, "documents": documents()})
