"""The service over HTTP as a stranger uses it: partial graphs, broken requests, the catalogue, health."""

import json
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from model.graph_reader import MAX_PROBLEMS
from service.index.versions import open_version
from service.interpret import read_query_graph
from service.search import search
from service.settings import Settings
from tests.factories import make_records
from tests.integration.conftest import ADMIN, RECORDS, Place, Service, query_of, serving, until

HORSE: Final = {"objects": [{"id": "h", "name": "horse"}]}
RIDING: Final = {
    "objects": [{"id": "m", "name": "man"}, {"id": "h", "name": "horse"}],
    "relationships": [{"subject": "m", "predicate": "riding", "object": "h"}],
}
PARTIAL_GRAPHS: Final[dict[str, dict[str, Any]]] = {
    "one object": HORSE,
    "objects without relationships": {"objects": [{"id": 1, "name": "dog"}, {"id": 2, "name": "tree"}]},
    "wildcard object": {
        "objects": [{"id": "x", "name": None}, {"id": "t", "name": "table"}],
        "relationships": [{"subject": "x", "predicate": "on", "object": "t"}],
    },
    "wildcard end": {**HORSE, "relationships": [{"subject": None, "predicate": "on", "object": "h"}]},
    "wildcard predicate": {**RIDING, "relationships": [{"subject": "m", "predicate": "*", "object": "h"}]},
    "two men": {
        "objects": [{"id": 1, "name": "man"}, {"id": 2, "name": "man"}],
        "relationships": [{"subject": 1, "predicate": "next to", "object": 2}],
    },
    "self-loop and cycle": {
        "objects": [{"id": 1, "name": "man"}, {"id": 2, "name": "dog"}],
        "relationships": [
            {"subject": a, "predicate": "holding", "object": b} for a, b in ((1, 1), (1, 2), (2, 1))
        ],
    },
    "sg2im": {"objects": ["man", "horse"], "relationships": [[0, "riding", 1]]},
    "visual genome": {
        "objects": [{"object_id": 7, "names": ["man"], "synsets": []}, {"object_id": 8, "name": "horse"}],
        "relationships": [{"predicate": "riding", "subject_id": 7, "object_id": 8}],
    },
    "gqa": {
        "objects": {"1": {"name": "man", "relations": [{"name": "riding", "object": "2"}]}, "2": {"name": "horse"}}
    },
}  # fmt: skip

