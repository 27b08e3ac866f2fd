"""The catalogue over HTTP: images come, change and go while the service runs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from service.app import create_app
from service.settings import Settings
from tests.integration.conftest import ADMIN, ADMIN_KEY, NewDatabase, Place, Service, serving, until

GRAPH: Final[dict[str, Any]] = {
    "objects": [{"id": "m", "name": "man", "attributes": ["tall"], "x": 1, "y": 2, "w": 30, "h": 40},
                {"id": "h", "name": "horse", "attributes": [], "x": 5, "y": 6, "w": 70, "h": 80}],
    "relationships": [{"subject": "m", "predicate": "riding", "object": "h"}],
}  # fmt: skip
BODY: Final[dict[str, Any]] = {
    "graph": GRAPH,
    "url": "https://images.example/a b.jpg",
    "width": 640,
    "height": 480,
    "metadata": {"licence": "CC BY 4.0", "tags": ["日本", None, {"a": 0.5}]},
}


@pytest.fixture(scope="module")
def changing(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose catalogue these tests change, each with images of its own."""
    place = Place(database_url=new_database(), data_dir=tmp_path_factory.mktemp("data"))
    place.fill(20)
    place.build(place.checkpoint("first"))
    with serving(place) as service:
        yield service


def put(service: Service, image_id: str, body: object = BODY) -> httpx.Response:
    return service.client.put(f"/images/{image_id}", json=body, headers=ADMIN)


def found(service: Service, graph: dict[str, Any] = GRAPH) -> set[str]:
    return {item["image_id"] for item in service.search(graph, limit=1000).json()["results"]}


@pytest.mark.parametrize("image_id", ["new", "a/b/c", "ä 日本", "thumbnail.svg", "a%b"])
def test_an_image_is_put_read_found_and_deleted(changing: Service, image_id: str) -> None:
    path = f"/images/{image_id.replace('%', '%25')}"
    created = changing.client.put(path, json=BODY, headers=ADMIN)

    assert created.status_code == 201
    document = created.json()
    assert {key: document[key] for key in BODY} == BODY
    assert document["image_id"] == image_id
    assert changing.client.get(path).json() == document
    until(lambda: image_id in found(changing), "the image is found")

    again = changing.client.put(path, json=BODY, headers=ADMIN)
    assert (again.status_code, again.json()) == (200, document), "nothing has changed, the time neither"
    replaced = changing.client.put(path, json={"graph": {"objects": ["dog"]}}, headers=ADMIN)
    assert (replaced.status_code, replaced.json()["url"], replaced.json()["metadata"]) == (200, None, None)
    assert replaced.json()["graph"]["objects"] == [{"id": "0", "name": "dog", "attributes": []}]

    deleted = changing.client.delete(path, headers=ADMIN)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert changing.client.delete(path, headers=ADMIN).status_code == 404
    assert changing.client.get(path).status_code == 404
    until(lambda: image_id not in found(changing), "the image is gone")


@pytest.mark.parametrize(
    "graph",
    [
        {"objects": ["man", "horse"], "relationships": [[0, "riding", 1]]},
        {"objects": [{"object_id": 7, "names": ["man"]}], "relationships": []},
        {"objects": {"1": {"name": "man", "relations": [{"name": "riding", "object": "2"}]}, "2": {"name": "horse"}}},
        {"objects": [{"id": 1, "name": None}, {"id": 2, "name": "horse"}],
         "relationships": [{"subject": 1, "predicate": "*", "object": 2}]},
    ],
)  # fmt: skip
def test_any_form_of_a_graph_is_taken(changing: Service, graph: dict[str, Any]) -> None:
    assert put(changing, "form", {"graph": graph}).status_code in (200, 201)


