"""Dates that PostgreSQL holds and Python does not: infinity, -infinity, BC, and years above 9999.

They are read as `OddDate`, `OddTimestamp` or `OddTimestamptz`: Python's last or first date, so that they sort
where they belong, with PostgreSQL's text, which they show and are written back as.
"""

import re
import struct
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, ClassVar, Self

import psycopg
from django.db.backends.postgresql.psycopg_any import get_adapters_template
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import AdaptersMap, Dumper, Loader
from psycopg.pq import Format

DATE_OID, TIMESTAMP_OID, TIMESTAMPTZ_OID = (
    psycopg.adapters.types[name].oid for name in ("date", "timestamp", "timestamptz")
)

# As PostgreSQL writes them in DateStyle ISO: 10000-01-01, 0044-03-15 12:00:00.5+00 BC.
_ODD = re.compile(r"-?infinity|\d{5,}-\d\d-\d\d.*|\d{4,}-\d\d-\d\d.* BC")
_PARTS = re.compile(
    r"(?P<year>\d+)-(?P<month>\d\d)-(?P<day>\d\d)"
    r"(?: (?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?P<fraction>\.\d+)?)?"
    r"(?P<offset>[-+]\d\d(?::\d\d){0,2})?(?P<era> BC)?"
)
# The calendar repeats every 400 years: Python computes within 2000–2399, whole cycles are counted beside it.
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097
_EPOCH = datetime(2000, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_DAY_MICROSECONDS = 86_400_000_000


class _Odd:
    """What the three share: every format shows the text, and a shift leaves them beyond Python's dates."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"

    def __format__(self, spec: str) -> str:
        return self.text

    def strftime(self, format: str) -> str:
        return self.text

    def isoformat(self, *args: Any, **kwargs: Any) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Odd) and (type(self), self.text) == (type(other), other.text)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((type(self), self.text))

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return type(self), (self.text,)

    def __add__(self, other: Any) -> Any:
        return self if isinstance(other, timedelta) else NotImplemented

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self if isinstance(other, timedelta) else super().__sub__(other)  # type: ignore[misc]


class OddDate(_Odd, date):
    """A `date` beyond Python's. Equals only its like."""

    def __new__(cls, text: str) -> Self:
        bound = date.min if _is_early(text) else date.max
        self = super().__new__(cls, bound.year, bound.month, bound.day)
        self.text = text
        return self

    def replace(self, *args: Any, **kwargs: Any) -> Self:
        return self


class OddTimestamp(_Odd, datetime):
    """A `timestamp` beyond Python's, without time zone. Equals only its like."""

    zone: ClassVar[tzinfo | None] = None
    # The text has its own fraction; were this not 0, Django's JSON encoder would cut three letters out of it.
    microsecond = 0

    def __new__(cls, text: str) -> Self:
        bound = datetime.min if _is_early(text) else datetime.max
        self = super().__new__(cls, *bound.timetuple()[:6], bound.microsecond, cls.zone)
        self.text = text
        return self

    def date(self) -> OddDate:
        return OddDate(self.text.split(" ")[0] + (" BC" if self.text.endswith(" BC") else ""))

    def astimezone(self, tz: tzinfo | None = None) -> "OddTimestamptz":
        """The same in UTC, whichever zone is asked for, since timestamps are stored in UTC."""
        return OddTimestamptz(re.sub(r"(\d)( BC)?$", r"\1+00\2", self.text))

    def replace(self, *args: Any, tzinfo: Any = None, **kwargs: Any) -> "OddTimestamp":
        """Itself; in UTC when a time zone is given."""
        return self if tzinfo is None else self.astimezone(tzinfo)


class OddTimestamptz(OddTimestamp):
    """A `timestamptz` beyond Python's. Equals only its like."""

    zone = UTC

    def astimezone(self, tz: tzinfo | None = None) -> "OddTimestamptz":
        return self

    def replace(self, *args: Any, tzinfo: Any = UTC, **kwargs: Any) -> OddTimestamp:  # type: ignore[override]
        """Itself; without its time zone when that is replaced by None."""
        return OddTimestamp(re.sub(r"(?<=\d)[-+]\d\d(:\d\d)*( BC)?$", r"\2", self.text)) if tzinfo is None else self


@lru_cache
def adapters_template(use_tz: bool, timezone: tzinfo | None) -> AdaptersMap:
    """Django's adapters plus those of odd dates."""
    adapters = AdaptersMap(get_adapters_template(use_tz, timezone))
    zoned = type("TimestamptzLoader", (_TimestamptzLoader,), {"timezone": timezone})
    zoned_binary = type("BinaryTimestamptzLoader", (_BinaryTimestamptzLoader,), {"timezone": timezone})
    for oid, loaders in {
        DATE_OID: (_DateLoader, _BinaryDateLoader),
        TIMESTAMP_OID: (_TimestampLoader, _BinaryTimestampLoader),
        TIMESTAMPTZ_OID: (zoned, zoned_binary),
    }.items():
        for loader in loaders:
            adapters.register_loader(oid, loader)
    for odd in (OddDate, OddTimestamp, OddTimestamptz):
        # Text comes last: where a query does not say, the last one registered is taken.
        adapters.register_dumper(odd, _BinaryOddDumper)
        adapters.register_dumper(odd, _OddDumper)
    return adapters


class _OddLoader(Loader):
    """psycopg's loader of the type, and the odd value where that one gives up."""

    odd: ClassVar[type[OddDate] | type[OddTimestamp]]

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        # Asked for, not inherited: this is the one compiled to C where psycopg has it.
        usual = psycopg.adapters.get_loader(oid, self.format)
        assert usual is not None
        self._usual = usual(oid, context).load

    def load(self, data: Buffer) -> Any:
        try:
            return self._usual(data)
        except psycopg.DataError:
            text = self._text(bytes(data))
            if not _ODD.fullmatch(text):
                raise
            return self.odd(text)

    def _text(self, data: bytes) -> str:
        return data.decode()


class _DateLoader(_OddLoader):
    odd = OddDate


class _TimestampLoader(_OddLoader):
    odd = OddTimestamp


class _TimestamptzLoader(_OddLoader):
    odd = OddTimestamptz
    timezone: ClassVar[tzinfo | None]  # Django compares it with the connection's

    def load(self, data: Buffer) -> datetime:
        value: datetime = super().load(data)
        return value.replace(tzinfo=self.timezone)


class _BinaryDateLoader(_DateLoader):
    format = Format.BINARY

    def _text(self, data: bytes) -> str:
        (days,) = struct.unpack("!i", data)
        if abs(days) >= 2**31 - 1:
            return "infinity" if days > 0 else "-infinity"
        return _date_text(days)


class _BinaryTimestampLoader(_TimestampLoader):
    format = Format.BINARY

    def _text(self, data: bytes) -> str:
        (microseconds,) = struct.unpack("!q", data)
        if abs(microseconds) >= 2**63 - 1:
            return "infinity" if microseconds > 0 else "-infinity"
        days, rest = divmod(microseconds, _DAY_MICROSECONDS)
        time = (_EPOCH + rest * _MICROSECOND).time()
        fraction = f".{time.microsecond:06}".rstrip("0").rstrip(".")
        zone = "+00" if self.odd is OddTimestamptz else ""
        day, space, era = _date_text(days).partition(" ")
        return f"{day} {time:%H:%M:%S}{fraction}{zone}{space}{era}"


class _BinaryTimestamptzLoader(_TimestamptzLoader, _BinaryTimestampLoader):
    pass


class _OddDumper(Dumper):
    """Writes the text, as the type that it was read from."""

    def __init__(self, cls: type, context: AdaptContext | None = None) -> None:
        super().__init__(cls, context)
        # Not as a class attribute: psycopg would take this dumper for every value of that type.
        self.oid = (
            DATE_OID
            if issubclass(cls, OddDate)
            else TIMESTAMPTZ_OID
            if issubclass(cls, OddTimestamptz)
            else TIMESTAMP_OID
        )

    def dump(self, obj: date) -> Buffer:
        # Also the usual dates that follow an odd one in a list.
        return str(obj).encode()


class _BinaryOddDumper(_OddDumper):
    format = Format.BINARY

    def dump(self, obj: date) -> Buffer:
        layout, limit = ("!i", 2**31 - 1) if self.oid == DATE_OID else ("!q", 2**63 - 1)
        text = str(obj)
        if text.endswith("infinity"):
            return struct.pack(layout, -limit - 1 if text.startswith("-") else limit)
        microseconds = _microseconds(text)
        return struct.pack(layout, microseconds // _DAY_MICROSECONDS if self.oid == DATE_OID else microseconds)


def _is_early(text: str) -> bool:
    return text == "-infinity" or text.endswith(" BC")


def _date_text(days: int) -> str:
    """PostgreSQL's text of a number of days since 2000-01-01."""
    cycles, rest = divmod(days, _CYCLE_DAYS)
    day = _EPOCH + timedelta(days=rest)
    year = day.year + cycles * _CYCLE_YEARS
    # There is no year 0: the one before 1 is 1 BC.
    return f"{year:04}-{day:%m-%d}" if year > 0 else f"{1 - year:04}-{day:%m-%d} BC"


def _microseconds(text: str) -> int:
    """Microseconds from 2000-01-01 (UTC) to PostgreSQL's date or timestamp; ValueError for other texts."""
    match = _PARTS.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no date as PostgreSQL writes it")
    year = 1 - int(match["year"]) if match["era"] else int(match["year"])
    cycles, rest = divmod(year - _EPOCH.year, _CYCLE_YEARS)
    month, day, hour, minute, second = (int(match[name] or 0) for name in ("month", "day", "hour", "minute", "second"))
    moment = datetime(_EPOCH.year + rest, month, day, hour, minute, second)
    fraction = int((match["fraction"] or ".")[1:].ljust(6, "0"))
    offset = 0
    if match["offset"]:
        hours, minutes, seconds = (int(part) for part in f"{match['offset'][1:]}:00:00".split(":")[:3])
        offset = (hours * 3600 + minutes * 60 + seconds) * (-1 if match["offset"][0] == "-" else 1)
    return (moment - _EPOCH) // _MICROSECOND + cycles * _CYCLE_DAYS * _DAY_MICROSECONDS + fraction - offset * 1_000_000
