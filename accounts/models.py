"""Who may log in: the account and nothing personal."""

import uuid
from collections.abc import Collection, Iterable
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.functions import RandomUUID
from django.db import models, transaction
from django.utils import timezone

from config.fields import UTCNow, UTCTimestampField

from .fields import PasswordHashField, RoleField
from .roles import ROLE_PERMISSIONS, STAFF_ROLES, Role
from .signals import users_created


class UserQuerySet(models.QuerySet["User"]):
    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """As Django's, then `users_created` in the same transaction: bulk_create sends no post_save."""
        self._for_write = True
        with transaction.atomic(using=self.db):
            users = super().bulk_create(objs, *args, **kwargs)
            if users:
                users_created.send(sender=self.model, users=users, using=self.db)
        return users

    bulk_create.alters_data = True  # type: ignore[attr-defined]


class UserManager(BaseUserManager.from_queryset(UserQuerySet)):  # type: ignore[misc]
    def create_user(self, email: str | None, password: str | None = None, **extra: Any) -> "User":
        """The email is kept as typed: the legacy key is case-sensitive. With None nobody can log in."""
        user: User = self.model(email=(email or "").strip() or None, **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **extra: Any) -> "User":
        if not (email or "").strip():
            raise ValueError("A super_admin logs in by email: give one.")
        if extra.setdefault("role", Role.SUPER_ADMIN) != Role.SUPER_ADMIN:
            raise ValueError(f"A superuser's role is super_admin, not {extra['role']!r}.")
        return self.create_user(email, password, **extra)


class User(AbstractBaseUser):
    """One login. Its role is the one truth about its rights: staff and superuser follow from it.

    Without an email (a guest who was kept apart) nobody can log in. What was never known is NULL.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)
    email = models.EmailField(
        max_length=255,
        unique=True,
        null=True,
        blank=True,
        error_messages={"unique": "A user with this email already exists."},
    )
    password = PasswordHashField("password", max_length=255, db_column="password_hash")
    role = RoleField(
        max_length=50,
        null=True,
        blank=True,
        choices=Role.choices,
        default=Role.CUSTOMER,
        db_default=Role.CUSTOMER,
    )
    active = models.BooleanField(null=True, default=True, db_default=True)
    email_verified = models.BooleanField(null=True, default=False, db_default=False)
    phone_verified = models.BooleanField(null=True, default=False, db_default=False)
    age_verified = models.BooleanField(null=True, default=False, db_default=False)
    terms_accepted = models.BooleanField(null=True, default=False, db_default=False)
    tenant_id = models.UUIDField(null=True, blank=True)
    last_login = UTCTimestampField(null=True, blank=True)
    created_at = UTCTimestampField(null=True, blank=True, default=timezone.now, db_default=UTCNow(), editable=False)
    updated_at = UTCTimestampField(null=True, blank=True, auto_now=True, db_default=UTCNow())

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        db_table = "users"

    def __str__(self) -> str:
        return self.email or str(self.id)

    @property
    def is_active(self) -> bool:  # type: ignore[override]
        return self.active is True

    @property
    def is_staff(self) -> bool:
        return self.role in STAFF_ROLES

    @property
    def is_superuser(self) -> bool:
        return self.role == Role.SUPER_ADMIN

    def has_perm(self, perm: str, obj: object = None) -> bool:
        if not self.is_active:
            return False
        return self.is_superuser or perm in ROLE_PERMISSIONS.get(self.role or "", ())

    def has_perms(self, perm_list: Collection[str], obj: object = None) -> bool:
        if isinstance(perm_list, str):
            raise ValueError(f"perm_list must be several permissions, not the text {perm_list!r}.")
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        if not self.is_active:
            return False
        held = ROLE_PERMISSIONS.get(self.role or "", ())
        return self.is_superuser or any(perm.startswith(f"{app_label}.") for perm in held)
