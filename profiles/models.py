"""The person: one profile per user, the ids that lead to it, and what the unification could not decide alone."""

import uuid
from decimal import Decimal

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models.functions import Now

from .querysets import ProfileQuerySet, SavedFilterQuerySet
from .search import SearchText


def new_id() -> models.Func:
    """A random uuid made by the database, for writers that name no id."""
    return models.Func(function="gen_random_uuid", output_field=models.UUIDField())


class Profile(models.Model):
    """All that is known of one person.

    NULL, '' and unknown are told apart as the legacy tables did. Times are aware; a time that was never known is NULL.
    `id` is the customers id that clients, receipts and reports hold, where there was one.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=new_id(), editable=False)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="profile")
    contact_email = models.CharField(
        max_length=255, null=True, blank=True, help_text="Where to write, when it is not the login."
    )

    first_name = models.CharField(max_length=100, null=True, blank=True)
    last_name = models.CharField(max_length=100, null=True, blank=True)
    phone = models.CharField(max_length=50, null=True, blank=True)
    date_of_birth = models.DateField(null=True, blank=True)

    address = models.TextField(null=True, blank=True)
    city = models.CharField(max_length=100, null=True, blank=True)
    state = models.CharField(max_length=50, null=True, blank=True)
    postal_code = models.CharField(max_length=20, null=True, blank=True)
    country = models.CharField(max_length=100, null=True, blank=True, default="USA", db_default="USA")

    loyalty_points = models.BigIntegerField(default=0, db_default=0)
    customer_type = models.CharField(max_length=50, default="regular", db_default="regular")
    preferred_payment_method = models.CharField(max_length=50, null=True, blank=True)
    total_spent = models.DecimalField(max_digits=14, decimal_places=2, default=Decimal(0), db_default=Decimal(0))
    order_count = models.BigIntegerField(default=0, db_default=0)
    last_order_date = models.DateTimeField(null=True, blank=True)

    preferences = models.JSONField(default=dict, db_default={}, blank=True)
    needs = models.JSONField(default=list, db_default=[], blank=True)
    experience_level = models.CharField(max_length=50, null=True, blank=True)
    medical_conditions = models.JSONField(default=list, db_default=[], blank=True)
    preferred_categories = models.JSONField(default=list, db_default=[], blank=True)
    preferred_effects = models.JSONField(default=list, db_default=[], blank=True)
    price_range = models.JSONField(null=True, blank=True)
    purchase_history = models.JSONField(default=list, db_default=[], blank=True)
    interaction_count = models.BigIntegerField(default=0, db_default=0)
    language = models.CharField(max_length=10, null=True, blank=True)
    timezone = models.CharField(max_length=50, null=True, blank=True)

    marketing_consent = models.BooleanField(default=False, db_default=False)
    sms_consent = models.BooleanField(default=False, db_default=False)

    tags = models.JSONField(default=list, db_default=[], blank=True)
    notes = models.TextField(null=True, blank=True)
    is_verified = models.BooleanField(default=False, db_default=False)
    created_at = models.DateTimeField(null=True, blank=True, auto_now_add=True, db_default=Now())
    updated_at = models.DateTimeField(null=True, blank=True, auto_now=True, db_default=Now())
    legacy_extra = models.JSONField(
        null=True,
        blank=True,
        editable=False,
        help_text="Columns of the old tables that nobody here knows: table, row, column. Filled when those tables go.",
    )
    search_text = SearchText(help_text="Names, contact address and phone, folded; made by the database.")
    merged_into = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        db_index=False,
        related_name="shells",
        help_text="Whom it was merged into: its id leads there. That one is never merged itself.",
    )
    erased_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="When its personal data went.")

    objects = ProfileQuerySet.as_manager()

    class Meta:
        db_table = "profiles"
        indexes = (
            models.Index(fields=["phone"], name="profiles_phone"),
            models.Index(fields=["contact_email"], name="profiles_contact_email"),
            models.Index(fields=["last_name", "first_name"], name="profiles_name"),
            models.Index(fields=["customer_type"], name="profiles_customer_type"),
            models.Index(fields=["created_at", "id"], name="profiles_created_at"),
            GinIndex(OpClass("tags", name="jsonb_path_ops"), name="profiles_tags"),
            models.Index(
                fields=["merged_into"], condition=models.Q(merged_into__isnull=False), name="profiles_merged_into"
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(merged_into=None)
                | models.Q(loyalty_points=0, total_spent=0, order_count=0, interaction_count=0),
                name="profiles_merged_holds_no_sums",
                violation_error_message="This profile was merged into another: write to that one.",
            ),
        )
        permissions = (("view_medical_conditions", "Can view medical conditions"),)

    def __str__(self) -> str:
        return " ".join(filter(None, (self.first_name, self.last_name))) or f"profile {self.id}"


class ProfileAlias(models.Model):
    """A customers id that is no profile's own: it leads to the profile of its person, for ever."""

    id = models.UUIDField(primary_key=True, editable=False, help_text="The old customers id.")
    profile = models.ForeignKey(Profile, on_delete=models.PROTECT, related_name="aliases")

    class Meta:
        db_table = "profile_aliases"
        verbose_name_plural = "profile aliases"

    def __str__(self) -> str:
        return f"{self.id} → {self.profile_id}"


