"""The tills' older names: /api/transactions and /api/stores/{store_id}/transactions are /api/pos/transactions."""

from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, path
from drf_spectacular.utils import extend_schema, extend_schema_view

from orders.api.urls import TILL

from .superseded import Superseded

CANONICAL = "pos/transactions/"
OF_A_STORE = ("pos/transactions/", "pos/transactions/parked/")


def older(view: Any, *, name: str, successor: str) -> Any:
    """The same view under an older name, which says so."""
    made = type(f"Older{view.__name__}", (Superseded, view), {"successor": successor, "__doc__": view.__doc__})
    documented = {
        method.lower(): extend_schema(
            operation_id=f"{name}_{method.lower()}".replace("-", "_"), tags=["Till (superseded)"], deprecated=True
        )
        for method in view.access
    }
    return extend_schema_view(**documented)(made)


def _paths() -> Iterator[URLPattern]:
    for url in TILL:
        assert isinstance(url, URLPattern)
        route, view = str(url.pattern), url.callback.view_class  # type: ignore[attr-defined]
        successor = "/api/" + route.replace("<str:", "{").replace(">", "}")
        prefixes = {"transactions/": f"older-{url.name}"}
        if route in OF_A_STORE:
            prefixes["stores/<str:store_id>/transactions/"] = f"older-{url.name}-of-store"
        for prefix, name in prefixes.items():
            made = older(view, name=name, successor=successor)
            yield path(route.replace(CANONICAL, prefix), made.as_view(), name=name)


urlpatterns = list(_paths())
