"""A query is drawn, by mouse and by keyboard alone, and written; each shows in the other."""

from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import OpenPage, expect_ranking, ranked
from tests.integration.conftest import Service

SCENE = {
    "objects": ["woman", "bench", "dog"],
    "relationships": [[0, "sitting on", 1], [2, "next to", 1]],
}


def line(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Query as text")


def add(page: Page, name: str) -> None:
    page.get_by_role("combobox", name="Object name").fill(name)
    page.get_by_role("button", name="Add object").click()
    expect(page.get_by_role("group", name=f"Object {name}", exact=True)).to_be_visible()


def drag(page: Page, subject: str, to: str) -> None:
    """From an object's dot to another object."""
    page.wait_for_timeout(300)  # the drawing moves until all of it is in view
    start = page.get_by_role("group", name=f"Object {subject}", exact=True).locator(".draw-from").bounding_box()
    end = page.get_by_role("group", name=f"Object {to}", exact=True).bounding_box()
    assert start is not None
    assert end is not None
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2, steps=8)
    page.mouse.up()


def predicate(page: Page, name: str) -> None:
    field = page.get_by_role("combobox", name="Predicate")
    field.fill(name)
    field.press("Enter")


def test_a_scene_of_two_relationships_is_drawn_with_the_mouse(open_page: OpenPage, service: Service) -> None:
    page = open_page()
    for name in ("woman", "bench", "dog"):
        add(page, name)
    drag(page, "woman", "bench")
    predicate(page, "sitting on")
    drag(page, "dog", "bench")
    predicate(page, "next to")
    expect(line(page)).to_have_value("woman sitting on bench; dog next to bench")
    expect_ranking(page, ranked(service, graph=SCENE)[:8])


def test_the_same_is_drawn_by_keyboard_alone(open_page: OpenPage, service: Service) -> None:
    page = open_page()
    keys = page.keyboard
    go(page, "Object name")
    for name in ("woman", "bench", "dog"):
        keys.type(name)
        keys.press("Enter")
        go(page, "Object name")
    relate(page, "woman", "bench", "sitting on")
    relate(page, "dog", "bench", "next to")
    expect(line(page)).to_have_value("woman sitting on bench; dog next to bench")
    expect_ranking(page, ranked(service, graph=SCENE)[:8])

    go(page, "dog next to bench")
    keys.press("Delete")
    go(page, "Object dog")
    keys.press("Delete")
    expect(line(page)).to_have_value("woman sitting on bench")
    keys.press("Control+z")
    keys.press("Control+z")
    expect(line(page)).to_have_value("woman sitting on bench; dog next to bench")
    keys.press("Control+Shift+z")
    expect(line(page)).to_have_value("woman sitting on bench; dog")


def go(page: Page, name: str) -> None:
    """Press Tab until something of that name has the focus."""
    for key in ("Tab",) * 30 + ("Shift+Tab",) * 90:
        focused = page.evaluate(
            "document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.innerText"
        )
        if str(focused).strip() == name:
            return
        page.keyboard.press(key)
    raise AssertionError(f"Tab never comes to {name}")


def relate(page: Page, subject: str, to: str, predicate: str) -> None:
    go(page, f"Object {subject}")
    page.keyboard.press("Enter")
    go(page, "Relate to")
    page.keyboard.type(to)
    go(page, "Relate")
    page.keyboard.press("Enter")
    expect(page.get_by_role("combobox", name="Predicate")).to_be_focused()
    page.keyboard.type(predicate)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")


def test_what_is_written_is_drawn_and_what_is_drawn_is_written(open_page: OpenPage) -> None:
    page = open_page()
    line(page).fill("man riding horse; man#2 next to horse; tall man; not car")
    for name in ("Object tall man", "Object man#2", "Object horse"):
        expect(page.get_by_role("group", name=name, exact=True)).to_be_visible()
    arrows = page.get_by_role("region", name="Drawing")
    expect(arrows.get_by_label("man riding horse", exact=True)).to_be_attached()
    expect(page.get_by_role("list", name="Active filters")).to_have_text("must not have car")

    page.get_by_role("group", name="Object horse", exact=True).click()
    field = page.get_by_role("combobox", name="Name", exact=True)
    field.fill("elephant")
    field.press("Enter")
    expect(line(page)).to_have_value("man riding elephant; man#2 next to elephant; tall man; not car")
    page.get_by_role("button", name="Remove filter must not have car").click()
    page.get_by_role("group", name="Object tall man", exact=True).click()
    page.get_by_role("button", name="Remove attribute tall").click()
    expect(line(page)).to_have_value("man riding elephant; man#2 next to elephant")