class FieldConflict(models.Model):
    """A source value that lost against another when rows were made one profile.

    `field` is the profile's column, or users.active, orders.user_id; `path` is an RFC 6901 pointer into a JSON
    column, '' for the whole. Values are JSON of the cell's own type. A source is a table and its row's key.
    """

    class Rule(models.TextChoices):
        FIRST = "first", "first non-blank"
        BLOCK = "block", "one address"
        MERGE = "merge", "deep merge"
        CONSENT = "consent", "never widened"
        SHAPE = "shape", "JSON of the wrong shape"
        LOGIN = "login", "the login's value stands"
        ORDER = "order", "the order's own user stands"
        CHOICE = "choice", "chosen when two profiles were merged"
        WIDTH = "width", "does not fit the other side's column"

    id = models.BigAutoField(primary_key=True)
    profile = models.ForeignKey(Profile, on_delete=models.CASCADE, related_name="conflicts")
    field = models.CharField(max_length=63)
    path = models.TextField(default="", db_default="", blank=True)
    rule = models.CharField(max_length=16, choices=Rule.choices)
    chosen_value = models.JSONField(null=True)
    chosen_table = models.CharField(max_length=63, null=True)
    chosen_row = models.TextField(null=True)
    other_value = models.JSONField(null=True)
    other_table = models.CharField(max_length=63)
    other_row = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True, db_default=Now())
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    resolved_at = models.DateTimeField(null=True, blank=True)
    decision = models.ForeignKey(
        "ConflictDecision",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        db_index=False,
        related_name="conflicts",
        help_text="How it was resolved, where somebody did that here.",
    )

    class Meta:
        db_table = "field_conflicts"
        constraints = (
            models.UniqueConstraint(
                fields=["profile", "field", "path", "other_table", "other_row"],
                name="field_conflicts_one_per_source_cell",
                violation_error_message="This cell's conflict is recorded already.",
            ),
        )
        indexes = (
            models.Index(
                fields=["decision"], condition=models.Q(decision__isnull=False), name="field_conflicts_decision"
            ),
            models.Index(fields=["id"], condition=models.Q(resolved_at=None), name="field_conflicts_open"),
            models.Index(
                fields=["field", "id"], condition=models.Q(resolved_at__isnull=True), name="field_conflicts_open_field"
            ),
            models.Index(
                fields=["rule", "id"], condition=models.Q(resolved_at__isnull=True), name="field_conflicts_open_rule"
            ),
            models.Index(
                fields=["other_table", "id"],
                condition=models.Q(resolved_at__isnull=True),
                name="field_conflicts_open_source",
            ),
            models.Index(fields=["field", "id"], name="field_conflicts_field"),
            models.Index(fields=["rule", "id"], name="field_conflicts_rule"),
            models.Index(fields=["other_table", "id"], name="field_conflicts_source"),
            models.Index(fields=["id"], condition=models.Q(resolved_at__isnull=False), name="field_conflicts_decided"),
        )

    def __str__(self) -> str:
        return f"{self.field}{self.path} of {self.profile_id}: {self.other_table} {self.other_row} lost"


