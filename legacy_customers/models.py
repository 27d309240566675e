"""The old world's one table that lives on, as a view, and the unification's own book-keeping."""

import uuid
from decimal import Decimal

from django.db import models
from django.db.models.functions import Lower, Now

from config.fields import UTCTimestampField


class LegacyCustomer(models.Model):
    """A row of customers_view: the old customers table for code that is not ported yet.

    Readable and writable; DELETE is refused by the database, which names the way out.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    user_id = models.UUIDField(null=True, blank=True)
    email = models.CharField(max_length=255)
    first_name = models.CharField(max_length=100, null=True, blank=True)
    last_name = models.CharField(max_length=100, null=True, blank=True)
    phone = models.CharField(max_length=50, null=True, blank=True)
    date_of_birth = models.DateField(null=True, blank=True)
    address = models.TextField(null=True, blank=True)
    city = models.CharField(max_length=100, null=True, blank=True)
    state = models.CharField(max_length=50, null=True, blank=True)
    postal_code = models.CharField(max_length=20, null=True, blank=True)
    country = models.CharField(max_length=100, null=True, blank=True, default="USA")
    loyalty_points = models.BigIntegerField(default=0)
    total_spent = models.DecimalField(max_digits=14, decimal_places=2, default=Decimal(0))
    order_count = models.BigIntegerField(default=0)
    last_order_date = UTCTimestampField(null=True, blank=True)
    customer_type = models.CharField(max_length=50, default="regular")
    preferred_payment_method = models.CharField(max_length=50, null=True, blank=True)
    marketing_consent = models.BooleanField(default=False)
    sms_consent = models.BooleanField(default=False)
    tags = models.JSONField(default=list)
    notes = models.TextField(null=True, blank=True)
    is_active = models.BooleanField(null=True, default=True)
    is_verified = models.BooleanField(default=False)
    created_at = UTCTimestampField(null=True, blank=True, auto_now_add=True)
    updated_at = UTCTimestampField(null=True, blank=True, auto_now=True)
    tenant_id = models.UUIDField(null=True, blank=True)

    class Meta:
        managed = False
        db_table = "customers_view"

    def __str__(self) -> str:
        return f"{self.email or 'no address'} ({self.id})"


class CustomerIdentity(models.Model):
    """Whose row each customers row is. `position` 1 is the person's primary row, whose id the profile has."""

    class Case(models.TextChoices):
        LINKED = "linked", "linked to an account"
        MATCHED = "matched", "guest of a verified account"
        NEW_USER = "new_user", "guest with an address of their own"
        SEPARATE = "separate", "guest who stays apart"

    customer_id = models.UUIDField(primary_key=True)
    user_id = models.UUIDField()
    case = models.CharField(max_length=16, choices=Case.choices)
    position = models.IntegerField()
    reason = models.CharField(max_length=32, null=True, help_text="Why a separate guest was not merged.")

    class Meta:
        db_table = "legacy_identities"
        verbose_name_plural = "customer identities"
        indexes = (
            models.Index(fields=["user_id", "position"], name="legacy_identities_user"),
            models.Index(
                fields=["case", "customer_id"], condition=~models.Q(case="linked"), name="legacy_identities_case"
            ),
        )

    def __str__(self) -> str:
        return f"{self.customer_id} is {self.user_id} ({self.case})"


class Attachment(models.Model):
    """Whose row each customer_profiles and user_profiles row is; NULL with a reason where it was archived.

    `position` counts a person's rows of both tables, newest first.
    """

    class Reason(models.TextChoices):
        NO_CUSTOMER = "no_customer", "its id is no customer's"
        NOBODY = "nobody", "no account has the session or the address"
        SEVERAL = "several", "several accounts have the session or the address"
        UNVERIFIED = "unverified", "the account's address is not verified"

    id = models.BigAutoField(primary_key=True)
    source = models.CharField(max_length=32)
    key = models.CharField(max_length=100)
    user_id = models.UUIDField(null=True)
    position = models.IntegerField(null=True)
    reason = models.CharField(max_length=32, choices=Reason.choices, null=True)
    attached_at = models.DateTimeField(null=True, help_text="NULL: at the take-over, or not at all.")

    class Meta:
        db_table = "legacy_attachments"
        constraints = (models.UniqueConstraint(fields=["source", "key"], name="legacy_attachments_once"),)
        indexes = (
            models.Index(fields=["user_id", "position"], name="legacy_attachments_user"),
            models.Index(
                fields=["reason", "id"], condition=models.Q(reason__isnull=False), name="legacy_attachments_reason"
            ),
            # By the id that a key of nobody's may be, however it is written.
            models.Index(
                Lower(models.Func("key", models.Value("{}-"), models.Value(""), function="translate")),
                condition=models.Q(user_id=None),
                name="legacy_attachments_loose",
            ),
        )

    def __str__(self) -> str:
        return f"{self.source} {self.key} is {self.user_id or self.reason}"