def deep(levels: int) -> dict[str, Any]:
    return {"a": deep(levels - 1)} if levels > 1 else {}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/graph"),
        ({"graph": {"objects": []}}, "/graph/objects"),
        ({"graph": {"objects": [{"id": 1, "name": 5}]}}, "/graph/objects/0/name"),
        ({"graph": {"objects": ["man"] * 257}}, "/graph/objects"),
        ({"graph": {"objects": ["m" * 201]}}, "/graph/objects/0"),
        (BODY | {"format": "dot"}, "/format"),
        (BODY | {"url": "a\nb"}, "/url"),
        (BODY | {"url": "a\0b"}, "/url"),
        (BODY | {"url": "u" * 2001}, "/url"),
        (BODY | {"width": 0}, "/width"),
        (BODY | {"height": True}, "/height"),
        (BODY | {"metadata": [1]}, "/metadata"),
        (BODY | {"metadata": {"a": "x" * 16 * 1024}}, "/metadata"),
        (BODY | {"metadata": deep(33)}, "/metadata"),
        (BODY | {"metadata": {"a": float("nan")}}, "/metadata"),
        (BODY | {"metadata": {"a": "\ud800"}}, "/metadata"),
        (BODY | {"other": 1}, "/other"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_place(changing: Service, body: object, pointer: str) -> None:
    answer = changing.client.put(
        "/images/refused", content=json.dumps(body), headers=ADMIN | {"Content-Type": "application/json"}
    )
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert [item["pointer"] for item in answer.json()["errors"]] == [pointer]
    assert changing.client.get("/images/refused").status_code == 404


def test_metadata_at_its_limits_comes_back(changing: Service) -> None:
    for metadata in (deep(32), {"a": "é" * (8 * 1024 - 5)}, {}, {"\0": "\n\u2028"}):
        answer = put(changing, "limits", BODY | {"metadata": metadata})
        assert answer.status_code in (200, 201), answer.text
        assert changing.client.get("/images/limits").json()["metadata"] == metadata


@pytest.mark.parametrize("image_id", ["a%09b", "x" * 201, "a%00b", ""])
def test_an_id_that_cannot_be_kept_is_refused(changing: Service, image_id: str) -> None:
    answer = put(changing, image_id)
    assert answer.status_code == 422, answer.text
    assert "image_id" in answer.json()["detail"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
@pytest.mark.parametrize("part", ["thumbnail.svg", "picture"])
def test_what_is_drawn_or_given_is_not_changed(changing: Service, method: str, part: str) -> None:
    answer = changing.client.request(method, f"/images/image-0001/{part}", json=BODY, headers=ADMIN)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET"), answer.text


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_changes_need_an_admin_key(changing: Service, method: str) -> None:
    for headers in ({}, {"X-API-Key": "wrong"}):
        answer = changing.client.request(method, "/images/image-0001", json=BODY, headers=headers)
        assert answer.status_code == 401
    assert changing.client.get("/images/image-0001").json()["url"] == "https://images.example/1.jpg"


def test_a_picture_is_drawn_and_need_not_be_sent_again(changing: Service) -> None:
    put(changing, "drawn/one")
    path = "/images/drawn/one/thumbnail.svg"
    picture = changing.client.get(path)

    assert picture.status_code == 200
    assert picture.headers["content-type"].startswith("image/svg+xml")
    assert picture.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert picture.headers["cache-control"] == "no-cache"
    assert ET.fromstring(picture.text).attrib["viewBox"] == "0 0 320 240"
    known = {"If-None-Match": picture.headers["etag"]}
    assert changing.client.get(path, headers=known).status_code == 304
    put(changing, "drawn/one", {"graph": {"objects": ["dog"]}})
    assert changing.client.get(path, headers=known).status_code == 200
    assert changing.client.get("/images/none/thumbnail.svg").status_code == 404


def test_a_file_is_given_from_the_directory_of_pictures_alone(indexed_place: Place, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for name in ("pictures/1.svg", "2.svg"):
        (tmp_path / name).write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    settings = Settings(
        database_url=SecretStr(indexed_place.database_url),
        data_dir=indexed_place.data_dir,
        admin_keys=(SecretStr(ADMIN_KEY),),
        pictures_dir=tmp_path / "pictures",
    )
    with TestClient(create_app(settings)) as client:
        for image_id, name in (("pictured/in", "pictures/1.svg"), ("pictured/out", "2.svg")):
            body = BODY | {"url": (tmp_path / name).as_uri()}
            assert client.put(f"/images/{image_id}", json=body, headers=ADMIN).status_code == 201
        picture = client.get("/images/pictured/in/picture")

        assert (picture.status_code, picture.text) == (200, "<svg xmlns='http://www.w3.org/2000/svg'/>")
        assert picture.headers["content-type"].startswith("image/svg+xml")
        assert picture.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'"
        for image_id in ("pictured/out", "image-0001", "none"):
            assert client.get(f"/images/{image_id}/picture").status_code == 404
        for image_id in ("pictured/in", "pictured/out"):
            assert client.delete(f"/images/{image_id}", headers=ADMIN).status_code == 204
