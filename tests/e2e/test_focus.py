"""Who works at the keyboard is never thrown out: where a button goes away, the focus goes to what comes next."""

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import OpenPage, clipboard
from tests.e2e.test_page_quality import PHONE


def ask(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Query as text").fill(text)
    expect(page.get_by_role("status").first).to_contain_text("best first")


@pytest.mark.parametrize(
    ("button", "field"),
    [
        ("Remove filter must not have car", "Condition"),
        ("Remove attribute tall", "Attribute"),
        ("Empty the line", "Query as text"),
    ],
)
def test_after_something_is_removed_the_next_can_be_entered(open_page: OpenPage, button: str, field: str) -> None:
    page = open_page()
    ask(page, "tall man; not car")
    page.get_by_role("group", name="Object tall man", exact=True).click()
    page.get_by_role("button", name=button).press("Enter")
    expect(page.get_by_role("button", name=button)).to_have_count(0)
    expect(page.get_by_label(field, exact=True)).to_be_focused()


def test_on_a_phone_the_way_down_leads_to_the_results(open_page: OpenPage) -> None:
    page = open_page(viewport=PHONE)
    ask(page, "dog on couch")
    page.get_by_role("button", name="See 300 images").press("Enter")
    expect(page.get_by_role("button", name="See 300 images")).to_have_count(0)
    expect(page.get_by_role("heading", name="Results")).to_be_focused()


def test_what_is_copied_the_old_way_leaves_the_focus_alone(open_page: OpenPage) -> None:
    page = open_page()
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('only over HTTPS')); }")
    copy = page.get_by_role("button", name="Copy link")
    copy.press("Enter")
    expect(page.get_by_text("Link copied")).to_be_visible()
    expect(copy).to_be_focused()
    assert clipboard(page) == page.url


def test_what_was_copied_last_is_said_as_long_as_what_was_copied_first(open_page: OpenPage) -> None:
    page = open_page()
    page.clock.install()
    page.get_by_role("button", name="Copy as JSON").click()
    expect(page.get_by_text("JSON copied")).to_be_visible()
    page.clock.run_for(2000)
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("Link copied")).to_be_visible()
    page.clock.run_for(2000)
    expect(page.get_by_text("Link copied")).to_be_visible()
    page.clock.run_for(2000)
    expect(page.get_by_text("Link copied")).to_have_count(0)


def test_text_that_is_selected_beyond_a_dialog_does_not_close_it(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("button", name="Paste a graph").click()
    field = page.get_by_role("textbox", name="Graph")
    field.fill("dog on couch")
    box = field.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 40, box["y"] + 12)
    page.mouse.down()
    page.mouse.move(5, box["y"] + 12, steps=4)
    page.mouse.up()
    expect(field).to_have_value("dog on couch")
    page.mouse.click(5, box["y"])
    expect(page.get_by_role("dialog")).to_have_count(0)
