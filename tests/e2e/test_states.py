"""Each state that people meet says what happened and what to do, and ends by itself where it can."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.conftest import OpenPage
from tests.factories import make_records
from tests.integration.conftest import ADMIN, Place, serving, until
from tests.integration.test_service_load import with_settings


def ask(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Query as text").fill(text)


def test_nothing_is_asked_for_yet(open_page: OpenPage) -> None:
    page = open_page()
    expect(page.get_by_role("status").first).to_contain_text("Nothing is asked for yet")
    expect(page.get_by_role("group", name="Examples").get_by_role("button").first).to_be_visible()
    expect(page.get_by_text("Add objects below")).to_be_visible()


def test_nothing_is_found(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("textbox", name="Condition").fill("zzyzx")
    page.get_by_role("button", name="Add filter").click()
    expect(page.get_by_role("status").first).to_contain_text("Nothing found")
    expect(page.locator("ul[aria-label=Results] > li")).to_have_count(0)


def test_without_an_index_and_without_images_it_is_said_what_to_do(
    open_page: OpenPage, built_page: None, tmp_path: Path
) -> None:
    place = Place(database_url=f"sqlite:///{tmp_path}/scenerank.db", data_dir=tmp_path / "data")
    place.fill(2)
    with serving(place, stderr=subprocess.DEVNULL) as service:
        page = open_page(of=service, of_catalogue=("https://images.example/",))
        expect(page.get_by_role("alert")).to_contain_text("There is nothing to search in yet")
        expect(page.get_by_role("alert")).to_contain_text("scenerank index build")
        place.build(place.checkpoint("first"))
        expect(page.get_by_role("status").first).to_contain_text("some of 2 images")
        expect(page.get_by_role("alert")).to_have_count(0)

        for image in make_records(2):
            service.client.delete(f"/images/{image.image_id}", headers=ADMIN).raise_for_status()
        until(lambda: service.search({"objects": ["*"]}).json()["total"] == 0, "the images are gone")
        page.reload()
        expect(page.get_by_role("status").first).to_contain_text("The catalogue is empty")


def test_a_browser_that_keeps_nothing_is_enough(open_page: OpenPage, world: Place) -> None:
    with serving(with_settings(world, SEARCH_KEYS="sesame"), stderr=subprocess.DEVNULL) as service:
        page = open_page("/livez", of=service)
        for name in ("localStorage", "sessionStorage"):
            refusal = "() => { throw new DOMException('refused', 'SecurityError'); }"
            page.add_init_script(f"Object.defineProperty(window, '{name}', {{ get: {refusal} }})")
        page.goto("/")
        page.get_by_label("Search key").fill("sesame")
        page.get_by_role("button", name="Use key").click()
        ask(page, "dog on couch")
        expect(page.get_by_role("status").first).to_contain_text("best first")
        page.get_by_role("button", name="Dark mode").click()
        expect(page.get_by_role("button", name="Light mode")).to_be_visible()


def test_an_address_that_holds_no_graph_opens_an_empty_page(open_page: OpenPage) -> None:
    page = open_page('/#g={"objects":[null],"relationships":7}')
    expect(page.get_by_role("status").first).to_contain_text("Nothing is asked for yet")


def test_offline_is_said_and_ends_by_itself(open_page: OpenPage) -> None:
    page = open_page()
    ask(page, "dog")
    expect(page.get_by_role("status").first).to_contain_text("best first")
    page.context.set_offline(True)
    ask(page, "dog on couch")
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached")
    page.context.set_offline(False)
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_role("status").first).to_contain_text("best first")


def test_too_many_requests_are_waited_out(open_page: OpenPage, world: Place) -> None:
    with serving(with_settings(world, RATE_LIMIT="0.5", RATE_BURST="5"), stderr=subprocess.DEVNULL) as service:
        page = open_page(of=service)
        for name in ("dog", "cat", "man", "horse", "couch", "hat", "tree", "boat", "bird", "bench"):
            if page.get_by_role("alert").count() == 0:
                ask(page, name)
                page.wait_for_timeout(400)
        expect(page.get_by_role("alert")).to_contain_text("That was too fast")
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(page.get_by_role("status").first).to_contain_text("best first")


def test_a_search_key_is_asked_for_and_taken(open_page: OpenPage, world: Place) -> None:
    with serving(with_settings(world, SEARCH_KEYS="sesame"), stderr=subprocess.DEVNULL) as service:
        page = open_page(of=service)
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("This service asks for a key")
        for key in ("wrong", "sesame"):
            alert.get_by_label("Search key").fill(key)
            alert.get_by_role("button", name="Use key").click()
            if key == "wrong":
                expect(alert).to_contain_text("That key is not accepted")
        expect(alert).to_have_count(0)
        ask(page, "dog on couch")
        expect(page.get_by_role("status").first).to_contain_text("best first")


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (503, "overloaded", "Many people are searching"),
        (503, "draining", "The service is restarting"),
        (503, "database-unavailable", "The catalogue cannot be reached"),
        (504, "deadline-exceeded", "That took too long"),
        (413, "too-large", "That scene is too large"),
    ],
)
def test_what_the_service_refuses_is_said_and_tried_again(
    open_page: OpenPage, status: int, kind: str, said: str
) -> None:
    page = open_page()
    page.route("**/search", refusing(status, kind))
    ask(page, "dog")
    expect(page.get_by_role("alert")).to_contain_text(said)
    page.unroute("**/search")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_role("status").first).to_contain_text("best first")


def refusing(status: int, kind: str) -> Callable[[Route], None]:
    """The service's own form of a refusal."""
    problem: dict[str, Any] = {"type": f"urn:scenerank:problem:{kind}", "title": kind, "status": status, "detail": kind}
    return lambda route: route.fulfill(
        status=status,
        content_type="application/problem+json",
        headers={"Retry-After": "60"},
        body=json.dumps(problem),
    )
