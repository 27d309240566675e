"""Passwords: set anew through a mail, which is also how a guest claims the account that was made for him, or changed."""

import uuid

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import default_token_generator as link_tokens
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import router, transaction
from rest_framework.exceptions import ValidationError
from rest_framework.fields import get_error_detail

from accounts import mail
from accounts.authorship import sign
from accounts.models import User
from config.api.problems import Problem, conflict


def ask_for_reset(address: str) -> int:
    """Mail a link to every active account that has this address in any case spelling; gives how many.

    The mail goes to the account's own spelling. For an address that nobody has the same work is done, and nothing sent.
    """
    accounts = list(User.objects.with_address(address).filter(active=True))
    for account in accounts or [User(email=address.strip(), password="!")]:
        message = mail.write(
            "password_reset",
            to=account.email or "",
            context={
                "email": account.email,
                "link": mail.link("reset-password", uid=str(account.pk), token=link_tokens.make_token(account)),
                "hours": settings.PASSWORD_RESET_TIMEOUT // 3600,
            },
        )
        if accounts:
            mail.post(message)
    return len(accounts)


def reset(*, uid: uuid.UUID, token: str, password: str, via: str = "api") -> User:
    """Set the password of who holds the mailed link. The address is theirs, then: they have read the mail.

    All sessions of the old password end with it. Errors: 409 for a link that is used up (a login ends it, too), too old or
    made up, 400 for a weak password.
    """
    using = router.db_for_write(User)
    with transaction.atomic(using=using):
        # Locked, so that a link that is sent twice at once works once.
        account = User.objects.using(using).select_for_update(no_key=True).filter(pk=uid, active=True).first()
        if account is None or not account.email or not link_tokens.check_token(account, token):
            raise conflict(
                "link_not_valid",
                "This link is used up, too old or incomplete. Ask for another: POST /api/auth/password/reset/.",
            )
        check_strength(password, account)
        sign(using=using, by=account.pk, via=via)
        account.set_password(password)
        account.email_verified = True
        account.save(update_fields=["password", "email_verified", "updated_at"])
    return account


def change(user: User, *, password: str, new_password: str, by: User, via: str = "api") -> User:
    """Set another password for whoever knows the present one. All sessions of the old password end with it.

    Errors: 403 for a wrong present password, 400 for a weak new one.
    """
    using = router.db_for_write(User)
    with transaction.atomic(using=using):
        account = User.objects.using(using).select_for_update(no_key=True).get(pk=user.pk)
        if not account.check_password(password):
            raise Problem("wrong_password", "This is not the present password. Nothing was changed.", status=403)
        check_strength(new_password, account, field="new_password")
        sign(using=using, by=by.pk, via=via)
        account.set_password(new_password)
        account.save(update_fields=["password", "updated_at"])
    return account


def check_strength(password: str, user: User, *, field: str = "password") -> None:
    """Errors: 400 that names `field` and every rule that the password breaks."""
    try:
        validate_password(password, user)
    except DjangoValidationError as error:
        raise ValidationError({field: get_error_detail(error)}) from error
