"""The author of a change is named in profile_history."""

import pytest
from django.db import connection, transaction
from django.db.transaction import TransactionManagementError

from accounts.authorship import sign
from accounts.models import User
from profiles.models import ProfileHistory


@pytest.mark.django_db(transaction=True)
def test_signature_ends_with_its_transaction() -> None:
    boss, ann = User.objects.create_user("boss@x.com"), User.objects.create_user("ann@x.com")
    with transaction.atomic():
        sign(using="default", by=boss.pk, via="api")
        ann.profile.phone = "1"
        ann.profile.save(update_fields=["phone"])
    ann.profile.phone = "2"
    ann.profile.save(update_fields=["phone"])
    assert list(ProfileHistory.objects.order_by("id").values_list("via", "changed_by", "changes")) == [
        ("api", boss.pk, {"phone": {"old": None, "new": "1"}}),
        ("sql", None, {"phone": {"old": "1", "new": "2"}}),
    ]


@pytest.mark.django_db(transaction=True)
def test_signing_outside_a_transaction_is_refused() -> None:
    with pytest.raises(
        TransactionManagementError,
        match=r"^Changes via 'api' cannot be signed outside a transaction. Sign within transaction\.",
    ):
        sign(using="default", by=None, via="api")
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting('unified.via', true), '')")
        assert cursor.fetchone() == ("",)
