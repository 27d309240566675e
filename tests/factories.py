"""Rows for tests."""

import datetime
from decimal import Decimal
from typing import Any

import factory
from factory.django import DjangoModelFactory

from accounts.models import User
from accounts.roles import Role
from orders.models import Order
from profiles.models import Profile

PASSWORD = "correct horse 7"


class UserFactory(DjangoModelFactory):
    """A customer with a verified address; logs in with PASSWORD. The signal gives the profile."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    email = factory.Sequence(lambda n: f"person{n}@example.com")
    role = Role.CUSTOMER
    email_verified = True

    @classmethod
    def _create(cls, model_class: type[User], *args: Any, **kwargs: Any) -> User:
        return User.objects.create_user(kwargs.pop("email"), kwargs.pop("password", None), **kwargs)


def person(email: str | None = None, **columns: Any) -> Profile:
    """A customer's profile with the given columns; `tenant_id` and other columns of the login are given to that."""
    of_login = {name: columns.pop(name) for name in list(columns) if name in LOGIN_COLUMNS}
    user = UserFactory(**({"email": email} if email else {}), **of_login)
    profile: Profile = user.profile
    for name, value in columns.items():
        setattr(profile, name, value)
    if columns:
        profile.save()
    return profile


LOGIN_COLUMNS = {"tenant_id", "role", "active", "email_verified", "phone_verified", "password", "age_verified"}


class OrderFactory(DjangoModelFactory):
    """A paid web order of 20.00."""

    class Meta:
        model = Order

    order_number = factory.Sequence(lambda n: f"ORD-{n:06}")
    user = factory.SubFactory(UserFactory)
    items = factory.LazyFunction(lambda: [{"product_id": "p1", "name": "Tea", "quantity": 2, "price": 10.0}])
    subtotal = Decimal("20.00")
    tax_amount = Decimal(0)
    total_amount = Decimal("20.00")
    payment_status = "paid"
    payment_method = "credit"
    delivery_status = "delivered"
    created_at = factory.LazyFunction(lambda: datetime.datetime.now(datetime.UTC))
