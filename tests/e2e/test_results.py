"""What the page shows of the ranking, and what can be done with it; queries that come from elsewhere."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import OpenPage, clipboard, expect_ranking, ranked, starting
from tests.integration.conftest import Service

QUERY: Final = "man riding horse; dog next to man"
VISUAL_GENOME: Final = {
    "image_id": 7,
    "objects": [
        {"object_id": 11, "names": ["woman"], "x": 5, "y": 5, "w": 50, "h": 90},
        {"object_id": 12, "names": ["bench"], "x": 5, "y": 50, "w": 90, "h": 40},
    ],
    "relationships": [{"relationship_id": 1, "predicate": "sitting on", "subject_id": 11, "object_id": 12}],
}
GQA: Final = {
    "width": 100,
    "height": 100,
    "objects": {
        "11": {"name": "woman", "attributes": [], "relations": [{"name": "sitting on", "object": "12"}]},
        "12": {"name": "bench", "attributes": [], "relations": []},
    },
}


def first(service: Service, text: str) -> dict[str, Any]:
    """The best image, with all that is known of it."""
    answer = service.client.post("/search", json={"text": text, "limit": 1, "explain": True, "with_graph": True})
    result: dict[str, Any] = answer.raise_for_status().json()["results"][0]
    return result


def ask(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Query as text").fill(text)


def test_each_image_shows_what_of_the_query_it_has_and_misses(open_page: OpenPage, service: Service) -> None:
    page = open_page()
    ask(page, QUERY)
    answer = service.client.post("/search", json={"text": QUERY, "explain": True}).json()
    expect_ranking(page, [result["image_id"] for result in answer["results"]])
    seen = set()
    for result in answer["results"]:
        card = page.get_by_role("listitem", name=starting(f"Image {result['image_id']}, rank"))
        for kind, word in (("matched", "has"), ("missing", "misses")):
            for one in result["explanation"][kind]:
                seen.add(kind)
                expect(card.locator("li", has_text=f"{word} {' '.join(one)}")).to_be_attached()
        # What stands for an object of the query is marked on the picture.
        stand_ins = [one for one in result["explanation"]["objects"].values() if one is not None]
        expect(card.locator("svg .mark")).to_have_count(len(stand_ins))
    assert seen == {"matched", "missing"}
    expect(page.locator("svg .arrow").first).to_be_attached()


def test_pictures_are_those_of_the_catalogue(open_page: OpenPage, service: Service) -> None:
    page = open_page()
    ask(page, QUERY)
    best = first(service, QUERY)["image_id"]
    picture = page.get_by_role("listitem", name=starting(f"Image {best}, rank 1")).locator("img")
    expect(picture).to_have_attribute("src", f"/images/{best}/picture")
    page.wait_for_function("element => element.naturalWidth > 0", arg=picture.element_handle())


def test_an_image_is_opened_searched_with_and_watched_while_parts_are_removed(
    open_page: OpenPage, service: Service
) -> None:
    page = open_page()
    ask(page, QUERY)
    best = first(service, QUERY)
    page.get_by_role("button", name=f"Open image {best['image_id']}", exact=True).click()
    dialog = page.get_by_role("dialog", name=f"Image {best['image_id']}")
    relationships = dialog.get_by_role("list", name="Relationships").get_by_role("listitem")
    expect(relationships).to_have_count(len(best["graph"]["relationships"]))
    dialog.get_by_role("button", name="Search with this graph").click()
    expect(dialog).to_have_count(0)
    expect_ranking(page, [best["image_id"]])
    watch = page.locator(".watch")
    expect(watch).to_contain_text(re.compile(r"rank 1(?!\d)"))

    drawing = page.get_by_role("region", name="Drawing")
    expect(drawing.get_by_role("group", name=starting("Object "))).to_have_count(len(best["graph"]["objects"]))
    one = drawing.get_by_role("group", name=starting("Object ")).first
    one.focus()
    one.press("Delete")
    expect(drawing.get_by_role("group", name=starting("Object "))).to_have_count(len(best["graph"]["objects"]) - 1)
    expect(watch).to_contain_text(re.compile(r"rank 1 → \d+ \((unmoved|down \d+)\)"))
    page.get_by_role("button", name="Stop watching").click()
    expect(watch).to_have_count(0)


def test_a_rank_that_cannot_be_found_out_is_not_the_one_before(open_page: OpenPage, service: Service) -> None:
    page = open_page()
    ask(page, QUERY)
    best = first(service, QUERY)
    page.get_by_role("button", name=f"Open image {best['image_id']}", exact=True).click()
    page.get_by_role("button", name="Search with this graph").click()
    watch = page.locator(".watch")
    expect(watch).to_contain_text(re.compile(r"rank 1(?!\d)"))
    page.route(
        "**/search",
        lambda route: route.abort() if '"limit":1000' in str(route.request.post_data) else route.continue_(),
    )
    ask(page, "boat; not man")  # which the image has
    expect(watch).to_contain_text("rank 1 → …")


def test_more_results_come_as_somebody_scrolls_until_there_are_no_more(open_page: OpenPage, service: Service) -> None:
    page = open_page()
    ask(page, "dog on couch; not man")
    answer = service.client.post("/search", json={"text": "dog on couch; not man", "limit": 300}).json()
    items = page.locator("ul[aria-label=Results] > li")
    expect(items).to_have_count(24)
    for _ in range(40):
        page.mouse.wheel(0, 20_000)
        if items.count() == answer["total"]:
            break
        page.wait_for_timeout(100)
    expect(items).to_have_count(answer["total"])
    expect_ranking(page, [result["image_id"] for result in answer["results"]])
    expect(page.get_by_role("button", name="More results")).to_have_count(0)


@pytest.mark.parametrize("graph", [VISUAL_GENOME, GQA], ids=["visual-genome", "gqa"])
@pytest.mark.parametrize("way", ["dialog", "drop"])
def test_graphs_in_other_forms_are_taken(
    open_page: OpenPage, service: Service, graph: dict[str, Any], way: str
) -> None:
    page = open_page()
    if way == "dialog":
        page.get_by_role("button", name="Paste a graph").click()
        page.get_by_role("textbox", name="Graph").fill(json.dumps(graph))
        page.get_by_role("button", name="Use graph").click()
    else:
        page.evaluate(
            """text => {
                const data = new DataTransfer();
                data.items.add(new File([text], "scene.json", { type: "application/json" }));
                document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
            }""",
            json.dumps(graph),
        )
    expect(page.get_by_role("textbox", name="Query as text")).to_have_value("woman sitting on bench")
    expect_ranking(page, ranked(service, graph=graph)[:8])


def test_what_is_no_graph_is_refused_with_the_reason(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("button", name="Paste a graph").click()
    for text in ('{"objects": [', '{"objects": ["dog"], "relationships": [[0, "on", 7]]}', "[]"):
        page.get_by_role("textbox", name="Graph").fill(text)
        page.get_by_role("button", name="Use graph").click()
        expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_link_brings_the_same_query_with_its_filters(open_page: OpenPage) -> None:
    page = open_page()
    ask(page, QUERY + "; not car")
    page.get_by_role("textbox", name="Condition").fill("hat")
    page.get_by_role("button", name="Add filter").click()
    expect(page.get_by_role("list", name="Active filters").get_by_role("listitem")).to_have_count(2)
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_text("Link copied")).to_be_visible()
    link = str(clipboard(page))

    other = open_page(link)
    for there in (page, other):
        expect(there.get_by_role("textbox", name="Query as text")).to_have_value(QUERY + "; not car")
        expect(there.get_by_role("list", name="Active filters")).to_contain_text("must have hat")
        expect(there.get_by_role("group", name="Object horse", exact=True)).to_be_visible()
    expect(other.get_by_role("status").first).to_have_text(str(page.get_by_role("status").first.text_content()))


def test_the_query_is_copied_as_json_and_as_a_command_that_ask_the_same(
    open_page: OpenPage, service: Service, tmp_path: Path
) -> None:
    page = open_page()
    ask(page, QUERY + "; not car")
    expect(page.get_by_role("group", name="Object horse", exact=True)).to_be_visible()
    wanted = ranked(service, text=QUERY + "; not car")
    page.get_by_role("button", name="Copy as JSON").click()
    expect(page.get_by_text("JSON copied")).to_be_visible()
    body = clipboard(page)
    assert ranked(service, **{**body, "limit": 24}) == wanted
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_text("Command copied")).to_be_visible()
    command = str(clipboard(page))
    assert command.startswith("curl ")
    assert f"{service.client.base_url}".rstrip("/") + "/search" in command


def test_somebody_new_finds_a_dog_on_a_couch_with_one_click(open_page: OpenPage, service: Service) -> None:
    page = open_page()
    page.get_by_role("group", name="Examples").get_by_role("button", name="dog on couch", exact=True).click()
    expect_ranking(page, ranked(service, text="dog on couch"))
    best = page.locator("ul[aria-label=Results] > li").first
    expect(best.locator("li", has_text="has dog on couch")).to_be_attached()