class ConflictDecision(models.Model):
    """What somebody decided of one cell of a profile, and all that it takes to undo it.

    `before` and `after` are {"column": value}, an address with all its columns; with a `path` {"column": the value there},
    {} where there was none. Both are {} where the profile's value was kept. What was decided at once is one `batch`.
    """

    class Verdict(models.TextChoices):
        KEEP = "keep", "kept"
        TAKE = "take", "taken"

    id = models.BigAutoField(primary_key=True)
    batch = models.UUIDField(db_index=True)
    profile = models.ForeignKey(Profile, on_delete=models.CASCADE, related_name="+")
    field = models.CharField(max_length=63)
    path = models.TextField(default="", db_default="", blank=True)
    verdict = models.CharField(max_length=8, choices=Verdict.choices)
    before = models.JSONField(default=dict, db_default={})
    after = models.JSONField(default=dict, db_default={})
    decided_at = models.DateTimeField(db_default=Now())
    decided_by = models.UUIDField(null=True, help_text="The user who did it.")
    via = models.CharField(max_length=63)
    undone_at = models.DateTimeField(null=True, blank=True)
    undone_by = models.UUIDField(null=True, blank=True)

    class Meta:
        db_table = "conflict_decisions"
        indexes = (models.Index(fields=["decided_by", "-id"], name="conflict_decisions_by"),)

    def __str__(self) -> str:
        return f"{self.field}{self.path} of {self.profile_id}: {self.get_verdict_display()}"


class MergeSuggestion(models.Model):
    """Two profiles that may be one person, and why they were not made one.

    `evidence` is what speaks for it and against it, as {"reason": weight}, `score` the sum within 0 to 100: see
    profiles/matching.py. There is none until `find_duplicates` has looked at the two.
    """

    class Reason(models.TextChoices):
        UNVERIFIED_ADDRESS = "unverified_address", "the account's address is not verified"
        VERIFIED_ADDRESS = "verified_address", "the account has the address, verified"
        SHARED_ADDRESS = "shared_address", "several accounts have the address"
        BIRTH_DATE = "birth_date", "same address, different birth date"
        SAME_LOGIN = "same_login", "logins differ only in case or white space"
        LINKED = "linked", "the old application linked its row to the account"
        SAME_PHONE = "same_phone", "same phone"
        NAME_BIRTH_DATE = "name_birth_date", "same name and birth date"
        NAME_ADDRESS = "name_address", "similar name and address"

    class Status(models.TextChoices):
        OPEN = "open"
        MERGED = "merged"
        DISMISSED = "dismissed"

    id = models.BigAutoField(primary_key=True)
    profile = models.ForeignKey(Profile, on_delete=models.CASCADE, related_name="suggestions")
    other_profile = models.ForeignKey(Profile, on_delete=models.CASCADE, related_name="suggested_by")
    reason = models.CharField(max_length=32, choices=Reason.choices)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.OPEN, db_default=Status.OPEN)
    score = models.SmallIntegerField(default=0, db_default=0)
    evidence = models.JSONField(default=dict, db_default={}, blank=True)
    created_at = models.DateTimeField(auto_now_add=True, db_default=Now())
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "merge_suggestions"
        constraints = (
            models.UniqueConstraint(
                fields=["profile", "other_profile"],
                name="merge_suggestions_once",
                violation_error_message="This pair is suggested already.",
            ),
        )
        indexes = (
            models.Index(fields=["status", "-score", "-id"], name="merge_suggestions_queue"),
            models.Index(fields=["status", "reason", "-score", "-id"], name="merge_suggestions_reason"),
            models.Index(fields=["-score", "-id"], name="merge_suggestions_score"),
        )

    def __str__(self) -> str:
        return f"{self.profile_id} may be {self.other_profile_id}: {self.get_reason_display()}"


