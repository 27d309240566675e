"""The profile's form. What nobody touches stays as it is: white space, line ends, dates beyond Python's."""

from typing import Any

from django import forms

from config.postgresql.odd_dates import OddDate, OddTimestamp

from .models import Profile


class TextField(forms.CharField):
    """Text with its white space. A browser sends line ends as CR LF: that alone is no change."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "strip": False})

    def to_python(self, value: Any) -> Any:
        value = super().to_python(value)
        return _lines(value) if isinstance(value, str) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(_lines(initial) if isinstance(initial, str) else initial, data)


class _OddField(forms.Field):
    """Shows a date that Python cannot hold as PostgreSQL's text. Left alone it stays; else a usual date."""

    def __init__(self, odd: OddDate | OddTimestamp, usual: forms.Field) -> None:
        super().__init__(required=usual.required, label=usual.label, widget=forms.TextInput)
        self.odd, self.usual = odd, usual

    def prepare_value(self, value: Any) -> Any:
        return str(value)

    def to_python(self, value: Any) -> Any:
        return self.odd if value == str(self.odd) else self.usual.clean(value)


class OddDateField(_OddField):
    pass


class OddTimeField(_OddField):
    """One text input in place of the admin's two, of which neither holds `infinity`."""

    def __init__(self, odd: OddTimestamp, usual: forms.Field) -> None:
        super().__init__(odd, forms.DateTimeField(required=usual.required))


class ProfileForm(forms.ModelForm):
    class Meta:
        model = Profile
        fields = "__all__"  # noqa: DJ007  (the admin's fieldsets choose)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            value = self.initial.get(name)
            if isinstance(value, OddTimestamp):
                self.fields[name] = OddTimeField(value, field)
            elif isinstance(value, OddDate):
                self.fields[name] = OddDateField(value, field)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")
