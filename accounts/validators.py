"""What a new password must be beyond Django's own rules."""

from django.core.exceptions import ValidationError

from .hashers import MAX_BYTES
from .models import User


class StorablePasswordValidator:
    """Refuses what bcrypt would cut or cannot take: two passwords must never be the same one."""

    def validate(self, password: str, user: User | None = None) -> None:
        try:
            size = len(password.encode())
        except UnicodeEncodeError as error:
            raise ValidationError(
                "The password holds half a surrogate pair. Type it again.", "password_not_text"
            ) from error
        if "\0" in password:
            raise ValidationError("The password holds a NUL character. Leave it out.", "password_not_text")
        if size > MAX_BYTES:
            raise ValidationError(
                f"The password has {size} bytes; only the first {MAX_BYTES} would count. Choose a shorter one.",
                "password_too_long",
            )

    def get_help_text(self) -> str:
        return f"Your password can have at most {MAX_BYTES} bytes."
