"""docs/api.md: its calls are made, from top to bottom, by curl at a real server, and each answer must be the one below it.

An answer is abridged where it says so: `…` in a text stands for any text, in a list for what follows, in an object for
further members, alone for any value; `$NAME` for what the shell has under that name.
"""

import json
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.conf import settings
from django.core import mail
from django.core.cache import cache
from django.core.mail import EmailMessage
from django.test.testcases import LiveServerThread

from accounts.models import User
from accounts.services import api_keys
from legacy_customers.api import usage

PAGE = Path(settings.BASE_DIR) / "docs" / "api.md"
DEMO = "http://127.0.0.1:8000"
MORE = "…"


class Block(NamedTuple):
    kind: str
    source: str
    line: int


def blocks(page: str) -> list[Block]:
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [Block(each[1], each[2], page.count("\n", 0, each.start()) + 1) for each in found]


class Shell:
    """One bash for the whole page, so that variables and functions carry over."""

    def __init__(self, directory: Path) -> None:
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-u"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=directory,
        )

    def run(self, source: str) -> str:
        """What the lines print, errors too."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        end = uuid.uuid4().hex
        self._bash.stdin.write(f"{source}\nprintf '%s\\n' {end}\n")
        self._bash.stdin.flush()
        printed = ""
        for line in self._bash.stdout:
            printed += line
            if printed.endswith(f"{end}\n"):
                return printed.removesuffix(f"{end}\n")
        raise AssertionError(f"The shell ended:\n{printed}")

    def value(self, name: str) -> str:
        return self.run(f'printf %s "${name}"')

    def close(self) -> None:
        self._bash.communicate(timeout=60)


def parsed(shown: str) -> Any:
    """An abridged answer as JSON: a bare … becomes a text, in an object a member."""
    found, open_, position = "", "", 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[\]{}]|…', shown):
        found += shown[position : token.start()]
        position, text = token.end(), token[0]
        if text in "[{":
            open_ += text
        elif text in "]}":
            open_ = open_[:-1]
        elif text == MORE:
            text = '"…"' if open_[-1] == "[" else '"…": "…"'
        found += text
    return json.loads(found + shown[position:])


def fits(shown: str, text: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, shown.split(MORE))), text, re.DOTALL) is not None


def differences(shown: Any, answered: Any, value: Callable[[str], str], path: str = "") -> Iterator[str]:
    """Where the answer is not what is shown."""
    if shown == MORE:
        return
    if isinstance(shown, str) and isinstance(answered, str):
        wanted = re.sub(r"\$([A-Z_]+)", lambda name: value(name[1]), shown)
        if not fits(wanted, answered):
            yield f"{path}: {wanted!r} is shown, {answered!r} was answered"
    elif isinstance(shown, dict) and isinstance(answered, dict):
        names = shown.keys() - {MORE}
        if missing := names - answered.keys():
            yield f"{path}: {sorted(missing)} is shown and was not answered"
        if MORE not in shown and (more := answered.keys() - names):
            yield f"{path}: {sorted(more)} was answered and is not shown"
        for name in names & answered.keys():
            yield from differences(shown[name], answered[name], value, f"{path}.{name}")
    elif isinstance(shown, list) and isinstance(answered, list):
        goes_on = len(shown) > 1 and shown[-1] == MORE
        wanted_items = shown[:-1] if goes_on else shown
        if len(answered) < len(wanted_items) or (not goes_on and len(answered) != len(shown)):
            yield f"{path}: {len(wanted_items)} items are shown, {len(answered)} were answered"
        for place, (one, other) in enumerate(zip(wanted_items, answered, strict=False)):
            yield from differences(one, other, value, f"{path}.{place}")
    elif isinstance(shown, bool) != isinstance(answered, bool) or shown != answered:
        yield f"{path}: {shown!r} is shown, {answered!r} was answered"


def http_differences(shown: str, answered: str, value: Callable[[str], str]) -> Iterator[str]:
    """The same with a status line and headers, of which those that are shown must be there."""
    head, _, body = shown.partition("\n\n")
    got_head, _, got_body = answered.replace("\r\n", "\n").partition("\n\n")
    (status, *headers), (got_status, *got_headers) = head.splitlines(), got_head.splitlines()
    if status != got_status.strip():
        yield f"{status!r} is shown, {got_status!r} was answered"
    got = {name.lower(): text for name, _, text in (line.partition(": ") for line in got_headers)}
    for name, _, text in (line.partition(": ") for line in headers):
        if not fits(text, got.get(name.lower(), "")):
            yield f"{name}: {text!r} is shown, {got.get(name.lower())!r} was answered"
    yield from differences(parsed(body), json.loads(got_body), value)


def mail_differences(shown: str, sent: EmailMessage) -> Iterator[str]:
    head, _, body = shown.partition("\n\n")
    if head != f"To: {', '.join(sent.to)}\nSubject: {sent.subject}":
        yield f"{head!r} is shown, a mail to {sent.to} about {sent.subject!r} was sent"
    if not fits(body.strip(), sent.body.strip()):
        yield f"{body!r} is shown, {sent.body!r} was sent"


class Walk:
    """The page on its way: what the reader would fill in is filled in."""

    def __init__(self, shell: Shell, server: str, key: str) -> None:
        self.shell, self.server, self.key = shell, server, key
        self.printed = ""  # by calls whose answer is not compared yet

    def step(self, block: Block) -> list[str]:
        """Run a block of calls, or compare an answer; the differences."""
        match block.kind:
            case "sh":
                unseen = self._unseen()
                self.printed = self.shell.run(self._filled_in(block.source))
                return unseen
            case "json" | "http":
                printed, self.printed = self.printed, ""
                if not printed:
                    return ["nothing was answered"]
                if block.kind == "http":
                    return list(http_differences(block.source, printed, self.shell.value))
                return list(differences(parsed(block.source), json.loads(printed), self.shell.value))
            case "mail":
                return [*self._unseen(), *mail_differences(block.source, mail.outbox[-1])]
        return [f"there are no blocks of the kind {block.kind!r}"]

    def end(self) -> list[str]:
        return self._unseen()

    def _unseen(self) -> list[str]:
        return [f"printed and not shown: {self.printed}"] if self.printed else []

    def _filled_in(self, source: str) -> str:
        source = source.replace(f"SHOP={DEMO}\n", f"SHOP={self.server}\n")
        source = source.replace("KEY=upk_…\n", f"KEY={self.key}\n")
        if to_copy := re.search(r"^LINK='(.*….*)'$", source, re.MULTILINE):
            link = next(word for word in mail.outbox[-1].body.split() if word.startswith("http"))
            assert fits(to_copy[1], link)
            source = source.replace(to_copy[1], link)
        assert MORE not in source, source
        return source


@pytest.fixture
def server(shop: str, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[str]:
    """The address of a server of the sample shop, as `make demo` loads it."""
    settings.PUBLIC_URL = DEMO
    settings.API_DEPRECATED_ON, settings.API_SUNSET_ON = "2026-11-23", "2027-11-23"
    monkeypatch.setattr(usage.atexit, "register", lambda flush: None)  # the database is not there at the end
    monkeypatch.setattr(usage, "counter", usage.Counter())
    cache.clear()
    mail.outbox.clear()
    thread = LiveServerThread("127.0.0.1", lambda application: application)
    thread.daemon = True
    thread.start()
    thread.is_ready.wait()
    if thread.error:
        raise thread.error
    yield f"http://127.0.0.1:{thread.port}"
    thread.terminate()


@pytest.fixture
def walk(server: str, tmp_path: Path) -> Iterator[Walk]:
    staff = User.objects.get(email="staff@example.com")
    shell = Shell(tmp_path)
    yield Walk(shell, server, api_keys.issue_key(staff, "corner till", by=staff)[1])
    shell.close()


def test_every_call_of_the_page_is_answered_as_it_shows(walk: Walk) -> None:
    found = blocks(PAGE.read_text(encoding="utf-8"))
    assert sum(block.source.count("curl -s") for block in found if block.kind == "sh") > 40
    for block in found:
        assert walk.step(block) == [], f"docs/api.md, line {block.line}"
    assert walk.end() == []


@pytest.mark.parametrize(
    ("shown", "answered", "found"),
    [
        ('{"a": 1, …}', '{"a": 1.0, "b": 2}', []),
        ('{"a": 1}', '{"a": 1, "b": 2}', [": ['b'] was answered and is not shown"]),
        ('{"a": 1, "b": null, …}', '{"a": 1}', [": ['b'] is shown and was not answered"]),
        ('{"a": true}', '{"a": 1}', [".a: True is shown, 1 was answered"]),
        ('{"a": "…"}', '{"a": [1]}', []),
        ('{"a": "x…z"}', '{"a": "xyz"}', []),
        ('{"a": "x…z"}', '{"a": "xy"}', [".a: 'x…z' is shown, 'xy' was answered"]),
        ('{"a": "for $ANN."}', '{"a": "for value of ANN."}', []),
        ('{"a": "$ANN"}', '{"a": "other"}', [".a: 'value of ANN' is shown, 'other' was answered"]),
        ("[1, …]", "[1, 2, 3]", []),
        ("[1, 2]", "[1, 2, 3]", [": 2 items are shown, 3 were answered"]),
        ("[1, 2, …]", "[1]", [": 2 items are shown, 1 were answered"]),
        ('[{"a": [0]}]', '[{"a": [5]}]', [".0.a.0: 0 is shown, 5 was answered"]),
        ('{"a": {"b": 1}}', '{"a": null}', [".a: {'b': 1} is shown, None was answered"]),
    ],
)
def test_an_answer_that_is_not_as_shown_is_seen(shown: str, answered: str, found: list[str]) -> None:
    assert list(differences(parsed(shown), json.loads(answered), lambda name: f"value of {name}")) == found


def test_a_status_or_header_that_is_not_as_shown_is_seen() -> None:
    answered = 'HTTP/1.1 201 Created\r\nETag: "7"\r\nX: y\r\n\r\n{"a": 1}'
    assert list(http_differences('HTTP/1.1 201 Created\netag: "…"\n\n{"a": 1}', answered, str)) == []
    assert list(http_differences('HTTP/1.1 200 OK\nLink: z\n\n{"a": 2}', answered, str)) == [
        "'HTTP/1.1 200 OK' is shown, 'HTTP/1.1 201 Created' was answered",
        "Link: 'z' is shown, None was answered",
        ".a: 2 is shown, 1 was answered",
    ]


def test_a_mail_that_is_not_as_shown_is_seen() -> None:
    sent = EmailMessage("Hello", "Dear\n\nhttp://shop/x?token=1\n\nBye", to=["ann@example.com"])
    assert list(mail_differences("To: ann@example.com\nSubject: Hello\n\n…\nhttp://shop/x?token=…\n…\n", sent)) == []
    assert len(list(mail_differences("To: ben@example.com\nSubject: Hello\n\nhttp://shop/x?token=…\n", sent))) == 2


def test_what_a_call_prints_and_the_page_does_not_show_is_seen(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    walk = Walk(shell, DEMO, "upk_x")
    assert walk.step(Block("sh", "echo '{}'\n", 1)) == []
    assert walk.step(Block("sh", "NAME=value\n", 2)) == ["printed and not shown: {}\n"]
    assert walk.step(Block("json", "{}\n", 3)) == ["nothing was answered"]
    assert walk.step(Block("sh", "echo 'went wrong' >&2\n", 4)) == []
    assert walk.end() == ["printed and not shown: went wrong\n"]
    assert walk.step(Block("python", "", 5)) == ["there are no blocks of the kind 'python'"]
    with pytest.raises(AssertionError, match="MISSING: unbound variable"):
        walk.step(Block("sh", "echo $MISSING\n", 6))
    shell.close()


def test_every_call_of_the_api_is_in_a_block_that_is_run() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("curl -s") == sum(block.source.count("curl -s") for block in blocks(page) if block.kind == "sh")
