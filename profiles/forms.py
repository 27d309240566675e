"""The profile's form. What nobody touches stays as it is: white space, line ends, dates beyond Python's."""

from typing import Any, ClassVar

from django import forms
from django.db import router, transaction

from accounts.models import User
from config.api.problems import Problem
from config.postgresql.odd_dates import OddDate

from .models import Profile
from .services import details, profile_service
from .services.points import MOST_POINTS


class TextField(forms.CharField):
    """Text with its white space. A browser sends line ends as CR LF: that alone is no change."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "strip": False})

    def to_python(self, value: Any) -> Any:
        value = super().to_python(value)
        return _lines(value) if isinstance(value, str) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(_lines(initial) if isinstance(initial, str) else initial, data)


class OddDateField(forms.Field):
    """Shows a date that Python cannot hold as PostgreSQL's text. Left alone it stays; else a usual date."""

    def __init__(self, odd: OddDate, usual: forms.Field) -> None:
        super().__init__(required=usual.required, label=usual.label, widget=forms.TextInput)
        self.odd, self.usual = odd, usual

    def prepare_value(self, value: Any) -> Any:
        return str(value)

    def to_python(self, value: Any) -> Any:
        return self.odd if value == str(self.odd) else self.usual.clean(value)


class ProfileForm(forms.ModelForm):
    """Asks the services first what they would refuse, so that it is an error of the form."""

    points = forms.IntegerField(
        required=False,
        min_value=-MOST_POINTS,
        max_value=MOST_POINTS,
        label="Points to add",
        help_text="Negative ones are taken, never below zero.",
    )
    points_reason = forms.CharField(
        required=False, max_length=1000, label="Reason", help_text="Kept in the ledger with the change."
    )
    viewer: ClassVar[User]

    class Meta:
        model = Profile
        fields = "__all__"  # noqa: DJ007  (the admin's fieldsets choose)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            value = self.initial.get(name)
            if isinstance(value, OddDate):
                self.fields[name] = OddDateField(value, field)

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        try:
            details.checked(self.changes())
        except forms.ValidationError as error:
            self.add_error(None, error)
        if self.cleaned_data.get("points") and not self.cleaned_data.get("points_reason"):
            self.add_error("points_reason", "A change of points needs a reason. Say why.")
        if not self.errors:
            using = router.db_for_write(Profile)
            try:
                with transaction.atomic(using=using):
                    self.adjust_points()
                    transaction.set_rollback(True, using=using)
            except Problem as refusal:
                self.add_error("points", refusal.text)
        return cleaned

    def changes(self) -> dict[str, Any]:
        """The columns that were changed."""
        return {
            name: self.cleaned_data[name]
            for name in self.changed_data
            if name in details.WRITABLE and name in self.cleaned_data
        }

    def adjust_points(self) -> None:
        if delta := self.cleaned_data.get("points"):
            profile_service.update_loyalty_points(
                self.instance.user_id, delta, self.cleaned_data["points_reason"], by=self.viewer, via="admin"
            )


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")
