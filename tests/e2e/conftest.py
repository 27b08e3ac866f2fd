"""A real service on an invented world, and a real browser on its page.

The browser is of one module: while it lives, its event loop is that of the thread, and other tests need theirs.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from model.checkpoint import PRETRAINED, find_checkpoint
from model.collection import read_collection
from service.catalogue import Catalogue
from service.database import open_database
from tests.conftest import skip_or_fail
from tests.integration.conftest import PATIENCE, Place, Service, serving
from tests.integration.test_service_load import with_settings
from training.data.demo_world import write_demo_world

WEB: Final = Path(__file__).parents[2] / "service" / "web"
IMAGES: Final = 300

# Without these it asks its maker for updates and more.
CHROMIUM: Final = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

OpenPage = Callable[..., Page]

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="session")
def built_page() -> None:
    """The page that the service serves is there."""
    if not (WEB / "dist" / "index.html").is_file():
        skip_or_fail("browser", "the page is not built: make page (Node.js 20.19 or newer)")


@pytest.fixture(scope="session")
def world(built_page: None, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A catalogue and an index of an invented world."""
    directory = tmp_path_factory.mktemp("world")
    write_demo_world(directory / "world", images=IMAGES)
    place = with_settings(
        Place(database_url=f"sqlite:///{directory}/scenerank.db", data_dir=directory / "data"),
        PICTURES_DIR=str(directory / "world" / "pictures"),
    )
    database = open_database(place.database_url)
    Catalogue(database).upsert(read_collection(directory / "world"))
    database.dispose()
    place.build(find_checkpoint(Path(PRETRAINED)))
    return place


@pytest.fixture(scope="session")
def service(world: Place) -> Iterator[Service]:
    """A service that the tests share."""
    with serving(world, stderr=subprocess.DEVNULL) as service:
        yield service


@pytest.fixture(scope="module")
def browser(built_page: None) -> Iterator[Browser]:
    """Debian's Chromium."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        skip_or_fail("browser", "Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[OpenPage]:
    """Opens the page of a service, by default the shared one.

    At the end nothing of it may have failed in the console, a Content-Security-Policy among all else, and nothing may
    have been asked of another host.
    """
    contexts, complaints = [], []

    def open_(
        path: str = "/",
        *,
        of: Service | None = None,
        of_catalogue: tuple[str, ...] = (),
        **options: Any,  # noqa: ANN401 (Playwright's)
    ) -> Page:
        base = str((of or request.getfixturevalue("service")).client.base_url).rstrip("/")
        settings = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce", **options}
        context = browser.new_context(base_url=base, **settings)
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()

        def listen(message: ConsoleMessage) -> None:
            # What the service answers with is for the page to show.
            if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
                complaints.append(message.text)

        def watch(asked: Request) -> None:
            if not asked.url.startswith((base, "data:", "blob:", *of_catalogue)):
                complaints.append(f"asked of another host: {asked.url}")

        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", watch)
        page.goto(path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def shown(page: Page) -> list[str]:
    """The images in the ranking, as they are called on the page; the page has come to rest."""
    expect(page.get_by_role("list", name="Results")).to_have_attribute("aria-busy", "false")
    return [str(item.get_attribute("aria-label")) for item in page.locator("ul[aria-label=Results] > li").all()]


def ranked(service: Service, **query: object) -> list[str]:
    """The ids of the images that the service itself ranks first."""
    answer = service.client.post("/search", json={"limit": 24, **query}).raise_for_status()
    return [result["image_id"] for result in answer.json()["results"]]


def expect_ranking(page: Page, ids: list[str]) -> None:
    """The page shows these images first, in this order."""
    items = page.locator("ul[aria-label=Results] > li")
    expect(items.first).to_be_visible()
    names = [f"Image {image_id}, rank {rank}, score" for rank, image_id in enumerate(ids, start=1)]
    for row, name in enumerate(names):
        expect(items.nth(row)).to_have_attribute("aria-label", starting(name))


def starting(text: str) -> re.Pattern[str]:
    """A pattern of what begins so."""
    return re.compile(f"^{re.escape(text)}")


def clipboard(page: Page) -> Any:  # noqa: ANN401
    """What has been copied, as JSON if it is."""
    text: str = page.evaluate("navigator.clipboard.readText()")
    try:
        return json.loads(text)
    except ValueError:
        return text
