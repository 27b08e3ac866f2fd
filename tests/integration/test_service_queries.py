"""Reasons, filters, queries by example, batches, the query language and re-ranking, over HTTP."""

from typing import Final

from tests.factories import make_records
from tests.integration.conftest import RECORDS, Service
from tests.integration.test_service_http import RIDING, assert_problem

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