BROKEN: Final[dict[str, tuple[int, str | None, str | bytes]]] = {
    "empty graph": (422, "/graph/objects", '{"graph": {}}'),
    "no object": (422, "/graph/objects", '{"graph": {"objects": []}}'),
    "dangling id": (
        422,
        "/graph/relationships/0/object",
        '{"graph": {"objects": [{"id":1,"name":"man"}], "relationships": [{"subject":1,"predicate":"on","object":9}]}}',
    ),
    "graph of a wrong type": (422, "/graph", '{"graph": ["man"]}'),
    "name of a wrong type": (422, "/graph/objects/0/name", '{"graph": {"objects": [{"id": 1, "name": 5}]}}'),
    "limit of a wrong type": (422, "/limit", '{"graph": {"objects": ["man"]}, "limit": "10"}'),
    "limit true": (422, "/limit", '{"graph": {"objects": ["man"]}, "limit": true}'),
    "limit of zero": (422, "/limit", '{"graph": {"objects": ["man"]}, "limit": 0}'),
    "limit too high": (422, "/limit", '{"graph": {"objects": ["man"]}, "limit": 1001}'),
    "limit of twenty digits": (422, "/limit", '{"graph": {"objects": ["man"]}, "limit": 99999999999999999999}'),
    "window too deep": (422, "/offset", '{"graph": {"objects": ["man"]}, "offset": 9999}'),
    "negative offset": (422, "/offset", '{"graph": {"objects": ["man"]}, "offset": -1}'),
    "score that is no number": (422, "/min_score", '{"graph": {"objects": ["man"]}, "min_score": NaN}'),
    "score out of range": (422, "/min_score", '{"graph": {"objects": ["man"]}, "min_score": 1.5}'),
    "unknown format": (422, "/format", '{"graph": {"objects": ["man"]}, "format": "dot"}'),
    "broken text": (422, "/text", '{"text": "man riding \\"horse"}'),
    "long name in a text": (422, "/text", json.dumps({"text": "m" * 201})),
    "long text": (422, "/text", json.dumps({"text": "man;" * 1001})),
    "NUL in a text": (422, "/text", '{"text": "\\"\\\\u0000\\""}'),
    "long excluded name": (422, "/text", json.dumps({"text": "man; not " + "m" * 201})),
    "very many excluded": (422, "/filter", json.dumps({"text": "man" + "; not car" * 65})),
    "graph and image": (422, "/image_id", '{"graph": {"objects": ["man"]}, "image_id": "image-0001"}'),
    "format of an image": (422, "/format", '{"image_id": "image-0001", "format": "native"}'),
    "unknown image": (404, None, '{"image_id": "none"}'),
    "image with NUL": (404, None, '{"image_id": "\\u0000"}'),
    "no graph": (422, "/graph", '{"limit": 3}'),
    "unsupported field": (422, "/colour", '{"graph": {"objects": ["man"]}, "colour": {}}'),
    "condition of two kinds": (
        422,
        "/filter/must/0",
        '{"graph": {"objects": ["man"]}, "filter": {"must": [{"object": "car", "triple": ["man", "on", null]}]}}',
    ),
    "condition on any object": (
        422, "/filter/must_not/0", '{"graph": {"objects": ["man"]}, "filter": {"must_not": [{"object": "*"}]}}'
    ),
    "triple of two": (
        422,
        "/filter/must/0/triple",
        '{"graph": {"objects": ["man"]}, "filter": {"must": [{"triple": ["man", "on"]}]}}',
    ),
    "filter of a long name": (
        422,
        "/filter/must/0/attribute/1",
        json.dumps({"graph": {"objects": ["man"]}, "filter": {"must": [{"attribute": [None, "m" * 201]}]}}),
    ),
    "too many conditions": (
        422,
        "/filter",
        json.dumps(
            {"graph": {"objects": ["man"]}, "filter": {key: [{"object": "car"}] * 33 for key in ("must", "must_not")}}
        ),
    ),
    "strict and unknown in a filter": (
        422,
        "/filter/must/0/object",
        '{"graph": {"objects": ["man"]}, "filter": {"must": [{"object": "xyzzy"}]}, "strict": true}',
    ),
    "field with a lone surrogate": (422, "", '{"graph": {"objects": ["man"]}, "\\ud800": 1}'),
    "lone surrogate": (422, "/graph/objects/0", '{"graph": {"objects": ["\\ud800"]}}'),
    "NUL": (422, "/graph/objects/0", '{"graph": {"objects": ["a\\u0000"]}}'),
    "box of NaN": (422, "/graph/objects/0/x", '{"graph": {"objects": [{"id": 1, "name": "man", "x": NaN}]}}'),
    "too many objects": (422, "/graph/objects", json.dumps({"graph": {"objects": ["man"] * 257}})),
    "very many problems": (422, "/graph/objects/0/id", json.dumps({"graph": {"objects": [{}] * 250}})),
    "very many fields": (422, "", json.dumps({f"field-{number}": 1 for number in range(50_000)})),
    "a GQA id as long as the request": (
        422,
        None,
        json.dumps({"graph": {"objects": {"x" * 300_000: {"name": "man", "attributes": [1] * 100_000}}}}),
    ),
    "name too long": (422, "/graph/objects/0", json.dumps({"graph": {"objects": ["m" * 201]}})),
    "strict and unknown": (422, "/graph/objects/0/name", '{"graph": {"objects": ["zebra"]}, "strict": true}'),
    "not an object": (422, "", "[]"),
    "null": (422, "", "null"),
    "no body": (422, "", ""),
    "broken JSON": (400, None, '{"graph":'),
    "not UTF-8": (400, None, b'{"graph": "\xff\xfe"}'),
    "number of 5000 digits": (400, None, '{"graph": {"objects": ["man"]}, "limit": ' + "9" * 5000 + "}"),
    "nested deeply": (400, None, '{"graph":' + "[" * 200_000 + "]" * 200_000 + "}"),
    "10 MB": (413, None, " " * 10_000_000),
}  # fmt: skip


@pytest.mark.parametrize("graph", PARTIAL_GRAPHS.values(), ids=PARTIAL_GRAPHS)
def test_partial_graphs_get_ranked_images(service: Service, graph: dict[str, Any]) -> None:
    answer = service.search(graph, limit=5, with_graph=True)

    assert answer.status_code == 200
    document = answer.json()
    scores = [result["score"] for result in document["results"]]
    assert [result["rank"] for result in document["results"]] == [1, 2, 3, 4, 5]
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 for score in scores)
    assert document["total"] == RECORDS
    assert document["warnings"] == []
    first = document["results"][0]
    image = service.client.get(f"/images/{first['image_id']}").json()
    assert (first["url"], first["graph"]) == (image["url"], image["graph"])
    assert service.search(document["query"]).json()["results"][0]["image_id"] == first["image_id"]
    assert set(document["took_ms"]) == {"encode", "search", "total"}


