"""What pages may load and run."""

import re

import pytest
from django.test import Client

from config.content_policy import ADMIN, PAGES


def test_pages_run_no_script_of_their_own_text(shop: str, client: Client) -> None:
    for address in ("/", "/docs/runbook/", "/nowhere/"):
        answer = client.get(address)
        assert answer.headers["Content-Security-Policy"] == PAGES
        text = answer.content.decode()
        assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text) == [], address


def test_admin_may_evaluate_and_loads_nothing_from_elsewhere(shop: str, client: Client) -> None:
    answer = client.get("/admin/login/")
    assert answer.headers["Content-Security-Policy"] == ADMIN
    assert re.findall(r"(?:src|href)=[\"']?(?:https?:)?//[^\"' ]+", answer.content.decode()) == []


@pytest.mark.parametrize("policy", [ADMIN, PAGES])
def test_no_policy_names_another_host(policy: str) -> None:
    assert "http" not in policy
    assert "*" not in policy
