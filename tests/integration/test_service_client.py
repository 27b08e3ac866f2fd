"""The client and `scenerank search` against a real service, and what README shows of them."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from service.client import SceneRankClient, ServiceError
from service.search_schemas import SearchResponse
from tests.factories import make_records
from tests.integration.conftest import ADMIN_KEY, PATIENCE, RECORDS, Place, Service, serving, until

README: Final = (Path(__file__).parents[2] / "README.md").read_text()
GRAPH: Final = {"objects": ["man", "horse"], "relationships": [[0, "riding", 1]]}
HORSE: Final = {"objects": ["horse"], "relationships": []}
GRAPHS: Final = {record.image_id: record.graph for record in make_records(RECORDS)}
DOCUMENTED_URL: Final = "http://localhost:8000"


def address(service: Service) -> str:
    return str(service.client.base_url).rstrip("/")


def ask(
    service: Service, *arguments: str, stdin: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scenerank", "search", *arguments]
    if "--url" not in arguments:
        command += ["--url", address(service)]
    environment = service.place.environment | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, check=False, timeout=PATIENCE, env=environment, cwd=cwd
    )


def test_the_client_gets_what_http_gives(service: Service) -> None:
    expected = service.search(GRAPH, limit=4, with_graph=True).json()
    with SceneRankClient(address(service)) as client:
        by_graph = client.search(GRAPH, limit=4, with_graph=True)
        by_triples = client.search_triples([("man", "riding", "horse")], limit=4, with_graph=True)
        image = client.image(by_graph.results[0].image_id)
        with pytest.raises(ServiceError) as caught:
            client.image("no such/image?")

    assert by_graph.model_dump(mode="json", exclude_unset=True)["results"] == expected["results"]
    assert by_triples.results == by_graph.results
    assert (by_graph.total, image.graph) == (RECORDS, by_graph.results[0].graph)
    assert caught.value.status == 404
    assert "no such/image?" in str(caught.value)


def test_the_command_prints_a_table_or_json(service: Service) -> None:
    expected = service.search(GRAPH, limit=3).json()["results"]

    table = ask(service, "--triple", "man riding horse", "--limit", "3")
    document = ask(service, "--graph", "-", "--limit", "3", "--json", stdin=json.dumps(GRAPH))
    noted = ask(service, "--triple", "man riding pony")

    lines = table.stdout.splitlines()
    assert lines[0].split() == ["rank", "image", "score", "url"]
    assert [line.split()[1] for line in lines[1:]] == [result["image_id"] for result in expected]
    assert json.loads(document.stdout)["results"] == expected
    assert noted.stderr == "Note: 'pony' is not known; the nearest known name is 'horse', which it is taken for\n"


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["--triple", "man"], "", "no triple"),
        (["--graph", "-"], "{", "not JSON"),
        (["--graph", "-"], "[]", "a JSON object"),
        (["--graph", "-"], '{"objects": []}', "not valid: /graph/objects"),
        (["--graph", "missing.json"], "", "missing.json: No such file"),
        (
            ["--text", "man", "--must", "man, , horse"],
            "",
            "for --must: 'man, , horse' is no condition; write an object",
        ),
        (["--text", "man", "--must-not", "*"], "", "for --must-not: '*' is no condition; write an object"),
        (["--text", "man", "--offset", "10000"], "", "/offset: offset + limit is at most"),
        (["--triple", "man riding horse", "--url", "http://127.0.0.1:9"], "", "see that the service runs"),
        ([], "", "give one of --graph FILE"),
    ],
)
def test_what_is_wrong_is_one_line(service: Service, arguments: list[str], stdin: str, message: str) -> None:
    answer = ask(service, *arguments, stdin=stdin)

    assert answer.returncode != 0
    assert message in " ".join(answer.stderr.replace("│", " ").split())
    assert "Traceback" not in answer.stderr


def test_the_python_example_of_the_readme_runs(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    (example, _) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

    exec(example.replace(DOCUMENTED_URL, address(service)), {})

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3", lines[3], "422"]


def test_the_example_of_looking_after_a_service_runs(empty_place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    empty_place.fill(50)
    empty_place.build(empty_place.checkpoint("first"))
    (_, example) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    with serving(empty_place) as service:
        before = service.client.get("/index").json()["version"]
        exec(example.replace(DOCUMENTED_URL, address(service)).replace("ADMIN_KEY", repr(ADMIN_KEY)), {})
        until(lambda: service.client.get("/index").json()["version"] == before, "the old version is in use again")

    lines = capsys.readouterr().out.splitlines()
    assert f"{before} False" in lines, "it was the older of two for a while"
    assert lines[-1] == before


def test_many_searches_and_names(service: Service) -> None:
    with SceneRankClient(address(service)) as client:
        found, missing, wrong = client.search_batch(
            [{"text": "man riding horse", "limit": 2}, {"image_id": "none"}, {"graph": GRAPH, "limit": 0}]
        )
        names = client.vocabulary("object", "ho", limit=5)
        alone = client.search_text("man riding horse", limit=2)

    assert isinstance(found, SearchResponse)
    assert found.results == alone.results
    assert isinstance(missing, ServiceError)
    assert isinstance(wrong, ServiceError)
    assert (missing.status, wrong.status, wrong.problem["errors"][0]["pointer"]) == (404, 422, "/limit")
    assert [one.name for one in names.names] == ["horse"]


def test_a_reindex_is_begun_followed_and_cancelled(empty_place: Place) -> None:
    empty_place.fill(300)
    empty_place.checkpoint("second", seed=2)
    empty_place.build(empty_place.checkpoint("first"))
    told: list[str] = []
    with serving(empty_place) as service, SceneRankClient(address(service), key=ADMIN_KEY) as client:
        job = client.reindex(checkpoint="second", index="ivf4")
        done = client.wait(job.id, progress=lambda job: told.append(job.state), every=0.05, timeout=PATIENCE)
        with pytest.raises(ServiceError) as ended:
            client.cancel(job.id)
        with pytest.raises(ServiceError) as unknown:
            client.reindex(checkpoint="third")
        until(lambda: client.index().version == done.index_version, "the new version is in use")
        kind = client.index().index

    assert (told[-1], kind) == ("succeeded", "ivf4,nprobe=1")
    assert ended.value.status == 409
    assert (unknown.value.status, unknown.value.problem["errors"][0]["pointer"]) == (422, "/checkpoint")


def test_the_command_explains(service: Service) -> None:
    answer = ask(service, "--text", "man riding horse; cup", "--limit", "2", "--explain")
    lines = answer.stdout.splitlines()
    assert lines[0].split() == ["rank", "image", "score", "has", "lacks", "url"], answer.stderr
    explained = service.client.post(
        "/search", json={"text": "man riding horse; cup", "limit": 2, "explain": True}
    ).json()["results"]
    for line, result in zip(lines[1:], explained, strict=True):
        assert result["image_id"] in line
        assert "man riding horse" in line
        assert "cup" in line
        assert result["url"] in line


def test_the_command_filters_before_the_ranking(service: Service) -> None:
    everything = service.search(HORSE, limit=RECORDS).json()["results"]

    def kept(image_id: str) -> bool:
        graph = GRAPHS[image_id]
        name = {item.id: item.name for item in graph.objects}
        return (
            any((name[edge.subject], edge.predicate) == ("man", "riding") for edge in graph.relationships)
            and any((item.name, item.attributes) == ("man", ("tall",)) for item in graph.objects)
            and not {"car", "tree"} & set(name.values())
        )

    expected = [result for result in everything if kept(result["image_id"])]
    conditions = ["--must", "man riding *", "--must", "men, tall", "--must-not", "car"]

    page = ask(service, "--text", "horse; not tree", *conditions, "--offset", "1", "--limit", "2", "--json")

    answer = json.loads(page.stdout)
    assert answer["total"] == len(expected) > 3
    assert [result["image_id"] for result in answer["results"]] == [result["image_id"] for result in expected[1:3]]
    assert answer["filter"] == {
        "must": [{"triple": ["man", "riding", None]}, {"attribute": ["men", "tall"]}],
        "must_not": [{"object": "car"}, {"object": "tree"}],
    }
    assert [warning["pointer"] for warning in answer["warnings"]] == ["/filter/must/1/attribute/0"]


def test_the_command_cuts_the_ranking_and_looks_again(service: Service) -> None:
    everything = service.search(HORSE, limit=RECORDS).json()["results"]
    least = everything[4]["score"]
    again = service.search(GRAPH, limit=3, rerank="triples").json()["results"]

    above = ask(service, "--text", "horse", "--min-score", str(least), "--json")
    reranked = ask(service, "--triple", "man riding horse", "--rerank", "triples", "--limit", "3", "--json")

    assert json.loads(above.stdout)["results"] == [hit for hit in everything if hit["score"] >= least][:10]
    assert json.loads(reranked.stdout)["results"] == again


def test_the_commands_of_the_readme_run(service: Service, tmp_path: Path) -> None:
    commands = re.findall(r"^    scenerank search (.*)$", README, re.MULTILINE)
    (tmp_path / "graph.json").write_text(json.dumps(GRAPH))

    assert len(commands) >= 3
    for command in commands:
        answer = ask(service, *shlex.split(command.replace(DOCUMENTED_URL, address(service))), cwd=tmp_path)
        assert answer.returncode == 0, answer.stderr
        assert "image-0" in answer.stdout


def test_text_examples_and_changes_of_the_catalogue(service: Service) -> None:
    with SceneRankClient(address(service), key=ADMIN_KEY) as client:
        first = client.search_text("man riding horse; not car", limit=3, rerank="triples")
        like = client.search_like("image-0004", limit=1)
        put = client.put_image("a/new one", GRAPH, url="https://images.example/new", metadata={"by": "us"})
        until(lambda: client.search(GRAPH, limit=1).total == RECORDS + 1, "it can be found")
        found = client.search_like("a/new one", limit=RECORDS, with_metadata=True)
        client.delete_image("a/new one")
        until(lambda: client.search(GRAPH, limit=1).total == RECORDS, "it is gone")
        with pytest.raises(ServiceError) as caught:
            client.delete_image("a/new one")

    assert first.filter == {"must": [], "must_not": [{"object": "car"}]}
    assert like.results[0].image_id == "image-0004"
    assert (put.image_id, put.metadata) == ("a/new one", {"by": "us"})
    assert next(result.metadata for result in found.results if result.image_id == "a/new one") == {"by": "us"}
    assert caught.value.status == 404
    by_text = ask(service, "--text", "man riding horse", "--limit", "2", "--json")
    assert len(json.loads(by_text.stdout)["results"]) == 2
    assert json.loads(ask(service, "--like", "image-0004", "--json").stdout)["query"]["objects"]
