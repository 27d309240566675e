"""What a new password must be beyond Django's own rules."""

import pytest
from django.core.exceptions import ValidationError

from accounts.validators import StorablePasswordValidator


@pytest.mark.parametrize("password", ["x" * 72, "é" * 36, ""])
def test_password_that_counts_whole_is_accepted(password: str) -> None:
    StorablePasswordValidator().validate(password)


@pytest.mark.parametrize(
    ("password", "code", "text"),
    [
        (
            "x" * 73,
            "password_too_long",
            "The password has 73 bytes; only the first 72 would count. Choose a shorter one.",
        ),
        (
            "é" * 37,
            "password_too_long",
            "The password has 74 bytes; only the first 72 would count. Choose a shorter one.",
        ),
        ("a\0b", "password_not_text", "The password holds a NUL character. Leave it out."),
        ("a\ud800", "password_not_text", "The password holds half a surrogate pair. Type it again."),
    ],
)
def test_password_that_bcrypt_would_cut_or_refuse_is_refused(password: str, code: str, text: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        StorablePasswordValidator().validate(password)
    assert (refusal.value.code, refusal.value.messages) == (code, [text])