def test_forms_of_one_graph_get_one_answer(service: Service) -> None:
    answers = [service.search(PARTIAL_GRAPHS[name]).json()["results"] for name in ("sg2im", "visual genome", "gqa")]

    assert all(answer == service.search(RIDING).json()["results"] for answer in answers)


def test_images_find_themselves_by_their_own_graph(service: Service) -> None:
    record = make_records(RECORDS)[9]
    graph = service.client.get(f"/images/{record.image_id}").json()["graph"]

    results = service.search(graph, limit=2, min_score=0.9999).json()["results"]

    # The image before this one has the same graph: equal scores, the lower id first.
    assert [result["image_id"] for result in results] == ["image-0008", "image-0009"]
    assert results[0]["score"] == results[1]["score"] == pytest.approx(1, abs=1e-5)


def test_unknown_words_are_told_and_answered(service: Service) -> None:
    graph = {"objects": [{"id": 1, "name": "Man"}, {"id": 2, "name": "pony"}, {"id": 3, "name": "xyzzy"}]}
    graph["objects"][0]["attributes"] = ["tall"]

    answer = service.search(graph)

    assert answer.status_code == 200
    warnings = [(item["pointer"], item["code"], item["taken_for"]) for item in answer.json()["warnings"]]
    assert warnings == [
        ("/graph/objects/0/name", "case", "man"),
        ("/graph/objects/1/name", "nearest", "horse"),
        ("/graph/objects/2/name", "unknown", None),
        ("/graph/objects/0/attributes", "attributes_not_scored", None),
    ]


@pytest.mark.parametrize(("status", "pointer", "body"), BROKEN.values(), ids=BROKEN)
def test_broken_requests_get_problem_documents(
    service: Service, status: int, pointer: str | None, body: str | bytes
) -> None:
    answer = service.client.post("/search", content=body, headers={"Content-Type": "application/json"})

    assert_problem(answer, status)
    assert len(answer.json().get("errors", ())) <= MAX_PROBLEMS
    assert len(answer.content) < 2 * len(body) + 30_000, "an answer is no larger than what it is about"
    if pointer is not None:
        assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_body_without_its_type_is_415(service: Service) -> None:
    assert_problem(service.client.post("/search", content=json.dumps({"graph": HORSE})), 415)


def test_a_body_over_the_limit_in_chunks_is_413(service: Service) -> None:
    def chunks() -> Iterator[bytes]:
        yield from [b" " * 65_536] * 40

    headers = {"Content-Type": "application/json"}
    assert_problem(service.client.post("/search", content=chunks(), headers=headers), 413)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/search", 405),
        ("GET", "/images/none", 404),
        ("GET", "/images/%00", 422),
        ("GET", "/images/" + "x" * 201, 422),
        ("GET", "/jobs/00000000-0000-4000-8000-000000000000", 404),
        ("GET", "/jobs/%00", 422),
        ("POST", "/reindex", 401),
    ],
)
def test_wrong_addresses_get_problem_documents(service: Service, method: str, path: str, status: int) -> None:
    answer = service.client.request(method, path)
    assert_problem(answer, status)
    assert "^[" not in answer.json()["detail"], "regular expressions are no explanation"


def test_reindex_opens_for_each_key_and_no_other(service: Service) -> None:
    assert_problem(service.client.post("/reindex", headers={"X-API-Key": "wrong"}), 401)
    assert_problem(service.client.post("/reindex", headers={b"X-API-Key": b"\xff"}), 401)
    for key in ("another", ADMIN["X-API-Key"]):
        # Past the key, the body is looked at.
        body = {"checkpoint": "../first"}
        assert_problem(service.client.post("/reindex", headers={"X-API-Key": key}, json=body), 422)


@pytest.mark.parametrize("name", ["../first", "/etc", "first/../first", ".", "", "x" * 65, "missing"])
def test_reindex_takes_no_path(service: Service, name: str) -> None:
    answer = service.reindex(checkpoint=name)

    assert_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == "/checkpoint"


def test_pages_neither_repeat_nor_lose_an_image(service: Service) -> None:
    pages = [service.search(HORSE, limit=37, offset=offset).json() for offset in range(0, RECORDS, 37)]

    results = [result for page in pages for result in page["results"]]
    assert [result["rank"] for result in results] == list(range(1, RECORDS + 1))
    assert {result["image_id"] for result in results} == {record.image_id for record in make_records(RECORDS)}
    assert results == sorted(results, key=lambda result: (-result["score"], result["image_id"]))


