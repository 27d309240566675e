"""The one way in to people's data: the API, the admin, commands and ported code call it."""

import datetime
import functools
import uuid
from collections.abc import Callable, Collection, Coroutine, Mapping
from decimal import Decimal
from typing import Any, Concatenate, ParamSpec, TypeVar

from asgiref.sync import sync_to_async

from accounts.models import User
from config.api.problems import not_found
from profiles import pages, selectors
from profiles.models import LoyaltyEntry, Profile

from . import customers, details
from . import points as _points

P = ParamSpec("P")
R = TypeVar("R")
Id = uuid.UUID | str


def twin(
    method: "Callable[Concatenate[ProfileService, P], R]",
) -> "Callable[Concatenate[ProfileService, P], Coroutine[Any, Any, R]]":
    """The same for async callers, in the thread that has the database connection."""

    @functools.wraps(method)
    async def call(self: "ProfileService", *args: P.args, **kwargs: P.kwargs) -> R:
        return await sync_to_async(method, thread_sensitive=True)(self, *args, **kwargs)

    return call


class ProfileService:
    """Reads answer None where nobody is; writes raise a Problem. `by` is who does it, `via` the way: both are recorded.

    A customer_id is a profile's id, an alias, or where neither fits a users.id.
    """

    def get_or_create_profile(self, user_id: Id, **defaults: Any) -> tuple[Profile, bool]:
        """The user's profile, and whether it was made now, with `defaults` as its columns. Problem 404: no such user."""
        return details.get_or_create(user_id, defaults)

    def get_profile_by_user_id(self, user_id: Id) -> Profile | None:
        wanted = selectors.as_uuid(user_id)
        return Profile.objects.select_related("user").filter(user_id=wanted).first() if wanted else None

    def update_profile(
        self,
        user_id: Id,
        changes: Mapping[str, Any],
        *,
        by: User | None = None,
        via: str = "service",
        expected: str | Collection[str] | None = None,
    ) -> Profile:
        """Write columns of a profile. `expected` is the version that the caller saw (or several): another is a Problem 412.

        Points and purchase totals are refused: update_loyalty_points, update_purchase_stats.
        """
        return details.update(user_id, changes, by=by, via=via, expected=expected)

    def search_profiles(
        self, query: str, *, limit: int = 50, visible_to: User | None = None, customer_type: str | None = None
    ) -> list[Profile]:
        """Who has `query` in first or last name, an email or the phone, or is led to by it as an id; newest first."""
        return pages.search_profiles(query, limit=limit, viewer=visible_to, customer_type=customer_type)

    def update_loyalty_points(
        self,
        user_id: Id,
        delta: int,
        reason: str,
        *,
        by: User | None = None,
        via: str = "service",
        order_id: uuid.UUID | None = None,
        floor: bool = True,
    ) -> LoyaltyEntry | None:
        """Add `delta` points; the ledger's entry, None for 0. With `floor` never below zero: Problem 409."""
        return _points.adjust(user_id, delta, reason, floor=floor, order_id=order_id, by=by, via=via)

    def update_purchase_stats(
        self,
        user_id: Id,
        order_total: Decimal | int | float,
        *,
        orders: int = 1,
        at: datetime.datetime | None = None,
        by: User | None = None,
        via: str = "service",
    ) -> Profile:
        """Add a purchase to total_spent and order_count; last_order_date is the later one, `at` or now."""
        return _points.purchase(user_id, order_total, orders=orders, at=at, by=by, via=via)

    def record_purchase(
        self,
        user_id: Id,
        *,
        amount: Decimal,
        points: int,
        orders: int,
        at: datetime.datetime | None,
        order_id: uuid.UUID,
        reason: str,
        by: User | None,
        via: str,
    ) -> None:
        """A sale or, with negative numbers, its reversal: points and totals in one UPDATE, which takes the row's lock.

        `at` is the order's date: a reversal of the whole order takes last_order_date back to the one before. Never refused
        for the balance: a reversal may leave it below zero.
        """
        _points.change(
            user_id,
            points=points,
            amount=amount,
            orders=orders,
            at=at,
            order_id=order_id,
            reason=reason,
            by=by,
            via=via,
        )

    def get_profile_analytics(self, user_id: Id) -> dict[str, Any]:
        """Sums, averages and the last months of a person's purchases. Problem 404 where nobody is."""
        found = selectors.analytics(user_id)
        if found is None:
            raise not_found("profile of user", user_id)
        return found

    def get_customer(self, customer_id: Id) -> dict[str, Any] | None:
        return selectors.customer(customer_id)

    def get_customer_by_user_id(self, user_id: Id) -> dict[str, Any] | None:
        return selectors.customer_by_user_id(user_id)

    def create_customer(
        self, data: Mapping[str, Any], *, by: User | None = None, via: str = "service"
    ) -> dict[str, Any]:
        """A new person out of a customer's columns or the till's short form (name, birth_date).

        Always somebody new: an address that is a login's already leaves them apart, with a merge suggestion.
        """
        return customers.create(data, by=by, via=via)

    def update_customer(
        self, customer_id: Id, data: Mapping[str, Any], *, by: User | None = None, via: str = "service"
    ) -> dict[str, Any] | None:
        """Write some of a customer's columns; loyalty_points is absolute and becomes a ledger entry. None: nobody is."""
        return customers.update(customer_id, data, by=by, via=via)

    def delete_customer(self, customer_id: Id, *, by: User | None = None, via: str = "service") -> bool:
        """Deactivate: nothing of a person is deleted. Whether there was one."""
        return customers.deactivate(customer_id, by=by, via=via)

    def list_customers(
        self,
        *,
        limit: int = 50,
        offset: int = 0,
        search: str | None = None,
        tenant_id: Id | None = None,
        is_active: bool | None = None,
        visible_to: User | None = None,
    ) -> list[dict[str, Any]]:
        """Customers, newest first."""
        return pages.customers(
            limit=limit, offset=offset, text=search or "", tenant_id=tenant_id, is_active=is_active, viewer=visible_to
        )

    def get_customer_orders(self, customer_id: Id, limit: int = 50) -> list[dict[str, Any]]:
        """Their orders, newest first; [] where nobody is."""
        return selectors.customer_orders(customer_id, limit=limit)

    def get_customer_stats(self, customer_id: Id) -> dict[str, Any] | None:
        """{loyalty_points, total_spent, total_orders, recent_orders, recent_spent, member_since}; recent is 30 days."""
        return selectors.customer_stats(customer_id)

    aget_or_create_profile = twin(get_or_create_profile)
    aget_profile_by_user_id = twin(get_profile_by_user_id)
    aupdate_profile = twin(update_profile)
    asearch_profiles = twin(search_profiles)
    aupdate_loyalty_points = twin(update_loyalty_points)
    aupdate_purchase_stats = twin(update_purchase_stats)
    arecord_purchase = twin(record_purchase)
    aget_profile_analytics = twin(get_profile_analytics)
    aget_customer = twin(get_customer)
    aget_customer_by_user_id = twin(get_customer_by_user_id)
    acreate_customer = twin(create_customer)
    aupdate_customer = twin(update_customer)
    adelete_customer = twin(delete_customer)
    alist_customers = twin(list_customers)
    aget_customer_orders = twin(get_customer_orders)
    aget_customer_stats = twin(get_customer_stats)


profile_service = ProfileService()
