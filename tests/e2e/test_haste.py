"""Somebody is faster than the service: what comes late changes nothing that is newer, and nothing is left behind."""

import json
import re
from collections.abc import Callable
from typing import Final

from playwright.sync_api import Locator, Page, Route, expect

from tests.e2e.conftest import OpenPage, ranked
from tests.integration.conftest import Service

Release = Callable[[], None]
SEARCH: Final = "**/search"
GRAPH: Final = {
    "objects": [{"id": "a", "name": "dog"}, {"id": "b", "name": "cat"}],
    "relationships": [{"subject": "a", "predicate": "next to", "object": "b"}],
}


def line(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Query as text")


def ask(page: Page, text: str) -> None:
    line(page).fill(text)
    expect(page.get_by_role("status").first).to_contain_text("best first")
    expect(page.get_by_role("list", name="Results")).to_have_attribute("aria-busy", "false")


def holding(page: Page, asked: str, holds: Callable[[str], bool]) -> Release:
    """Keeps what the page asks for, where the body or else the address is such, until it is released."""
    kept: list[Route] = []

    def hold(route: Route) -> None:
        if holds(route.request.post_data or route.request.url):
            kept.append(route)
        else:
            route.continue_()

    page.route(asked, hold)

    def release() -> None:
        for _ in range(100):
            page.wait_for_timeout(100)
            if kept:
                break
        assert kept, "it has been asked for"
        for route in kept:
            route.continue_()
        page.unroute(asked, hold)
        page.wait_for_timeout(600)  # an answer that changed something would have done so

    return release


def test_a_problem_ends_with_the_query_that_had_it(open_page: OpenPage) -> None:
    page = open_page()
    ask(page, "dog on couch")
    line(page).blur()
    problem = {"type": "urn:scenerank:problem:too-large", "title": "too large", "status": 413, "detail": "it is"}
    page.route(SEARCH, lambda route: route.fulfill(status=413, body=json.dumps(problem)))
    page.get_by_role("button", name="Anything").click()
    expect(page.get_by_role("alert")).to_contain_text("That scene is too large")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_role("status").first).to_contain_text("best first")


def test_an_image_is_opened_with_the_query_that_found_it(open_page: OpenPage) -> None:
    page = open_page()
    ask(page, "man riding horse; dog")
    release = holding(page, SEARCH, lambda body: "umbrella" in body)
    line(page).fill("umbrella; boat")
    page.locator("ul[aria-label=Results] > li").first.get_by_role("button").click()
    words = page.get_by_role("dialog").get_by_role("list", name="Of the query").get_by_role("listitem")
    before = words.all_text_contents()
    assert [one.split(" ", 1)[1] for one in sorted(before, key=len)] == ["dog", "man riding horse"]
    release()
    expect(page.get_by_text("images, best first")).to_be_attached()
    assert words.all_text_contents() == before
    page.keyboard.press("Escape")
    expect(page.get_by_role("group", name="Object boat", exact=True)).to_be_visible()


def test_a_filter_that_is_understood_late_leaves_the_next_one_as_typed(open_page: OpenPage) -> None:
    page = open_page()
    condition = page.get_by_role("textbox", name="Condition")
    filters = page.get_by_role("list", name="Active filters")
    for first, expected in (("car", "must have car"), ('"car', None)):
        release = holding(page, SEARCH, lambda body: "not" in body)
        condition.fill(first)
        condition.press("Enter")
        condition.fill("white horse")
        release()
        expect(condition).to_have_value("white horse")
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(condition).to_have_attribute("aria-invalid", "false")
        if expected is not None:
            expect(filters).to_have_text(expected)


def test_a_graph_that_is_given_up_is_not_taken(open_page: OpenPage) -> None:
    page = open_page()
    ask(page, "dog on couch")
    release = holding(page, SEARCH, lambda body: "umbrella" in body)
    page.get_by_role("button", name="Paste a graph").click()
    page.get_by_role("textbox", name="Graph").fill("woman holding umbrella")
    page.get_by_role("button", name="Use graph").click()
    page.get_by_role("button", name="Cancel").click()
    release()
    expect(line(page)).to_have_value("dog on couch")


def drop(page: Page, text: str) -> None:
    page.evaluate(
        """text => {
            const data = new DataTransfer();
            data.setData("text/plain", text);
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
        }""",
        text,
    )


