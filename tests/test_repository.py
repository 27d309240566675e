"""The repository itself: what it documents is what it does."""

import re
import subprocess
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

from legacy_customers.unification.rendering import rendered

ROOT = Path(settings.BASE_DIR)


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_variable_that_the_settings_read_is_in_the_example() -> None:
    read = set(re.findall(r'\benv\.\w+\(\s*"(\w+)"', text("config/settings.py")))
    documented = set(re.findall(r"^(?:# )?([A-Z_]+)=", text(".env.example"), re.MULTILINE))
    assert len(read) > 10
    assert documented == read


@pytest.mark.django_db
def test_models_and_migrations_agree(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("makemigrations", check=True, dry_run=True)
    assert capsys.readouterr().out == "No changes detected\n"


@pytest.mark.parametrize("path", sorted(rendered()), ids=str)
def test_rendered_file_is_as_the_code_renders_it(path: Path) -> None:
    assert text(str(path)) == rendered()[path], "Run `manage.py render_sql` and commit the result."


def test_nothing_else_lies_among_the_rendered_sql() -> None:
    sources = {"functions.sql"}
    found = {path.name for path in (ROOT / "legacy_customers" / "sql").iterdir()}
    assert found - sources == {path.name for path in rendered() if path.suffix == ".sql"}


def test_every_requirement_is_pinned() -> None:
    named = re.findall(r'^    "([A-Za-z0-9_-]+)', text("pyproject.toml").partition("[build-system]")[0], re.MULTILINE)
    pinned = dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)$", text("constraints.txt"), re.MULTILINE))
    assert len(named) > 10
    assert {_canonical(name) for name in named} <= {_canonical(name) for name in pinned}


def test_constraints_name_versions_alone() -> None:
    lines = [line for line in text("constraints.txt").splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+-]+", line)] == []


@pytest.mark.parametrize(
    "document", ["README.md", "CHANGELOG.md", *sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_files_that_a_document_names_exist(document: str) -> None:
    source = text(document)
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", source)
    named = re.findall(r"`((?:accounts|config|docs|legacy_customers|orders|profiles|tests)/[\w./-]+)`", source)
    here = (ROOT / document).parent
    assert [link for link in links if not (here / link).exists()] == []
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", ["README.md", "docs/runbook.md"])
def test_tests_that_a_document_names_exist(document: str) -> None:
    for path, name in re.findall(r"\[?`?(tests/[\w/]+\.py)`?(?:\]\([^)]*\))?::`?(\w+)", text(document)):
        assert f"def {name}(" in text(path), f"{document} names {path}::{name}"


def test_make_has_the_targets_that_the_readme_names() -> None:
    targets = set(re.findall(r"^(\w+):", text("Makefile"), re.MULTILINE))
    assert {"install", "demo", "test", "lint", "constraints"} <= targets
    assert set(re.findall(r"make (\w+)", text("README.md"))) <= targets


def test_ci_script_can_run() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
