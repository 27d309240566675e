"""A real Chromium on the unified sample shop: every test has a copy of the database, all share browser and server."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from django.contrib.staticfiles.testing import StaticLiveServerTestCase
from django.test import Client
from django.test.testcases import LiveServerThread
from playwright.sync_api import Browser, Page, expect, sync_playwright

from accounts.models import User
from legacy_customers.sample.logins import LOGINS

WAY_OUT = "No chromium on the PATH. Install one, on Debian: apt-get install chromium."
WITHIN_MS = 20_000


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(WAY_OUT, pytrace=False)
        pytest.skip(WAY_OUT)
    expect.set_options(timeout=WITHIN_MS)
    # Playwright's loop runs in the thread of the tests, and Django takes it for code of ours that may not wait.
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        # As root chromium has no sandbox; what it opens here is ours.
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="package")
def server(browser: Browser) -> Iterator[str]:
    """The address of the site; each of its requests asks the database that is Django's at that time."""
    thread = LiveServerThread("127.0.0.1", StaticLiveServerTestCase.static_handler, connections_override={})
    thread.daemon = True
    thread.start()
    thread.is_ready.wait()
    if thread.error:
        raise thread.error
    yield f"http://{thread.host}:{thread.port}"
    thread.terminate()


OpenAs = Callable[[str], Page]


@pytest.fixture
def open_as(shop: str, browser: Browser, server: str) -> Iterator[OpenAs]:
    """Opens a window for who has a role, logged in, of the size of a desk's; addresses are relative to the site.

    What a page says on its console, or fails to load, fails the test.
    """
    contexts, complaints = [], []

    def open_window(role: str) -> Page:
        client = Client()
        client.force_login(
            User.objects.get(email=next(login.email for login in LOGINS if login.role == role)),
            backend="accounts.backends.AddressBackend",
        )
        context = browser.new_context(base_url=server, viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
        contexts.append(context)
        context.set_default_timeout(WITHIN_MS)
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": server}])
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        page.on("console", lambda said: complaints.append(f"{page.url}: {said.text}") if said.type == "error" else None)
        return page

    yield open_window
    for context in contexts:
        context.close()
    assert complaints == []
