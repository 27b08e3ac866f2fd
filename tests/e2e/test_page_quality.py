"""For everybody: contrast, names and roles in each colour scheme and width; little to load; documentation offline."""

import pytest
from playwright.sync_api import Page, Response, expect

from tests.conftest import skip_or_fail
from tests.e2e.conftest import WEB, OpenPage

LIMIT = 300_000  # bytes of a first load, compressed
PHONE = {"width": 390, "height": 844}


def violations(page: Page) -> list[str]:
    """What axe finds against WCAG 2.2 A and AA, and against its best practices."""
    script = WEB / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        skip_or_fail("browser", "the page's npm packages are not installed: make page")
    page.evaluate(script.read_text() + "; undefined")
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


@pytest.mark.parametrize(
    "options",
    [{}, {"color_scheme": "dark"}, {"viewport": PHONE, "has_touch": True}, {"viewport": PHONE, "color_scheme": "dark"}],
    ids=["light", "dark", "phone", "phone-dark"],
)
def test_axe_finds_nothing(open_page: OpenPage, options: dict[str, object]) -> None:
    page = open_page(**options)
    expect(page.locator("ul[aria-label=Results] > li").first).to_be_visible()
    assert violations(page) == []
    page.get_by_role("textbox", name="Query as text").fill("tall man riding horse; * on zzyzx; not car")
    expect(page.get_by_role("list", name="Hints")).to_be_visible()
    page.get_by_role("group", name="Object horse", exact=True).click()
    expect(page.get_by_role("region", name="Selection")).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing to scroll sideways"
    page.locator("ul[aria-label=Results] > li").first.get_by_role("button").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    for name in ("Admin", "Paste a graph"):
        page.get_by_role("button", name=name).click()
        expect(page.get_by_role("dialog", name=name)).to_be_visible()
        assert violations(page) == []
        page.keyboard.press("Escape")


def test_the_colours_are_the_systems_until_switched(open_page: OpenPage) -> None:
    page = open_page(color_scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(colour)
    page.get_by_role("button", name="Light mode").click()
    light = page.evaluate(colour)
    assert dark != light
    page.reload()
    assert page.evaluate(colour) == light


def test_little_is_loaded_and_it_is_kept(open_page: OpenPage) -> None:
    page = open_page("/livez")
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))  # noqa: PLW0108 (Playwright marks it)
    page.goto("/")
    expect(page.get_by_role("textbox", name="Query as text")).to_be_visible()
    parts = [one for one in answers if "/static/" in one.url or one.url.endswith("/")]
    sizes = {one.url: one.request.sizes()["responseBodySize"] for one in parts}
    assert len(sizes) >= 3
    assert sum(sizes.values()) < LIMIT, sizes
    assert all(one.header_value("content-encoding") == "gzip" for one in parts if one.url.endswith(("js", "css", "/")))
    assert all("immutable" in str(one.header_value("cache-control")) for one in parts if "/assets/" in one.url)


def test_the_calls_are_documented_without_the_internet(open_page: OpenPage) -> None:
    page = open_page("/docs")
    expect(page.get_by_text("/search/batch").first).to_be_visible()
    page.locator(".opblock-summary").first.click()
    expect(page.get_by_role("button", name="Try it out").first).to_be_visible()
