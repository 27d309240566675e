"""What the operator of `migrate` sees: lines, and on a terminal one that is rewritten while a step goes on."""

import sys
import threading
import time

# Seconds between two lines of one step: where somebody watches, and where they go to a file.
REWRITTEN, PLAIN = 0.2, 5.0

_listening = False
_rewriting = False
_writing = threading.RLock()


def listen(listening: bool) -> None:
    """Let the steps tell their progress, or stop them."""
    global _listening
    _listening = listening


def tell(line: str, *, passing: bool = False) -> None:
    """One line for the operator; a `passing` one is overwritten by the next. Silent where nobody asked for any (`listen`)."""
    global _rewriting
    if not _listening:
        return
    with _writing:
        start = "\r\x1b[K" if _rewriting else ""
        _rewriting = passing
        sys.stdout.write(f"{start}    {line}" if passing else f"{start}    {line}\n")
        sys.stdout.flush()


class Meter:
    """How far a step in ranges is, across all its workers: ranges done of all, rows a second, time left."""

    def __init__(self, name: str, total: int, done: float) -> None:
        self.name, self.total, self.done = name, total, done
        self.rows = 0
        self._before = done
        self._began = self._told = 0.0

    def begin(self) -> None:
        """Somebody sets to work; the clock runs from the first."""
        self._began = self._told = self._began or time.monotonic()

    def move(self, share: float, rows: int) -> None:
        """`share` of a range more, and `rows`, are committed."""
        with _writing:
            self.done += share
            self.rows += rows
            now = time.monotonic()
            ended = round(self.done, 6) >= self.total
            watched = sys.stdout.isatty()
            if not ended and now - self._told < (REWRITTEN if watched else PLAIN):
                return
            self._told = now
            tell(self._line(max(now - self._began, 0.001)), passing=watched and not ended)

    def _line(self, seconds: float) -> str:
        advanced = max(self.done - self._before, 1e-6)
        left = seconds / advanced * max(self.total - self.done, 0)
        return (
            f"{self.name}: {self.done / self.total:.0%}, {round(self.done + 1e-6, 2):.6g} of {self.total} ranges,"
            f" {self.rows / seconds:,.0f} rows/s, {left:.0f} s left"
        )
