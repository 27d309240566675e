"""What every page must be: readable by everybody, in light and dark, at a desk and on a phone."""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

HEIGHTS = {1440: 900, 390: 844}
ALL = tuple((width, scheme) for width in HEIGHTS for scheme in ("light", "dark"))
# Of pages that are made of parts which other pages show in all looks.
FEW = ((1440, "light"), (390, "dark"))
SETTLED_MS = 5_000
AXE = Axe()
RULES = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


def assert_looks_right(page: Page, name: str, looks: Iterable[tuple[int, str]] = ALL) -> None:
    """axe-core finds nothing and nothing stands out at the side, at both widths, light and dark.

    With SCREENSHOTS naming a directory, each look is kept there as <name>-<width>-<scheme>.png.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for width, scheme in looks:
        look = f"{width}-{scheme}"
        page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
        page.emulate_media(color_scheme=scheme)
        # What the page itself does when it is loaded: here it keeps what was typed and opened.
        page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")
        page.wait_for_function("document.fonts.status === 'loaded'")
        if directory := os.environ.get("SCREENSHOTS"):
            Path(directory).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(directory) / f"{name}-{look}.png", full_page=True)
        try:
            # Parts of a page measure themselves anew a while after its window has become another.
            page.wait_for_function(
                "width => document.scrollingElement.scrollWidth <= width", arg=width, timeout=SETTLED_MS
            )
        except PlaywrightTimeoutError:
            wide = page.evaluate("document.scrollingElement.scrollWidth")
            found[f"{wide} px wide"].append(look)
        if page.evaluate("typeof axe") == "undefined":
            page.evaluate(AXE.axe_script)
        for violation in page.evaluate("rules => axe.run(rules).then(found => found.violations)", RULES):
            for node in violation["nodes"]:
                found[f"{violation['id']}: {node['html'][:200]}\n    {node['failureSummary'][:300]}"].append(look)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.emulate_media(color_scheme="light")
    page.evaluate("document.documentElement.classList.remove('dark')")
    if found:
        pytest.fail(f"{name}:\n" + "\n".join(f"{', '.join(where)}: {what}" for what, where in found.items()), False)
