"""The profile's form. What nobody touches stays as it is: white space, line ends, dates beyond Python's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from django import forms
from django.db import router, transaction
from django.utils.functional import cached_property
from unfold.widgets import UnfoldBooleanSwitchWidget

from accounts.models import User
from config.api.problems import Problem
from config.postgresql.odd_dates import OddDate

from . import changes
from .changes import Change
from .models import Profile
from .selectors import LISTS
from .services import details, profile_service
from .widgets import ListField, ObjectField, RowsField

# What an object's column holds where there is nothing in it.
OBJECTS: dict[str, Any] = {"preferences": {}, "price_range": None}


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
        super().__init__(required=usual.required, label=usual.label, widget=forms.TextInput(usual.widget.attrs))
        self.odd, self.usual = odd, usual

    def prepare_value(self, value: Any) -> Any:
        return str(value)

    def to_python(self, value: Any) -> Any:
        return self.odd if value == str(self.odd) else self.usual.clean(value)


def json_field(column: Any) -> RowsField:
    """The form's field of a JSON column: lists as rows of text, objects as rows of names and values."""
    label = str(column.verbose_name).capitalize()
    return ListField(label=label) if column.name in LISTS else ObjectField(label=label, empty=OBJECTS[column.name])


@dataclass(frozen=True)
class Meanwhile:
    """What somebody else did to a field while it was being edited, and whether this editor changed it too."""

    label: str
    change: Change
    both: bool


class ProfileForm(forms.ModelForm):
    """Asks the service first what it would refuse, so that it is an error of the field.

    `seen` is the last change in the history that the editor has seen. Where others changed fields since, nothing is
    written: the form says what they did, keeps what was typed, and shows the others' values everywhere else.
    """

    seen = forms.IntegerField(required=False, widget=forms.HiddenInput)
    is_active = forms.BooleanField(required=False, label="May log in", widget=UnfoldBooleanSwitchWidget)
    viewer: ClassVar[User]

    class Meta:
        model = Profile
        fields = "__all__"  # noqa: DJ007  (the admin's fieldsets choose)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["seen"] = changes.last(self.instance.pk)
        self.initial["is_active"] = self.instance.user.active
        self.meanwhile: list[Meanwhile] = []
        if self.is_bound:
            for name, change in self._of_others.items():
                self.initial[name] = change.before
        for name, field in self.fields.items():
            value = self.initial.get(name)
            if isinstance(value, OddDate):
                self.fields[name] = OddDateField(value, field)

    @cached_property
    def _of_others(self) -> Mapping[str, Change]:
        """What others changed since the page was shown, of the fields that it has."""
        seen = self.data.get(self.add_prefix("seen"), "")
        if not seen.isascii() or not seen.isdigit() or len(seen) > 18:
            return {}
        # Whoever is writing now is waited for, and told of.
        list(Profile.objects.select_for_update(no_key=True).filter(pk=self.instance.pk).values_list("pk"))
        found = changes.since(self.instance.pk, int(seen))
        return {name: change for name, change in found.items() if name in self.fields}

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        for name, value in self.changes().items():
            try:
                details.refuse_slips(name, value)
            except forms.ValidationError as error:
                self.add_error(name, error)
        if self._of_others:
            self._tell()
        elif not self.errors:
            self._try()
        return cleaned

    def _try(self) -> None:
        """What the service refuses; nothing is kept of it."""
        using = router.db_for_write(Profile)
        try:
            with transaction.atomic(using=using):
                self.write()
                transaction.set_rollback(True, using=using)
        except forms.ValidationError as error:
            self.add_error(None, error)
        except Problem as refusal:
            self.add_error("is_active" if "is_active" in self.changed_data else None, refusal.text)

    def _tell(self) -> None:
        """Name each change of others; where this editor changed the field too, at the field as well."""
        data: Any = cast(Any, self.data).copy()
        mine = set(self.changed_data)
        for name, change in self._of_others.items():
            both = name in mine
            self.meanwhile.append(Meanwhile(str(self[name].label), change, both))
            if both:
                self.add_error(name, f"{change.text} Save again to write yours over it.")
                continue
            widget = self.fields[name].widget
            for key in [key for key in data if key == self.add_prefix(name) or key.startswith(f"{name}-")]:
                del data[key]
            if isinstance(self.fields[name], RowsField):
                data.update(widget.as_posted(name, change.after))
            elif not isinstance(widget, forms.CheckboxInput):
                data[self.add_prefix(name)] = widget.format_value(change.after) or ""
            elif change.after:
                data[self.add_prefix(name)] = "on"
        data[self.add_prefix("seen")] = str(self.initial["seen"])
        self.data = data
        self.add_error(
            None, "Somebody else changed this person while you did. Nothing was saved yet: read, and save again."
        )

    def changes(self) -> dict[str, Any]:
        """The columns that were changed."""
        return {
            name: self.cleaned_data[name]
            for name in self.changed_data
            if name in details.WRITABLE and name in self.cleaned_data
        }

    def write(self) -> None:
        profile_service.update_profile(self.instance.user_id, self.changes(), by=self.viewer, via="admin")


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")
