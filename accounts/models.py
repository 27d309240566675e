"""Who may log in: the account and nothing personal."""

import uuid
from collections.abc import Collection, Iterable
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.functions import RandomUUID
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils import timezone

from config.fields import UTCNow, UTCTimestampField

from .fields import PasswordHashField, RoleField
from .roles import ROLE_PERMISSIONS, STAFF_ROLES, Role
from .signals import users_created


class Folded(models.Func):
    """A text in small letters, also where the database's own locale folds ASCII alone (profiles/search.py)."""

    function = "search_fold"
    output_field = models.TextField()


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

    def with_address(self, address: str) -> "UserQuerySet":
        """Everybody who has this email in any case spelling.

        Neither ordered nor cut: while PostgreSQL knows little of the spellings, it would read the whole table for that.
        """
        return self.alias(address=Folded("email")).filter(address=Folded(models.Value(address.strip())))

    def of_login(self, address: str) -> "User | None":
        """Who is meant at a login: whose email it is exactly, else the only one who has it in another case spelling."""
        exact = {user.email: user for user in self.filter(email__in=[address, address.strip()])}
        if exact:
            return exact.get(address) or exact[address.strip()]
        found = list(self.with_address(address))
        return found[0] if len(found) == 1 else None


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


class ApiKey(models.Model):
    """A long-lived key with which a till or a server speaks in the name of `user`, until it is revoked.

    The key itself is shown once; the database keeps its SHA-256.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, help_text="Where the key is used: a till, a server, a report.")
    prefix = models.CharField(max_length=12, editable=False, help_text="How the key begins, to tell it by.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True, db_default=Now())
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        db_table = "api_keys"
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
