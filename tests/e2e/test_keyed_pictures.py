"""Pictures that are files, where the service asks for a key: an `<img>` cannot send one, so the page fetches them."""

import subprocess
from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.e2e.conftest import OpenPage, starting
from tests.integration.conftest import Place, Service, serving
from tests.integration.test_service_load import with_settings

KEY: Final = "sesame"
PICTURES: Final = "**/images/*/picture"
PHONE: Final = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def keyed(world: Place) -> Iterator[Service]:
    """The invented world behind a search key."""
    place = with_settings(world, SEARCH_KEYS=KEY, PICTURES_DIR=str(world.data_dir.parent / "world" / "pictures"))
    with serving(place, stderr=subprocess.DEVNULL) as service:
        yield service


def let_in(page: Page) -> None:
    page.get_by_label("Search key").fill(KEY)
    page.get_by_role("button", name="Use key").click()
    expect(page.get_by_role("listitem", name=starting("Image ")).first).to_be_visible()


def ask(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Query as text").fill(text)
    expect(page.get_by_role("status").first).to_contain_text("best first")


def fetched(page: Page) -> list[Request]:
    """All pictures that the page asks for with the key from now on."""
    requests: list[Request] = []
    page.on("request", lambda one: requests.append(one) if one.headers.get("x-api-key") == KEY else None)
    return requests


def test_they_are_shown_and_no_more_of_them_fetched_than_are_seen(open_page: OpenPage, keyed: Service) -> None:
    page = open_page(of=keyed, viewport=PHONE)
    asked = fetched(page)
    let_in(page)
    pictures = page.locator("ul[aria-label=Results] img")
    page.locator("ul[aria-label=Results] > li").first.scroll_into_view_if_needed()
    expect(pictures.first).to_have_attribute("src", starting("blob:"))
    page.wait_for_function("element => element.naturalWidth > 0", arg=pictures.first.element_handle())
    page.wait_for_load_state("networkidle")
    ids = [one.url for one in asked if one.url.endswith("/picture")]
    assert 0 < len(set(ids)) < 12, "those near the window, of 24"

    last = page.locator("ul[aria-label=Results] > li").nth(23)
    last.scroll_into_view_if_needed()
    expect(last.locator("img")).to_have_attribute("src", starting("blob:"))
    last.get_by_role("button").click()
    expect(page.get_by_role("dialog").locator("img")).to_have_attribute("src", starting("blob:"))


def test_they_are_let_go_when_they_are_not_shown_any_more(open_page: OpenPage, keyed: Service) -> None:
    page = open_page(of=keyed)
    let_in(page)
    ask(page, "dog on couch")
    first = page.locator("ul[aria-label=Results] img").first
    expect(first).to_have_attribute("src", starting("blob:"))
    held = str(first.get_attribute("src"))
    assert shows(page, held)
    page.get_by_role("textbox", name="Condition").fill("zzyzx")
    page.get_by_role("button", name="Add filter").click()
    expect(page.get_by_role("status").first).to_contain_text("Nothing found")
    assert not shows(page, held)


def shows(page: Page, address: str) -> bool:
    shown: bool = page.evaluate(
        """address => new Promise(resolve => {
            const image = new Image();
            image.onload = () => resolve(true);
            image.onerror = () => resolve(false);
            image.src = address;
        })""",
        address,
    )
    return shown


def test_requests_for_them_end_when_nobody_waits_any_more(open_page: OpenPage, keyed: Service) -> None:
    page = open_page(of=keyed)
    let_in(page)
    expect(page.locator("ul[aria-label=Results] img").first).to_be_visible()
    ask(page, "man riding horse")
    page.wait_for_load_state("networkidle")
    page.route(PICTURES, lambda _: None)  # never answered
    with page.expect_request(PICTURES):
        ask(page, "dog on couch")
    page.get_by_role("textbox", name="Condition").fill("zzyzx")
    with page.expect_event("requestfailed", is_given_up):
        page.get_by_role("button", name="Add filter").click()


def is_given_up(request: Request) -> bool:
    return request.url.endswith("/picture") and "ERR_ABORTED" in str(request.failure)


def test_one_that_is_opened_by_itself_runs_nothing(open_page: OpenPage, keyed: Service) -> None:
    script = "<script>document.documentElement.setAttribute('data-ran', '')</script>"
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9' onload='{'x'}'>{script}</svg>"

    def give(route: Route) -> None:
        if route.request.headers.get("x-api-key") == KEY:
            route.fulfill(content_type="image/svg+xml", body=svg)
        else:
            route.continue_()

    page = open_page("/livez", of=keyed)
    page.route(PICTURES, give)
    page.goto("/")
    let_in(page)
    ask(page, "dog on couch")
    page.locator("ul[aria-label=Results] > li").first.get_by_role("button").click()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open the picture").click()
    other = opened.value
    other.wait_for_load_state()
    assert other.url.startswith("blob:")
    assert other.evaluate("document.documentElement.localName") == "svg"
    assert other.evaluate("document.documentElement.getAttribute('data-ran')") is None
