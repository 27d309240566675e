"""ProfileService as API.md names it, from a thread and from an event loop."""

import asyncio
import inspect
import uuid
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from profiles.loyalty import drift
from profiles.models import Profile
from profiles.services import ProfileService, profile_service
from tests.factories import OrderFactory, UserFactory, person

NAMES = [
    *("get_or_create_profile", "get_profile_by_user_id", "update_profile", "search_profiles"),
    *("update_loyalty_points", "update_purchase_stats", "record_purchase", "get_profile_analytics"),
    *("get_customer", "get_customer_by_user_id", "create_customer", "update_customer", "delete_customer"),
    *("list_customers", "get_customer_orders", "get_customer_stats"),
]


def test_every_method_has_a_twin_of_its_signature() -> None:
    public = [name for name, _ in inspect.getmembers(ProfileService, inspect.isfunction) if not name.startswith("_")]
    assert sorted(public) == sorted([*NAMES, *(f"a{name}" for name in NAMES)])
    for name in NAMES:
        method, twin = getattr(ProfileService, name), getattr(ProfileService, f"a{name}")
        assert inspect.signature(twin) == inspect.signature(method)
        assert inspect.iscoroutinefunction(twin)
        assert not inspect.iscoroutinefunction(method)


@pytest.mark.django_db(transaction=True)
def test_twins_work_in_an_event_loop() -> None:
    profile, order = person("ann@example.com", first_name="Ann"), uuid.uuid4()
    OrderFactory(user=profile.user)
    bare = UserFactory()
    bare.profile.delete()

    async def use() -> dict[str, Any]:
        service, user_id = profile_service, profile.user_id
        made = await service.acreate_customer({"name": "Bob", "email": "bob@example.com"})
        await service.arecord_purchase(
            user_id, amount=Decimal(9), points=9, orders=1, at=None, order_id=order, reason="sale", by=None, via="till"
        )
        await asyncio.gather(*(service.aupdate_loyalty_points(user_id, 1, "gift") for _ in range(5)))
        found = await service.aget_profile_by_user_id(user_id)
        assert found is not None
        told = {
            "created": (await service.aget_or_create_profile(bare.pk, city="Rome"))[1],
            "updated": (await service.aupdate_profile(user_id, {"city": "Paris"})).city,
            "login": found.user.email,
            "searched": [found.pk for found in await service.asearch_profiles("ann@")],
            "spent": (await service.aupdate_purchase_stats(user_id, 1)).total_spent,
            "analytics": (await service.aget_profile_analytics(user_id))["order_count"],
            "customer": (await service.aget_customer(profile.pk) or {})["loyalty_points"],
            "by_user": (await service.aget_customer_by_user_id(user_id) or {})["city"],
            "customer_updated": (await service.aupdate_customer(made["id"], {"name": "Rob"}) or {})["name"],
            "deleted": await service.adelete_customer(made["id"]),
            "listed": len(await service.alist_customers()),
            "orders": len(await service.aget_customer_orders(profile.pk)),
            "stats": (await service.aget_customer_stats(profile.pk) or {})["total_orders"],
        }
        await sync_to_async(connections.close_all)()  # of the thread that did the work
        return told

    assert asyncio.run(use()) == {
        "created": True,
        "updated": "Paris",
        "login": "ann@example.com",
        "searched": [profile.pk],
        "spent": Decimal("10.00"),
        "analytics": 2,
        "customer": 14,
        "by_user": "Paris",
        "customer_updated": "Rob",
        "deleted": True,
        "listed": 3,
        "orders": 1,
        "stats": 2,
    }
    assert Profile.objects.count() == 3
    assert drift() == []