def test_of_two_graphs_that_are_dropped_the_later_is_taken(open_page: OpenPage) -> None:
    page = open_page()
    release = holding(page, SEARCH, lambda body: "umbrella" in body)
    with page.expect_request(lambda request: "umbrella" in (request.post_data or "")):
        drop(page, "woman holding umbrella")
    drop(page, "man riding horse")
    expect(line(page)).to_have_value("man riding horse")
    release()
    expect(line(page)).to_have_value("man riding horse")


def test_what_cannot_be_read_from_the_disk_is_said(open_page: OpenPage) -> None:
    page = open_page()
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            const file = new File([], "a folder");
            File.prototype.text = () => Promise.reject(new DOMException("no file", "NotFoundError"));
            data.items.add(file);
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
        }"""
    )
    expect(page.get_by_role("dialog", name="Paste a graph").get_by_role("alert")).to_contain_text("no file")


def test_a_line_that_was_left_once_is_not_ended_while_it_is_typed_in_again(open_page: OpenPage) -> None:
    page = open_page()
    ask(page, "dog on couch")
    page.get_by_role("heading", name="SceneRank").click()
    line(page).click()
    line(page).press("End")
    line(page).press_sequentially("; ")
    page.wait_for_timeout(600)
    # A finger that scrolls ends so.
    page.evaluate("dispatchEvent(new PointerEvent('pointercancel'))")
    page.wait_for_timeout(100)
    expect(line(page)).to_have_value("dog on couch; ")


def test_what_is_typed_is_entered_and_not_what_was_suggested_before(open_page: OpenPage) -> None:
    page = open_page()
    field = page.get_by_role("combobox", name="Object name")
    field.fill("ho")
    expect(page.get_by_role("option").first).to_be_visible()
    field.press("ArrowDown")
    release = holding(page, "**/vocabulary?*", lambda address: "prefix=hot+air" in address)
    field.fill("hot air")
    field.press("Enter")
    expect(page.get_by_role("group", name="Object hot air", exact=True)).to_be_visible()
    release()


def test_a_list_of_names_that_fails_late_leaves_the_newer_one(open_page: OpenPage) -> None:
    page = open_page()
    kept: list[Route] = []
    page.route(re.compile("prefix=hor(&|$)"), lambda route: kept.append(route))  # noqa: PLW0108 (Playwright marks it)
    field = page.get_by_role("combobox", name="Object name")
    with page.expect_request(re.compile("prefix=hor(&|$)")):
        field.fill("hor")
    field.fill("ho")
    expect(page.get_by_role("option").first).to_be_visible()
    for route in kept:
        route.fulfill(status=500)
    page.wait_for_timeout(300)
    expect(page.get_by_role("option").first).to_be_visible()


def test_names_are_asked_for_again_where_another_key_was_entered(open_page: OpenPage) -> None:
    page = open_page("/livez")
    names = {"kind": "predicate", "names": []}
    page.route("**/vocabulary?kind=predicate*", lambda route: route.fulfill(body=json.dumps(names)))
    page.goto(f"/#g={json.dumps(GRAPH)}")
    expect(line(page)).to_have_value("dog [next to] cat")
    page.unroute("**/vocabulary?kind=predicate*")
    problem = {"type": "urn:scenerank:problem:key-required", "title": "key", "status": 401, "detail": "a key"}
    page.route(SEARCH, lambda route: route.fulfill(status=401, body=json.dumps(problem)))
    page.get_by_role("button", name="Anything").click()
    page.get_by_label("Search key").fill("sesame")
    page.unroute(SEARCH)
    page.get_by_role("button", name="Use key").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(line(page)).to_have_value("dog next to cat; *")


def test_no_words_of_an_image_are_left_from_the_query_before(open_page: OpenPage, service: Service) -> None:
    page = open_page()
    twice = "man riding horse; man#2 riding horse; dog"
    best = ranked(service, text=twice)[0]
    ask(page, f"{twice}; umbrella")
    card = page.get_by_role("listitem", name=f"Image {best}, rank ")
    expect(card.locator("li")).to_have_count(4)
    ask(page, "umbrella; dog")
    expect(card.locator("li")).to_have_count(2)