def test_undo_and_redo_go_through_every_change(open_page: OpenPage) -> None:
    page = open_page()
    undo, redo = (page.get_by_role("button", name=name) for name in ("Undo", "Redo"))
    expect(undo).to_be_disabled()
    for name in ("dog", "couch"):
        add(page, name)
    drag(page, "dog", "couch")
    predicate(page, "on")
    page.get_by_role("button", name="Clear", exact=True).click()
    texts = ["", "dog", "dog; couch", "dog * couch", "dog on couch", ""]
    for text in reversed(texts[:-1]):
        undo.click()
        expect(line(page)).to_have_value(text)
    expect(undo).to_be_disabled()
    for text in texts[1:]:
        redo.click()
        expect(line(page)).to_have_value(text)
    expect(redo).to_be_disabled()


def test_nothing_is_undone_where_nothing_was_done(open_page: OpenPage) -> None:
    page = open_page()
    line(page).press_sequentially("  ")
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()


def test_names_are_completed_with_how_many_images_have_them(open_page: OpenPage, service: Service) -> None:
    page = open_page()
    field = page.get_by_role("combobox", name="Object name")
    field.fill("hor")
    names = service.client.get("/vocabulary?kind=object&prefix=hor&limit=5").raise_for_status().json()["names"]
    options = page.get_by_role("listbox", name="Object name suggestions").get_by_role("option")
    expect(options.first).to_contain_text(names[0]["name"])
    expect(options.first).to_contain_text(str(names[0]["images"]))
    field.press("ArrowDown")
    field.press("Enter")
    expect(page.get_by_role("group", name=f"Object {names[0]['name']}", exact=True)).to_be_visible()


def test_a_word_that_is_not_known_is_said_to_be_taken_for_another(open_page: OpenPage, service: Service) -> None:
    page = open_page()
    line(page).fill("kittens on zzyzx")
    answer = service.client.post("/search", json={"text": "kittens on zzyzx"}).json()
    taken = {warning["word"]: warning["taken_for"] for warning in answer["warnings"]}
    assert taken == {"kittens": "kitten", "zzyzx": None}
    hints = page.get_by_role("list", name="Hints").get_by_role("listitem")
    expect(hints).to_have_count(2)
    expect(hints.first).to_contain_text("kittens is taken for kitten, its plural")
    expect(hints.last).to_contain_text("zzyzx is a word that the model does not know")


def test_a_line_that_cannot_be_read_is_answered_with_the_place(open_page: OpenPage) -> None:
    page = open_page()
    line(page).fill('dog on couch; not "car')
    expect(page.get_by_role("alert")).to_contain_text("Column 19")
    line(page).fill("dog on couch; not cat")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_filters_decide_before_the_ranking(open_page: OpenPage, service: Service) -> None:
    page = open_page()
    line(page).fill("dog")
    condition = page.get_by_role("textbox", name="Condition")
    condition.fill("man riding *")
    page.get_by_role("button", name="Add filter").click()
    page.get_by_label("Filter kind").select_option(label="must not have")
    condition.fill("horse")
    condition.press("Enter")
    wanted = {"must": [{"triple": ["man", "riding", None]}], "must_not": [{"object": "horse"}]}
    expect(page.get_by_role("list", name="Active filters").get_by_role("listitem")).to_have_count(2)
    answer = service.client.post("/search", json={"text": "dog", "filter": wanted}).json()
    expect(page.get_by_role("status").first).to_have_text(f"{answer['total']} images, best first")
    expect_ranking(page, [result["image_id"] for result in answer["results"]][:5])
    page.get_by_role("button", name="Remove filter must not have horse").click()
    page.get_by_role("button", name="Remove filter must have man riding").click()
    expect(page.get_by_role("status").first).to_have_text("300 images, best first")