class DuplicateKeys(models.Model):
    """By what a profile's duplicates are found: hashes of its phone, of birth date and initials, of house and initials.

    `version` is that of the rows that they were made of: another one means that they are to be made anew.
    """

    profile = models.OneToOneField(Profile, on_delete=models.CASCADE, primary_key=True, related_name="+")
    version = models.BigIntegerField()
    phone = models.BigIntegerField(null=True)
    born = models.BigIntegerField(null=True)
    home = models.BigIntegerField(null=True)

    class Meta:
        db_table = "duplicate_keys"
        indexes = tuple(
            models.Index(fields=[name], condition=models.Q((f"{name}__isnull", False)), name=f"duplicate_keys_{name}")
            for name in ("phone", "born", "home")
        )

    def __str__(self) -> str:
        return f"keys of {self.profile_id}"


class LoyaltyEntry(models.Model):
    """One change of a profile's points, written by a trigger whoever made it: entries and balance cannot drift apart.

    `delta` and `balance` are points; `balance` is the one after the change. What a profile had before its first change
    is its opening entry. `source` is the way it came: api, admin, till, sql, …
    """

    id = models.BigAutoField(primary_key=True)
    profile = models.ForeignKey(Profile, on_delete=models.PROTECT, related_name="loyalty_entries", db_index=False)
    delta = models.BigIntegerField()
    balance = models.BigIntegerField()
    reason = models.TextField()
    source = models.CharField(max_length=63)
    order_id = models.UUIDField(null=True, help_text="The order that gave or took the points, if one did.")
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.UUIDField(null=True, help_text="The user who did it, where the writer said so.")

    class Meta:
        db_table = "loyalty_entries"
        verbose_name_plural = "loyalty entries"
        indexes = (models.Index(fields=["profile", "-id"], name="loyalty_entries_profile"),)

    def __str__(self) -> str:
        return f"{self.delta:+,} to {self.balance:,} of {self.profile_id}: {self.reason}"


class ProfileHistory(models.Model):
    """A change of a profile or of its login, written by triggers whoever made it.

    `changes` is {"column": {"old": …, "new": …}}; a login's columns are named users.<column>, a password has no values.
    """

    id = models.BigAutoField(primary_key=True)
    profile = models.ForeignKey(Profile, on_delete=models.DO_NOTHING, db_constraint=False, related_name="history")
    changed_at = models.DateTimeField(db_default=Now())
    changed_by = models.UUIDField(null=True, help_text="The user who did it, where the writer said so.")
    via = models.CharField(max_length=63, help_text="What wrote it: admin, api, sql, …")
    changes = models.JSONField()

    class Meta:
        db_table = "profile_history"
        verbose_name_plural = "profile history"

    def __str__(self) -> str:
        return f"{self.profile_id} at {self.changed_at:%Y-%m-%d %H:%M}: {', '.join(self.changes)}"


class ProfileMerge(models.Model):
    """Two profiles that were made one: all that it takes to take it back.

    `before` and `after` are the rows as JSON: {"survivor": {…}, "other": {…}}; `after` has only what the merge wrote.
    `moved` names the rows that went over. An erased person's merges hold no rows, and cannot be taken back.
    """

    id = models.BigAutoField(primary_key=True)
    survivor = models.ForeignKey(Profile, on_delete=models.PROTECT, related_name="merges")
    other = models.ForeignKey(Profile, on_delete=models.PROTECT, related_name="merged_by")
    choices = models.JSONField(default=dict, db_default={})
    before = models.JSONField(default=dict, db_default={})
    after = models.JSONField(default=dict, db_default={})
    moved = models.JSONField(default=dict, db_default={})
    merged_at = models.DateTimeField(db_default=Now())
    merged_by = models.UUIDField(null=True, help_text="The user who did it.")
    via = models.CharField(max_length=63)
    unmerged_at = models.DateTimeField(null=True, blank=True)
    unmerged_by = models.UUIDField(null=True, blank=True)

    class Meta:
        db_table = "profile_merges"

    def __str__(self) -> str:
        return f"{self.other_id} into {self.survivor_id}"


