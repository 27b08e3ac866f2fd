"""Reasons, filters, queries by example, batches, the query language and re-ranking, over HTTP."""

from typing import Final

import pytest

from model.formats import write_graph
from tests.factories import make_records
from tests.integration.conftest import RECORDS, Service
from tests.integration.test_service_http import HORSE, RIDING, assert_problem

GRAPHS: Final = {record.image_id: record.graph for record in make_records(RECORDS)}


def test_each_result_tells_what_matches_and_what_is_missing(service: Service) -> None:
    results = service.search(RIDING, limit=100, explain=True).json()["results"]

    complete = 0
    for result in results:
        graph = GRAPHS[result["image_id"]]
        name = {item.id: item.name for item in graph.objects}
        has = any(
            (name[edge.subject], edge.predicate, name[edge.object]) == ("man", "riding", "horse")
            for edge in graph.relationships
        )
        complete += has
        reasons = result["explanation"]
        assert reasons["matched" if has else "missing"] == [["man", "riding", "horse"]]
        assert reasons["matched"] + reasons["missing"] == [["man", "riding", "horse"]]
        for key, wanted in (("m", "man"), ("h", "horse")):
            match = reasons["objects"][key]
            assert (match is None) == (wanted not in name.values())
            assert match is None or name[match["id"]] == match["name"] == wanted
        assert reasons["exact"]
    assert complete > 0


def test_reasons_come_only_when_asked_for_and_for_a_page_of_bounded_size(service: Service) -> None:
    assert "explanation" not in service.search(RIDING).json()["results"][0]
    answer = service.search(RIDING, explain=True, limit=101)
    assert_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == "/limit"


def test_a_filter_decides_before_the_ranking(service: Service) -> None:
    everything = service.search(HORSE, limit=RECORDS).json()["results"]

    def kept(image_id: str) -> bool:
        name = {item.id: item.name for item in GRAPHS[image_id].objects}
        return "man" in {name[edge.subject] for edge in GRAPHS[image_id].relationships} and "car" not in name.values()

    expected = [result for result in everything if kept(result["image_id"])]
    wanted = {"must": [{"triple": ["men", None, "*"]}], "must_not": [{"object": "car"}, {"object": "xyzzy"}]}

    answer = service.search(HORSE, limit=4, offset=2, filter=wanted).json()

    assert answer["total"] == len(expected) > 6
    assert [result["image_id"] for result in answer["results"]] == [result["image_id"] for result in expected[2:6]]
    assert [(item["pointer"], item["code"], item["taken_for"]) for item in answer["warnings"]] == [
        ("/filter/must/0/triple/0", "plural", "man"),
        ("/filter/must_not/1/object", "unknown", None),
    ]
    assert service.search(HORSE, filter={"must": [{"object": "xyzzy"}]}).json()["total"] == 0


def test_an_image_is_a_query_by_its_graph(service: Service) -> None:
    expected = service.search(write_graph(GRAPHS["image-0004"]), limit=5).json()

    answer = service.client.post("/search", json={"image_id": "image-0004", "limit": 5}).json()

    assert answer["results"] == expected["results"]
    assert answer["results"][0]["image_id"] == "image-0004"
    assert answer["query"] == expected["query"]


def test_a_batch_answers_each_in_its_place(service: Service) -> None:
    queries: list[object] = [
        {"graph": HORSE, "limit": 3},
        {"graph": {"objects": []}},
        {"graph": HORSE, "limit": "3", "colour": 1},
        {"image_id": "none"},
        7,
        {"image_id": "image-0004", "limit": 2, "explain": True},
    ]
    alone = [service.client.post("/search", json=query).json() for query in queries]

    answer = service.client.post("/search/batch", json={"queries": queries})

    assert answer.status_code == 200
    for one, expected in zip(answer.json()["answers"], alone, strict=True):
        for document in (one, expected):
            document.pop("took_ms", None)
            document.pop("instance", None)
        assert one == expected


@pytest.mark.parametrize(
    ("queries", "pointer"),
    [
        ([], "/queries"),
        ([{"graph": HORSE}] * 101, "/queries"),
        ([{"graph": HORSE, "limit": 1000}] * 11, "/queries"),
        ([{"graph": HORSE, "limit": 100, "explain": True}] * 11, "/queries"),
        ({}, "/queries"),
    ],
)
def test_a_batch_has_limits(service: Service, queries: object, pointer: str) -> None:
    answer = service.client.post("/search/batch", json={"queries": queries})
    assert_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_line_of_text_is_a_graph_and_a_filter(service: Service) -> None:
    text = "man riding horse; horse next to tree; tall man; not car; not * on table"
    graph = {
        "objects": [
            {"id": "man", "name": "man", "attributes": ["tall"]},
            {"id": "horse", "name": "horse", "attributes": []},
            {"id": "tree", "name": "tree", "attributes": []},
        ],
        "relationships": [
            {"subject": "man", "predicate": "riding", "object": "horse"},
            {"subject": "horse", "predicate": "next to", "object": "tree"},
        ],
    }
    wanted = {"must": [], "must_not": [{"object": "car"}, {"triple": [None, "on", "table"]}]}
    expected = service.search(graph, filter=wanted).json()

    answer = service.client.post("/search", json={"text": text}).json()

    assert (answer["query"], answer["filter"]) == (graph, wanted)
    assert (answer["results"], answer["total"]) == (expected["results"], expected["total"])
    both = {"text": text, "filter": {"must_not": [{"object": "dog"}]}}
    answer = service.client.post("/search", json=both).json()
    assert answer["filter"]["must_not"] == [{"object": "dog"}, *wanted["must_not"]]


def test_rerank_puts_images_first_that_really_have_the_query(service: Service) -> None:
    query = {"objects": ["man", "horse"], "relationships": [[0, "riding", 1]]}
    plain = service.search(query, limit=200, explain=False).json()
    explained = [
        result
        for offset in (0, 100)
        for result in service.search(query, limit=100, offset=offset, explain=True).json()["results"]
    ]
    share = {
        result["image_id"]: (
            len(result["explanation"]["matched"])
            + sum(match is not None for match in result["explanation"]["objects"].values())
        )
        / 3
        for result in explained
    }
    expected = sorted(
        ((round(0.5 * result["score"] + 0.5 * share[result["image_id"]], 6), result) for result in plain["results"]),
        key=lambda hit: (-hit[0], hit[1]["image_id"]),
    )

    answer = service.search(query, limit=20, offset=10, rerank="triples").json()

    assert answer["total"] == plain["total"]
    assert [result["rank"] for result in answer["results"]] == list(range(11, 31))
    found = [(result["score"], result["image_id"], result["embedding_score"]) for result in answer["results"]]
    assert found == [(score, result["image_id"], result["score"]) for score, result in expected[10:30]]
    assert [result["image_id"] for result in answer["results"]] != [
        result["image_id"] for result in plain["results"][10:30]
    ]
    refused = service.search(query, limit=20, offset=190, rerank="triples")
    assert_problem(refused, 422)
    assert refused.json()["errors"][0]["pointer"] == "/offset"


def test_examples_of_the_document_are_answered(service: Service) -> None:
    paths = service.client.get("/openapi.json").json()["paths"]
    for path in ("/search", "/search/batch"):
        for name, example in paths[path]["post"]["requestBody"]["content"]["application/json"]["examples"].items():
            answer = service.client.post(path, json=example["value"])
            assert answer.status_code == 200, (name, answer.text)
            assert all("status" not in item for item in answer.json().get("answers", [])), name
