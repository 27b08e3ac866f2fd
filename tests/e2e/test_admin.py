"""The admin corner: a reindex that is watched, going back, and what happens without the key."""

import re

from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import IMAGES, OpenPage
from tests.integration.conftest import ADMIN_KEY, Service


def opened(page: Page, key: str | None) -> Locator:
    page.get_by_role("button", name="Admin").click()
    dialog = page.get_by_role("dialog", name="Admin")
    if key is not None:
        dialog.get_by_label("API key").fill(key)
        dialog.get_by_role("button", name="Use key").click()
    return dialog


def test_a_reindex_is_watched_and_gone_back_from(open_page: OpenPage, service: Service) -> None:
    page = open_page()
    before = service.client.get("/index").json()["version"]
    dialog = opened(page, ADMIN_KEY)
    expect(dialog.get_by_text("Images in the catalogue").locator("..")).to_contain_text(str(IMAGES))
    dialog.get_by_role("button", name="Reindex", exact=True).click()
    progress = dialog.get_by_role("progressbar", name="Reindex progress")
    expect(progress).to_be_visible()
    expect(dialog.get_by_role("status")).to_contain_text("done")
    expect(progress).to_have_attribute("value", str(IMAGES))
    after = service.client.get("/index").json()["version"]
    assert after != before

    rows = dialog.get_by_role("table", name="Index versions").get_by_role("row")
    expect(rows.nth(1)).to_contain_text("in use")
    dialog.get_by_role("button", name="Go back to this version").first.click()
    expect(rows.nth(2)).to_contain_text("in use")
    assert service.client.get("/index").json()["version"] == before
    page.keyboard.press("Escape")
    expect(page.get_by_role("status").first).to_have_text(re.compile(f"{IMAGES} images"))


def test_without_a_good_key_nothing_can_be_changed(open_page: OpenPage, service: Service) -> None:
    page = open_page()
    dialog = opened(page, None)
    expect(dialog.get_by_role("button", name="Reindex", exact=True)).to_be_disabled()
    dialog.get_by_label("API key").fill("wrong")
    dialog.get_by_role("button", name="Use key").click()
    dialog.get_by_role("button", name="Reindex", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("This key is not accepted")


def test_the_key_stays_in_its_tab_and_out_of_the_address(open_page: OpenPage, service: Service) -> None:
    page = open_page()
    opened(page, ADMIN_KEY)
    page.reload()
    dialog = opened(page, None)
    expect(dialog.get_by_label("API key")).to_have_value(ADMIN_KEY)
    kept = page.evaluate("[location.href, JSON.stringify(localStorage), document.cookie].join()")
    assert ADMIN_KEY not in kept
    expect(opened(open_page(), None).get_by_label("API key")).to_have_value("")
