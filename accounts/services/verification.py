"""Whether an address is its account's: a mail is sent there, and the link in it brings the proof."""

from django.conf import settings
from django.core import signing
from django.db import router, transaction

from accounts import mail
from accounts.authorship import sign
from accounts.models import User
from config.api.problems import Problem, conflict

SALT = "accounts.verification"


def token_for(user: User) -> str:
    """Good for this address of this account, for EMAIL_VERIFICATION_HOURS."""
    return signing.dumps([str(user.pk), user.email], salt=SALT)


def send(user: User) -> None:
    """Mail the link. Errors: 409 where there is no address, or it is verified already."""
    if not user.email:
        raise conflict("no_email", "This account has no address to send a mail to.")
    if user.email_verified:
        raise conflict("already_verified", f"The address {user.email} is verified already; nothing is left to do.")
    hours = settings.EMAIL_VERIFICATION_HOURS
    page = mail.link("verify-email", token=token_for(user))
    mail.post(mail.write("verify_email", to=user.email, context={"email": user.email, "link": page, "hours": hours}))


def verify(token: str, *, via: str = "api") -> User:
    """Mark the address as verified; a second time changes nothing. Errors: 409, also where the address is another now."""
    using = router.db_for_write(User)
    try:
        pk, email = signing.loads(token, salt=SALT, max_age=settings.EMAIL_VERIFICATION_HOURS * 3600)
    except signing.BadSignature as error:
        raise _not_valid() from error
    with transaction.atomic(using=using):
        account = User.objects.using(using).select_for_update(no_key=True).filter(pk=pk, active=True).first()
        if account is None or account.email != email:
            raise _not_valid()
        if account.email_verified is not True:
            sign(using=using, by=account.pk, via=via)
            account.email_verified = True
            account.save(update_fields=["email_verified", "updated_at"])
    return account


def _not_valid() -> Problem:
    return conflict(
        "link_not_valid",
        "This link is too old, incomplete or for another address. Ask for another: POST /api/auth/email/verify/resend/.",
    )
