"""Searches that are answered past the framework get what the framework answers, and leave the same marks."""

import json
from typing import Any, Final

import pytest

from tests.integration.conftest import Service

_BODIES: Final = {
    "graph": {"graph": {"objects": ["man", "horse"], "relationships": [[0, "riding", 1]]}, "limit": 3},
    "a word to be taken for another, an id that is no ASCII": {"graph": {"objects": [{"id": "ü", "name": "Horses"}]}},
    "text with a filter": {"text": "man riding horse; not car", "limit": 2, "explain": True},
    "reranked": {"text": "horse", "rerank": "triples", "limit": 2, "with_graph": True, "with_metadata": True},
    "dangling id": {"graph": {"objects": ["man"], "relationships": [[0, "on", 7]]}},
    "no such image": {"image_id": "nobody"},
    "unknown field": {"graph": {"objects": ["man"]}, "limits": 3},
    "strict": {"graph": {"objects": ["zeppelin"]}, "strict": True},
    "number for a text": {"graph": {"objects": ["man"]}, "limit": "3"},
}
_ODD: Final = {
    "no number": b'{"graph": {"objects": ["man"]}, "min_score": NaN}',
    "half a surrogate": rb'{"graph": {"objects": ["\ud800"]}}',
    "marked as UTF-8": b'\xef\xbb\xbf{"graph": {"objects": ["man"]}}',
    "same field twice": b'{"limit": 1, "limit": 2, "graph": {"objects": ["man"]}}',
    "nested": b'{"graph": ' + b"[" * 900 + b"]" * 900 + b"}",
    "cut off": b'{"graph": {"objects": ["man"]}',
    "empty": b"",
}
_CASES: Final = {name: json.dumps(body).encode() for name, body in _BODIES.items()} | _ODD


@pytest.mark.parametrize("body", _CASES.values(), ids=_CASES)
def test_a_search_has_the_frameworks_answer(service: Service, body: bytes) -> None:
    past, through = (
        service.client.post("/search", content=body, headers={"Content-Type": kind})
        for kind in ("application/json", "application/json; charset=utf-8")  # the lane takes only the first
    )

    assert past.status_code == through.status_code
    assert past.headers["content-type"] == through.headers["content-type"]
    assert _lasting(past.json()) == _lasting(through.json())


def _lasting(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "took_ms"}


def test_a_search_past_the_framework_counts_under_its_route(service: Service) -> None:
    def counted() -> float:
        lines = service.client.get("/metrics").text.splitlines()
        name = 'scenerank_requests_total{method="POST",route="/search",status="200"}'
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0.0)

    before = counted()
    service.client.post("/search", content=_CASES["graph"], headers={"Content-Type": "application/json"})
    assert counted() == before + 1
