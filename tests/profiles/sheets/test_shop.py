"""Every odd person of the sample shop goes out and comes back, and what is corrected reaches the old tables."""

from django.db import connection

from accounts.models import User
from legacy_customers.unification.verify import verify
from profiles.models import ListExport, Profile, ProfileHistory
from profiles.services import corrections
from profiles.sheets.cells import FORMULA
from tests.databases import rows
from tests.legacy_customers.test_verify import failed
from tests.profiles.sheets.files import exported, written

NUMBERS = {"loyalty_points", "total_spent", "order_count", "interaction_count"}


def boss() -> User:
    return User.objects.get(email="admin@example.com")


def test_the_whole_shop_comes_back_without_a_difference(shop: str) -> None:
    people = exported(boss())
    assert len(people) == Profile.objects.count() == ListExport.objects.get().rows
    formulas = [
        text for row in people for name, text in row.items() if name not in NUMBERS and text.startswith(FORMULA)
    ]
    assert formulas == []
    found = corrections.dry_run(written(people), file_name="all.csv", by=boss())
    assert (found.problems, found.refused, found.people, found.read) == ([], 0, 0, len(people))


def test_correction_reaches_the_old_tables_and_the_judge_passes(shop: str) -> None:
    people = exported(boss(), pk__in=Profile.objects.order_by("pk").values("pk")[:40])
    for row in people:
        row["city"], row["tags"] = "'=Corrected", "a; b"
    found = corrections.dry_run(written(people, delimiter=";"), file_name="some.csv", by=boss())
    assert (found.problems, found.refused, found.people) == ([], 0, 40)
    corrections.apply(found.pk, by=boss())
    ids = [row["id"] for row in people]
    assert set(Profile.objects.filter(pk__in=ids).values_list("city", flat=True)) == {"=Corrected"}
    old = rows("SELECT DISTINCT city, tags::text FROM customers WHERE id = ANY(%s::uuid[])", ids)
    assert old == [("=Corrected", '["a", "b"]')]
    written_by = ProfileHistory.objects.filter(profile__in=ids, changes__has_key="city", via="import")
    assert set(written_by.values_list("changed_by", flat=True)) == {boss().pk}
    assert failed(verify(connection)) == {}
