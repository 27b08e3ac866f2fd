import httpx
import pytest

from service.client import SceneRankClient, ServiceError, graph_of_triples, parse_triple


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


def answering(response: httpx.Response) -> SceneRankClient:
    client = SceneRankClient("http://service")
    client.close()
    client._http = httpx.Client(base_url="http://service", transport=httpx.MockTransport(lambda _: response))
    return client


def test_a_problem_is_an_error_with_its_document() -> None:
    problem = {"title": "Too many searches at once", "detail": "ask again later"}
    with (
        answering(httpx.Response(503, json=problem, headers={"Retry-After": "1"})) as client,
        pytest.raises(ServiceError, match="at once: ask again") as caught,
    ):
        client.search({"objects": ["man"]})
    assert (caught.value.status, caught.value.problem, caught.value.retry_after) == (503, problem, 1)


@pytest.mark.parametrize("response", [httpx.Response(502, text="<html>"), httpx.Response(200, json=[])])
def test_another_server_is_told(response: httpx.Response) -> None:
    with answering(response) as client, pytest.raises(ServiceError, match="see that the address is right"):
        client.image("1")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "localhost:8000", "http://[", "nothing"])
def test_no_service_is_told(url: str) -> None:
    with pytest.raises(ServiceError, match=r"see that the service runs|is no address"), SceneRankClient(url) as client:
        client.image("1")
