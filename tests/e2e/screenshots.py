"""Takes the screenshots of the documents: `make screenshots`. Look at each of them before you commit it."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.conftest import CHROMIUM
from tests.integration.conftest import Place, serving
from tests.integration.test_service_load import with_settings

OUT: Final = Path(__file__).parents[2] / "docs" / "screenshots"
DESKTOP: Final = {"width": 1280, "height": 860}
PHONE: Final = {"width": 390, "height": 844}
SCENE: Final = "man riding horse; woman walking dog; horse standing on sand"


def main() -> None:
    """Build the demo world where `make demo` does, serve it, and go through five states of its page."""
    demo = Path("demo").absolute()
    subprocess.run([sys.executable, "-m", "scenerank", "demo", "--check", "--dir", demo, "--port", "0"], check=True)
    data = Place(database_url=f"sqlite:///{demo}/data/scenerank.db", data_dir=demo / "data")
    place = with_settings(data, PICTURES_DIR=str(demo / "world" / "pictures"))
    OUT.mkdir(exist_ok=True)
    with serving(place, stderr=subprocess.DEVNULL) as service, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM)
        base = str(service.client.base_url)
        take(opened(browser, base, "dog on couch", viewport=DESKTOP, color_scheme="light"), "light")
        take(opened(browser, base, "woman holding umbrella; not man", viewport=DESKTOP, color_scheme="dark"), "dark")
        take(opened(browser, base, "dog on couch", viewport=PHONE, has_touch=True), "phone")
        drawing = opened(browser, base, SCENE, viewport=DESKTOP)
        drawing.get_by_role("group", name="Object horse", exact=True).click()
        expect(drawing.get_by_role("region", name="Selection")).to_be_visible()
        take(drawing, "drawing")
        result = opened(browser, base, SCENE, viewport=DESKTOP)
        result.locator("ul[aria-label=Results] > li").first.get_by_role("button").click()
        expect(result.get_by_role("dialog")).to_be_visible()
        take(result, "result")
        browser.close()


def opened(browser: Browser, base: str, query: str, **options: Any) -> Page:  # noqa: ANN401 (Playwright's)
    """The page with an answered query, all its pictures loaded."""
    page = browser.new_context(base_url=base, reduced_motion="reduce", **options).new_page()
    page.goto("/#" + f"q={query}".replace(" ", "%20").replace(";", "%3B"))
    expect(page.get_by_role("status").first).to_contain_text("best first")
    page.wait_for_load_state("networkidle")
    return page


def take(page: Page, name: str) -> None:
    page.wait_for_timeout(500)  # the drawing comes to rest
    path = OUT / f"{name}.png"
    page.screenshot(path=path)
    print(f"{path.relative_to(Path.cwd())}: {path.stat().st_size / 1000:.0f} kB")  # noqa: T201


if __name__ == "__main__":
    main()
