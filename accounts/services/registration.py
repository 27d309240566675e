"""New accounts of customers."""

from django.db import IntegrityError, connections, router, transaction

from accounts.authorship import sign
from accounts.models import User
from accounts.roles import Role
from config.api.problems import Problem, conflict

from . import passwords, verification


def register(*, email: str, password: str, first_name: str = "", last_name: str = "", via: str = "api") -> User:
    """A customer's account, whose address a mail asks to confirm. The role is never the caller's to choose.

    Errors: 409 where the address is taken in any case spelling, also by a registration at the same instant; 400 for a
    weak password.
    """
    using = router.db_for_write(User)
    user = User(email=email.strip(), role=Role.CUSTOMER)
    passwords.check_strength(password, user)
    if _is_taken(user, using):
        raise _taken(user)
    user.set_password(password)  # a quarter of a second, so before the lock
    try:
        with transaction.atomic(using=using):
            _wait_for_turn(user, using)
            if _is_taken(user, using):
                raise _taken(user)
            sign(using=using, by=user.pk, via=via)
            user.save(using=using, force_insert=True)
            _name(user, first_name, last_name)
            verification.send(user)
    except IntegrityError as error:
        # The old application may have been faster: it does not wait for its turn.
        if _is_taken(user, using):
            raise _taken(user) from error
        raise
    return user


def _name(user: User, first_name: str, last_name: str) -> None:
    """Names belong to the profile, which the user's signal has made."""
    given = {name: text for name, text in (("first_name", first_name), ("last_name", last_name)) if text}
    if given:
        profile = user.profile
        for name, text in given.items():
            setattr(profile, name, text)
        profile.save(update_fields=[*given, "updated_at"])


def _wait_for_turn(user: User, using: str) -> None:
    """One registration per address at a time: the key on email lets other case spellings pass."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('register ' || search_fold(%s), 0))", [user.email]
        )


def _is_taken(user: User, using: str) -> bool:
    return bool(User.objects.using(using).with_address(user.email or "").values_list("pk"))


def _taken(user: User) -> Problem:
    return conflict(
        "email_taken",
        f"There is an account with the address {user.email} already. Log in, or set a new password: "
        "POST /api/auth/password/reset/. That is also how an account that the shop made for you becomes yours.",
    )
