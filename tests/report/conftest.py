"""A headless Chromium for the tests that look at the page as a reader would."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def installed_browser() -> str | None:
    """The system's Chromium; MEDS_CHROMIUM names another."""
    return os.environ.get("MEDS_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        path = installed_browser() or playwright.chromium.executable_path
        if not Path(path).exists():
            pytest.skip("no Chromium: install the package `chromium`, or run `playwright install chromium`")
        # A container's root cannot have Chromium's sandbox. The pages are our own and load nothing.
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


class Watched:
    """A page, and everything it complained of or asked for."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.messages: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.messages.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.messages.append(f"error: {error}"))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, path: Path) -> "Watched":
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-ready]")
        return self

    def foreign_requests(self, path: Path) -> list[str]:
        return [url for url in self.requests if url != path.as_uri() and not url.startswith(("data:", "blob:"))]


@pytest.fixture
def watch(browser):
    contexts = []

    def make(**options: Any) -> Watched:
        context = browser.new_context(offline=True, **{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        return Watched(context.new_page())

    yield make
    for context in contexts:
        context.close()