class PrivacyEvent(models.Model):
    """That somebody took or erased all that is held on a person: who, when and why, and no personal data."""

    class Kind(models.TextChoices):
        EXPORT = "export"
        ERASE = "erase"

    id = models.BigAutoField(primary_key=True)
    profile = models.ForeignKey(Profile, on_delete=models.PROTECT, related_name="privacy_events")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    at = models.DateTimeField(db_default=Now())
    by = models.UUIDField(null=True, help_text="The user who did it.")
    via = models.CharField(max_length=63)
    reason = models.TextField(default="", db_default="", blank=True, help_text="Why; names nobody.")
    counts = models.JSONField(default=dict, db_default={}, help_text="Rows per table that it touched.")

    class Meta:
        db_table = "privacy_events"

    def __str__(self) -> str:
        return f"{self.kind} of {self.profile_id} at {self.at:%Y-%m-%d %H:%M}"


class SavedFilter(models.Model):
    """A search of the workplace that was given a name: a tab above the list, for its maker or for the tenant's staff."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=40)
    query = models.CharField(max_length=2000, help_text="The address after its question mark.")
    shared = models.BooleanField(default=False, db_default=False, help_text="For all staff of the tenant.")
    tenant_id = models.UUIDField(null=True, blank=True, help_text="Its maker's.")
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    objects = SavedFilterQuerySet.as_manager()

    class Meta:
        db_table = "saved_filters"
        constraints = (
            models.UniqueConstraint(
                fields=["made_by", "name"],
                name="saved_filters_name",
                violation_error_message="You have a tab of this name already.",
            ),
        )

    def __str__(self) -> str:
        return self.name


class ListExport(models.Model):
    """That somebody took a list of people as a file: who, when, which columns and how many rows; nobody's data."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now())
    by = models.UUIDField(help_text="The user who did it.")
    columns = models.JSONField(default=list, db_default=[])
    filters = models.JSONField(
        default=dict, db_default={}, help_text="Which list it was; what was searched for is not kept."
    )
    rows = models.BigIntegerField(default=0, db_default=0, help_text="As many as were sent.")
    finished_at = models.DateTimeField(null=True, help_text="None: it was broken off, or is under way.")

    class Meta:
        db_table = "list_exports"

    def __str__(self) -> str:
        return f"{self.rows:,} people at {self.at:%Y-%m-%d %H:%M}"


class Correction(models.Model):
    """A file of corrections that somebody handed in: what its dry run found, and what became of it."""

    class Status(models.TextChoices):
        OPEN = "open"
        APPLIED = "applied"
        DISCARDED = "discarded"

    id = models.BigAutoField(primary_key=True)
    uploaded_at = models.DateTimeField(db_default=Now())
    by = models.UUIDField(help_text="The user who did it.")
    file_name = models.CharField(max_length=255)
    read = models.IntegerField(default=0, db_default=0, help_text="Lines of the file, without its header.")
    problems = models.JSONField(default=list, db_default=[], help_text="What is wrong with the file as a whole.")
    ignored = models.JSONField(default=list, db_default=[], help_text="Columns that are there to be read only.")
    people = models.IntegerField(default=0, db_default=0, help_text="Whom it changes, or changed.")
    cells = models.JSONField(default=dict, db_default={}, help_text="How many of each column.")
    refused = models.IntegerField(default=0, db_default=0, help_text="Lines with a problem.")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.OPEN, db_default=Status.OPEN)
    decided_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "corrections"

    def __str__(self) -> str:
        return f"{self.file_name}: {self.people:,} people"


class CorrectionLine(models.Model):
    """A line that changes somebody or has a problem. It goes with the decision, and with its person's data.

    `before` and `after` are {"column": value} as to_jsonb writes a profile; problems are [{column, value, detail}].
    """

    id = models.BigAutoField(primary_key=True)
    correction = models.ForeignKey(Correction, on_delete=models.CASCADE, related_name="lines", db_index=False)
    line = models.IntegerField(help_text="In the file, whose header is line 1.")
    profile = models.ForeignKey(Profile, on_delete=models.CASCADE, null=True, related_name="+")
    before = models.JSONField(default=dict, db_default={})
    after = models.JSONField(default=dict, db_default={})
    problems = models.JSONField(default=list, db_default=[])

    class Meta:
        db_table = "correction_lines"
        constraints = (
            models.UniqueConstraint(
                fields=["correction", "line"],
                name="correction_lines_once",
                violation_error_message="This line of the file is there already.",
            ),
        )

    def __str__(self) -> str:
        return f"line {self.line} of {self.correction_id}"