class LegacyWrite(models.Model):
    """A legacy row as its last writer left it since the sync came on, and who of the old world still writes to it.

    `hash` is of the whole row: a change behind the triggers shows. `writes` counts the old application's.
    """

    id = models.BigAutoField(primary_key=True)
    source = models.CharField(max_length=32)
    key = models.CharField(max_length=100)
    hash = models.BigIntegerField()
    writes = models.BigIntegerField(default=0, db_default=0)
    last_at = models.DateTimeField(db_default=Now())
    last_by = models.CharField(max_length=63, default="", db_default="", help_text="A database role.")

    class Meta:
        db_table = "legacy_writes"
        constraints = (models.UniqueConstraint(fields=("source", "key"), name="legacy_writes_once"),)

    def __str__(self) -> str:
        return f"{self.source} {self.key}"


class LegacyDeletion(models.Model):
    """A row that the old application deleted, as it was. Its person stays, and so does what it brought."""

    id = models.BigAutoField(primary_key=True)
    source = models.CharField(max_length=32)
    key = models.CharField(max_length=100)
    row = models.JSONField()
    deleted_at = models.DateTimeField(db_default=Now())
    deleted_by = models.CharField(max_length=63, help_text="A database role.")

    class Meta:
        db_table = "legacy_deletions"
        indexes = (models.Index(fields=["source", "key"], name="legacy_deletions_key"),)

    def __str__(self) -> str:
        return f"{self.source} {self.key}"


class Handover(models.Model):
    """A change that the sync left for the next writer to the same person to carry over; none, but for an instant."""

    id = models.BigAutoField(primary_key=True)
    person_id = models.UUIDField()
    source = models.CharField(max_length=32)
    before = models.JSONField(null=True)
    after = models.JSONField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "legacy_handovers"
        indexes = (models.Index(fields=["person_id", "id"], name="legacy_handovers_person"),)

    def __str__(self) -> str:
        return f"{self.source} of {self.person_id}"


class MovedLogin(models.Model):
    """A user whom the old application deleted, and the login without an address that their profile has since."""

    user_id = models.UUIDField(primary_key=True)
    moved_to = models.UUIDField(unique=True)

    class Meta:
        db_table = "legacy_moved_logins"

    def __str__(self) -> str:
        return f"{self.user_id} is {self.moved_to}"


class Phase(models.Model):
    """A step of the unification: when it ran, how many rows it wrote, and what the way back needs to know."""

    name = models.CharField(max_length=32, primary_key=True)
    started_at = models.DateTimeField(db_default=Now())
    resumed_at = models.DateTimeField(null=True, help_text="When the run that does it, or did, took it up.")
    finished_at = models.DateTimeField(null=True)
    rows = models.BigIntegerField(default=0, db_default=0)
    detail = models.JSONField(default=dict, db_default={})

    class Meta:
        db_table = "unification_phases"

    def __str__(self) -> str:
        return self.name


class Range(models.Model):
    """A stretch of a table's pages that is done in one commit, which also writes `finished_at`."""

    id = models.BigAutoField(primary_key=True)
    phase = models.CharField(max_length=32)
    first_page = models.BigIntegerField()
    last_page = models.BigIntegerField(null=True, help_text="Exclusive; NULL is the table's end.")
    next_page = models.BigIntegerField(null=True, help_text="The pages before it are done.")
    rows = models.BigIntegerField(null=True)
    moved_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "unification_ranges"
        constraints = (models.UniqueConstraint(fields=["phase", "first_page"], name="unification_ranges_once"),)

    def __str__(self) -> str:
        return f"{self.phase} from page {self.first_page}"


