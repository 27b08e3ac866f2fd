from typing import Any, Final

import httpx
import pytest
import typer

from service.client import SceneRankClient, ServiceError
from service.search_cli import parse_condition
from service.triples import graph_of_triples, parse_triple


@pytest.mark.parametrize(
    ("text", "triple"),
    [
        ("man riding horse", ("man", "riding", "horse")),
        ("  cup  on top of  table ", ("cup", "on top of", "table")),
        ("man, next to, tennis racket", ("man", "next to", "tennis racket")),
        ("* on table", ("*", "on", "table")),
    ],
)
def test_triples_are_read_as_a_person_types_them(text: str, triple: tuple[str, str, str]) -> None:
    assert parse_triple(text) == triple


@pytest.mark.parametrize("text", ["", "man", "man horse", "man, riding", "man, , horse", "a, b, c, d"])
def test_what_is_no_triple_is_refused(text: str) -> None:
    with pytest.raises(ServiceError, match="no triple"):
        parse_triple(text)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        (" car ", {"object": "car"}),
        ("tennis racket", {"object": "tennis racket"}),
        ("horse, white", {"attribute": ["horse", "white"]}),
        ("*,white", {"attribute": ["*", "white"]}),
        ("man riding *", {"triple": ["man", "riding", "*"]}),
        ("man, next to, tennis racket", {"triple": ["man", "next to", "tennis racket"]}),
    ],
)
def test_conditions_are_read_as_a_person_types_them(text: str, condition: dict[str, Any]) -> None:
    assert parse_condition(text, "--must") == condition


@pytest.mark.parametrize("text", ["", " ", "*", ",", "horse,", ", white", "man, , horse", "a, b, c, d"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="no condition; write an object, 'car'") as caught:
        parse_condition(text, "--must-not")
    assert caught.value.param_hint == "--must-not"


def test_equal_names_are_one_object_and_numbered_and_any_ones_are_not() -> None:
    graph = graph_of_triples(
        [("man", "riding", "horse"), ("horse", "on", "*"), ("man#2", "next to", "man"), ("*", "*", "C#")]
    )

    names = {item["id"]: item["name"] for item in graph["objects"]}
    assert sorted(names.values()) == ["*", "*", "C#", "horse", "man", "man"]
    assert [(names[edge["subject"]], edge["predicate"], names[edge["object"]]) for edge in graph["relationships"]] == [
        ("man", "riding", "horse"),
        ("horse", "on", "*"),
        ("man", "next to", "man"),
        ("*", "*", "C#"),
    ]
    edges = graph["relationships"]
    assert edges[0]["object"] == edges[1]["subject"]
    assert edges[2]["subject"] != edges[2]["object"] == edges[0]["subject"]
    assert edges[1]["object"] != edges[3]["subject"]


BUSY: Final = {"title": "Too many searches at once", "detail": "ask again later"}
EMPTY: Final[dict[str, Any]] = {"versions": []}


def answering(*responses: httpx.Response, patience: float = 3.0) -> SceneRankClient:
    """A client of a service that gives these answers, the last one again and again."""
    client = SceneRankClient("http://service", patience=patience)
    client.close()
    left = list(responses)
    transport = httpx.MockTransport(lambda _: left.pop(0) if len(left) > 1 else left[0])
    client._connection._http = httpx.Client(base_url="http://service", transport=transport)
    return client


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client has waited each time, without waiting."""
    taken: list[float] = []
    monkeypatch.setattr("service.connection.time.sleep", taken.append)
    return taken


def busy(status: int = 503, after: str | None = "1") -> httpx.Response:
    return httpx.Response(status, json=BUSY, headers={} if after is None else {"Retry-After": after})


def test_a_problem_is_an_error_with_its_document() -> None:
    with (
        answering(busy(), patience=0) as client,
        pytest.raises(ServiceError, match="at once: ask again") as caught,
    ):
        client.search({"objects": ["man"]})
    assert (caught.value.status, caught.value.problem, caught.value.retry_after) == (503, BUSY, 1)


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_when_it_says(status: int, pauses: list[float]) -> None:
    answers = (busy(status), busy(status, "2"), httpx.Response(200, json=EMPTY))
    with answering(*answers) as client:
        assert client.versions() == []
    assert pauses == [1, 2]


@pytest.mark.parametrize(
    ("answer", "patience", "waited"),
    [
        (busy(), 3.0, [1, 1, 1]),
        (busy(after="0"), 0.35, [0.1] * 3),
        (busy(after="5"), 3.0, []),
        (busy(after="86400"), 3.0, []),
        (busy(after=None), 3.0, []),
        (busy(after="Wed, 21 Oct 2026 07:28:00 GMT"), 3.0, []),
        (busy(500), 3.0, []),
        (busy(422), 3.0, []),
        (busy(504), 3.0, []),
    ],
    ids=str,
)
def test_patience_ends(answer: httpx.Response, patience: float, waited: list[float], pauses: list[float]) -> None:
    with answering(answer, patience=patience) as client, pytest.raises(ServiceError) as caught:
        client.versions()
    assert caught.value.status == answer.status_code
    assert pauses == waited


def job(state: str, done: int = 0) -> httpx.Response:
    document = {
        "id": "1", "kind": "reindex", "state": state, "index": "flat", "progress": {"done": done, "total": 2},
        "created_at": "2026-01-01T00:00:00Z", "started_at": None, "finished_at": None, "index_version": None,
        "error": "the disk is full" if state == "failed" else None,
    }  # fmt: skip
    return httpx.Response(200, json=document)


def test_a_job_is_waited_for_and_its_progress_told(pauses: list[float]) -> None:
    told: list[tuple[str, int]] = []
    with answering(job("enqueued"), job("running", 1), job("succeeded", 2)) as client:
        client.wait("1", progress=lambda job: told.append((job.state, job.progress.done)), every=0.25)
    assert told == [("enqueued", 0), ("running", 1), ("succeeded", 2)]
    assert pauses == [0.25, 0.25]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (job("failed"), "job 1 failed: the disk is full"),
        (job("cancelled"), "job 1 was cancelled"),
        (job("running"), "is still running after 0.1 seconds"),
    ],
)
def test_a_job_that_does_not_succeed_is_an_error(answer: httpx.Response, message: str) -> None:
    with answering(answer) as client, pytest.raises(ServiceError, match=message):
        client.wait("1", timeout=0.1)


@pytest.mark.parametrize("response", [httpx.Response(502, text="<html>"), httpx.Response(200, json=[])])
def test_another_server_is_told(response: httpx.Response) -> None:
    with answering(response) as client, pytest.raises(ServiceError, match="see that the address is right"):
        client.image("1")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "localhost:8000", "http://[", "nothing"])
def test_no_service_is_told(url: str) -> None:
    with pytest.raises(ServiceError, match=r"see that the service runs|is no address"), SceneRankClient(url) as client:
        client.image("1")
