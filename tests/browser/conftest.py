"""Pages in headless Chromium: whatever a page asks of the network, or complains of, fails the test that opened it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, sync_playwright

from tests.vbench.conftest import Factory
from vbench.report.document import write_report
from vbench.results import Record
from vbench.store import Store

QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 375, "height": 740}


@pytest.fixture(scope="session")
def make() -> Factory:
    return Factory()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    assert found, f"no Chromium here: install one of {', '.join(CHROMIUMS)}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory, make: Factory) -> Callable[[Sequence[Record], str], Path]:
    """Writes the report of records and returns its page."""

    def write(records: Sequence[Record], name: str) -> Path:
        store = Store(tmp_path_factory.mktemp("report") / name)
        with store.writing():
            store.add_environment(make.environment())
            store.append(*records)
        write_report(store.directory)
        return store.directory / "index.html"

    return write


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a page; options are those of a browser context, as in `color_scheme="dark"`."""
    contexts, asked, complaints = [], [], []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def opened(path: Path, address: str = "", **options: Any) -> Page:
        context = chromium.new_context(**({"viewport": DESKTOP} | options))
        contexts.append(context)
        page = context.new_page()
        page.route(lambda url: not url.startswith(("file:", "data:")), refuse)
        page.on("request", lambda request: asked.append(request.url) if is_elsewhere(request.url, path) else None)
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(path.as_uri() + address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert asked == []
    assert complaints == []


def is_elsewhere(url: str, path: Path) -> bool:
    """Whether a request is for anything but the page itself and what stands in it."""
    return not url.startswith((path.as_uri(), "data:"))