class Pause(models.Model):
    """A time at which `migrate` let others go first: by an operator's word, or by a cause that it saw (see throttle.py)."""

    id = models.BigAutoField(primary_key=True)
    cause = models.CharField(max_length=32)
    reason = models.TextField(db_default="", default="")
    by = models.CharField(max_length=63, help_text="A database role.")
    began_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "unification_pauses"
        constraints = (
            models.UniqueConstraint(
                fields=["cause"],
                condition=models.Q(cause="operator", ended_at=None),
                name="unification_pauses_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.cause} since {self.began_at:%Y-%m-%d %H:%M}"


class MigrationRun(models.Model):
    """One `migrate`, and the longest wait for a lock that it caused another session; NULL where none was seen."""

    id = models.BigAutoField(primary_key=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    succeeded = models.BooleanField()
    longest_wait_ms = models.FloatField(null=True)
    detail = models.JSONField(default=dict, help_text="How it was measured, who waited for what, and during what.")

    class Meta:
        db_table = "unification_runs"
        get_latest_by = "started_at"

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M} {'done' if self.succeeded else 'stopped'}"


class VerificationRun(models.Model):
    """What verify_unification found, kept as evidence."""

    id = models.BigAutoField(primary_key=True)
    taken_at = models.DateTimeField(db_default=Now())
    passed = models.BooleanField()
    report = models.JSONField()

    class Meta:
        db_table = "unification_verifications"
        get_latest_by = "taken_at"

    def __str__(self) -> str:
        return f"{self.taken_at:%Y-%m-%d %H:%M} {'passed' if self.passed else 'FAILED'}"


class ContractStep(models.Model):
    """A step of the contract phase: when it was done and by whom, why in spite of what, and where its dump is.

    A step that was undone stays on record; only one that was not counts.
    """

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=32)
    begun_at = models.DateTimeField(db_default=Now())
    done_at = models.DateTimeField(null=True)
    undone_at = models.DateTimeField(null=True)
    by = models.CharField(max_length=63, help_text="A database role.")
    forced = models.TextField(db_default="", default="", help_text="Why it was done in spite of what spoke against it.")
    dump = models.TextField(db_default="", default="", help_text="The file with what it dropped.")
    sha256 = models.CharField(max_length=64, db_default="", default="")
    detail = models.JSONField(db_default={}, default=dict)

    class Meta:
        db_table = "unification_contract"
        constraints = (
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(undone_at=None), name="unification_contract_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} {'undone' if self.undone_at else 'done' if self.done_at else 'begun'}"


class ApiUsage(models.Model):
    """Calls of a superseded path by one client on one day: the contract phase asks who is still there.

    `client` is an API key's name, else the caller's role; `caller` is a user's id for keys and staff. Customers are
    counted by role alone: which app they use matters, not who they are.
    """

    id = models.BigAutoField(primary_key=True)
    day = models.DateField(help_text="In UTC.")
    client = models.CharField(max_length=100)
    caller = models.CharField(max_length=36, default="", db_default="", blank=True)
    agent = models.CharField(max_length=64, default="", db_default="", blank=True, help_text="Its User-Agent's name.")
    method = models.CharField(max_length=10)
    route = models.CharField(max_length=100, help_text="The path, with names for the ids in it.")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    calls = models.BigIntegerField()

    class Meta:
        db_table = "api_usage"
        verbose_name = "call of the old API"
        verbose_name_plural = "calls of the old API"
        constraints = (
            models.UniqueConstraint(
                fields=["day", "client", "caller", "agent", "method", "route"],
                name="api_usage_once",
                violation_error_message="These calls are counted in a row already.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.method} {self.route} by {self.client} on {self.day}: {self.calls:,}"


class Usage(models.Model):
    """Who reads or writes an old shape, as a source saw it (unification/evidence.py); what the sync and the API count is elsewhere."""

    id = models.BigAutoField(primary_key=True)
    source = models.CharField(max_length=32, help_text="Who saw it.")
    shape = models.CharField(max_length=32)
    kind = models.CharField(max_length=8, help_text="read or write.")
    who = models.CharField(max_length=63, help_text="A database role.")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    count = models.BigIntegerField()

    class Meta:
        db_table = "legacy_usage"
        verbose_name = "use of an old shape"
        verbose_name_plural = "uses of old shapes"
        constraints = (models.UniqueConstraint(fields=["source", "shape", "kind", "who"], name="legacy_usage_once"),)

    def __str__(self) -> str:
        return f"{self.kind} of {self.shape} by {self.who}: {self.count:,}"


class UsageCounter(models.Model):
    """A counter of the server as it was when it was last looked at; what it has grown by since is a use."""

    id = models.BigAutoField(primary_key=True)
    source = models.CharField(max_length=32)
    shape = models.CharField(max_length=32)
    who = models.CharField(max_length=63)
    since = models.DateTimeField(help_text="When the first sample was taken.")
    taken_at = models.DateTimeField()
    value = models.BigIntegerField()

    class Meta:
        db_table = "legacy_usage_counters"
        constraints = (models.UniqueConstraint(fields=["source", "shape", "who"], name="legacy_usage_counters_once"),)

    def __str__(self) -> str:
        return f"{self.source} of {self.shape} by {self.who}"
