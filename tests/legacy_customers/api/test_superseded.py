"""What answers of superseded paths say about their end."""

import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from accounts.roles import Role
from legacy_customers.api.superseded import announced
from tests.api import client_as, client_for
from tests.factories import person

pytestmark = pytest.mark.django_db

NOBODY = "99999999-9999-4999-8999-999999999999"
PATHS = {
    "/api/customers": "/api/profiles/",
    "/api/customers/search": "/api/profiles/",
    f"/api/customers/{NOBODY}": f"/api/profiles/{NOBODY}/",
    f"/api/customers/{NOBODY}/orders": f"/api/profiles/{NOBODY}/orders/",
    f"/api/customers/{NOBODY}/stats": f"/api/profiles/{NOBODY}/analytics/",
}


@pytest.fixture(autouse=True)
def dates(settings: Any) -> None:
    settings.API_DEPRECATED_ON = "2026-11-23"
    settings.API_SUNSET_ON = "2027-11-23"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("slash", ["", "/"])
def test_every_answer_announces_the_end(path: str, slash: str) -> None:
    for client in (client_as(Role.STAFF), client_for(None)):
        response = client.get(path + slash)
        assert response.headers["Deprecation"] == "@1795392000"
        assert response.headers["Sunset"] == "Tue, 23 Nov 2027 00:00:00 GMT"
        assert response.headers["Link"] == f'<{PATHS[path]}>; rel="successor-version"'
    assert datetime.datetime.fromtimestamp(1795392000, datetime.UTC) == datetime.datetime(
        2026, 11, 23, tzinfo=datetime.UTC
    )
    assert parsedate_to_datetime("Tue, 23 Nov 2027 00:00:00 GMT").isoformat() == "2027-11-23T00:00:00+00:00"


def test_writes_and_refusals_announce_it_too() -> None:
    staff = client_as(Role.STAFF)
    id_ = person().pk
    for response in (
        staff.post("/api/customers/", {"name": "Ann"}),
        staff.post("/api/customers/", {}),
        staff.put(f"/api/customers/{id_}/", {"name": "Ann"}),
        staff.patch(f"/api/customers/{id_}/loyalty/", {"points": 1}),
        staff.delete(f"/api/customers/{id_}/"),
        staff.post("/api/customers/verify-age/", {"birth_date": "1990-01-01"}),
        staff.patch("/api/customers/"),
    ):
        assert response.headers["Deprecation"] == "@1795392000", response
    assert response.status_code == 405


@pytest.mark.parametrize("odd", ["%0D%0AX-Evil:1", "é", "a b", '">', "{customer_id}", "{0}"])
def test_the_link_quotes_what_stood_in_the_path(odd: str) -> None:
    response = client_as(Role.STAFF).get(f"/api/customers/{odd}/")
    assert response.status_code == 404
    link = response.headers["Link"]
    assert link.startswith("</api/profiles/")
    assert link.endswith('/>; rel="successor-version"')
    assert not set(link[1:].partition(">")[0]) & set('\r\n "<>{}')
    assert "X-Evil" not in response.headers


def test_the_new_paths_announce_nothing() -> None:
    assert "Deprecation" not in client_for(None).get("/api/schema/").headers


@pytest.mark.parametrize(
    ("dates", "complaint"),
    [
        (("soon", "2027-11-23"), "API_DEPRECATED_ON is 'soon', which is no date. Write it as 2026-11-23."),
        (("2026-11-23", ""), "API_SUNSET_ON is '', which is no date. Write it as 2026-11-23."),
        (
            ("2027-11-23", "2026-11-23"),
            "API_SUNSET_ON (2026-11-23) is before API_DEPRECATED_ON (2027-11-23). Give a later date.",
        ),
    ],
    ids=["no_date", "blank", "wrong_order"],
)
def test_dates_that_make_no_sense_are_named(dates: tuple[str, str], complaint: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        announced(*dates)
    assert str(refused.value) == complaint