def test_min_score_cuts_off_and_counts(service: Service) -> None:
    everything = service.search(HORSE, limit=RECORDS).json()["results"]
    score = everything[20]["score"]
    expected = [result for result in everything if result["score"] >= score]

    answer = service.search(HORSE, limit=5, min_score=score).json()

    assert answer["total"] == len(expected) >= 21
    assert answer["results"] == expected[:5]


def test_answers_are_those_of_the_version_on_the_disk(service: Service) -> None:
    version = open_version(service.place.store.directory(service.place.store.current() or ""))
    graph = read_query_graph(RIDING, None, Settings())
    (expected,) = search([query_of(version, graph, limit=20, offset=3)])

    document = service.search(RIDING, limit=20, offset=3).json()

    assert [result["image_id"] for result in document["results"]] == [image.image_id for image in expected.images]
    assert [result["score"] for result in document["results"]] == pytest.approx(expected.scores, abs=2e-6)
    assert document["index_version"] == version.manifest.version
    assert document["model_version"] == version.checkpoint.digest


def test_request_ids_are_kept_if_sane(service: Service) -> None:
    def answered(given: str) -> str:
        return str(service.client.get("/livez", headers={"X-Request-Id": given}).headers["X-Request-Id"])

    assert answered("trace-1.a") == "trace-1.a"
    assert answered("no spaces") != "no spaces"
    assert answered("x" * 129) != "x" * 129
    assert answered("") != answered("")


def test_images_health_index_and_documentation_answer(service: Service) -> None:
    record = make_records(1)[0]
    image = service.client.get(f"/images/{record.image_id}").json()
    index = service.client.get("/index").json()
    document = service.client.get("/openapi.json").json()

    assert (image["url"], image["width"], image["height"]) == (record.url, record.width, record.height)
    assert image["graph"]["objects"][0]["x"] == record.graph.objects[0].box.x  # type: ignore[union-attr]
    assert (index["count"], index["catalogue_count"]) == (RECORDS, RECORDS)
    assert service.client.get("/livez").json() == {"status": "alive"}
    assert service.client.get("/readyz").json() == {"status": "ready", "index_version": index["version"]}
    assert "<title>SceneRank" in service.client.get("/").text
    assert "openapi.json" in service.client.get("/docs").text
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["summary"]
            problems = [answer for status, answer in operation["responses"].items() if status[0] in "45"]
            assert all(answer["content"].keys() == {"application/problem+json"} for answer in problems)
            assert problems


def test_the_documented_examples_work(service: Service) -> None:
    operation = service.client.get("/openapi.json").json()["paths"]["/search"]["post"]
    examples = operation["requestBody"]["content"]["application/json"]["examples"]

    assert len(examples) >= 4
    for example in examples.values():
        answer = service.client.post("/search", json=example["value"])
        assert (answer.status_code, answer.json().get("warnings")) == (200, [])


def test_without_an_index_searches_are_503_until_one_is_built(empty_place: Place) -> None:
    with serving(empty_place) as service:
        answer = service.search(HORSE)
        assert_problem(answer, 503)
        assert "scenerank index build" in answer.json()["detail"]
        assert int(answer.headers["Retry-After"]) > 0
        assert_problem(service.client.get("/readyz"), 503)
        assert service.client.get("/livez").status_code == 200

        job = service.ended(service.reindex().headers["Location"])
        assert (job["state"], "scenerank import" in job["error"]) == ("failed", True)
        job = service.ended(service.reindex(checkpoint="pretrained").headers["Location"])
        assert (job["state"], "scenerank import" in job["error"]) == ("failed", True)

        empty_place.checkpoint("first")
        job = service.ended(service.reindex(checkpoint="first").headers["Location"])
        assert (job["state"], "scenerank import" in job["error"]) == ("failed", True)

        empty_place.fill(20)
        job = service.ended(service.reindex(checkpoint="first").headers["Location"])
        assert (job["state"], job["progress"]) == ("succeeded", {"done": 20, "total": 20})
        until(lambda: service.client.get("/readyz").status_code == 200, "the service is ready")
        assert service.search(HORSE).json()["total"] == 20


def assert_problem(answer: httpx.Response, status: int) -> None:
    document = answer.json()
    assert answer.status_code == document["status"] == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-Id"]
    assert {"type", "title", "detail", "instance"} <= document.keys()
    assert all(document[key] for key in ("type", "title", "detail", "instance"))
    assert ("errors" in document) == (status == 422)


def test_a_method_that_is_not_possible_is_told_those_that_are(service: Service) -> None:
    answer = service.client.request("OPTIONS", "/images/some/image")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "DELETE, GET, PUT"
    assert service.client.request("DELETE", "/search").headers["Allow"] == "POST"
