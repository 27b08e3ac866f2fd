"""A built page is served compressed, and nothing beside it; where there is none it is said how to build it."""

import asyncio
import gzip
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service.routes.page import add_page

SCRIPT = b"console.log('SceneRank');" * 100
PAGE = b"<title>SceneRank</title>"


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A built page, with a secret beside it."""
    dist = tmp_path / "dist"
    for name, content in (("index.html", PAGE), ("assets/index-1a2b.js", SCRIPT), ("docs/index.html", b"docs")):
        (dist / name).parent.mkdir(parents=True, exist_ok=True)
        (dist / name).write_bytes(content)
        (dist / f"{name}.gz").write_bytes(gzip.compress(content))
    (dist / "docs" / "plain.css").write_bytes(b"p {}")
    (tmp_path / "secret.html").write_bytes(b"secret")
    (dist / "assets" / "link.html").symlink_to(tmp_path / "secret.html")
    return dist


def client(dist: Path) -> TestClient:
    app = FastAPI(docs_url=None)
    add_page(app, dist)
    return TestClient(app, base_url="http://test")


def test_page_and_scripts_come_compressed_and_guarded(dist: Path) -> None:
    with client(dist) as http:
        page = http.get("/")
        script = http.get("/static/assets/index-1a2b.js")
        docs = http.get("/docs")
    assert (page.content, script.content, docs.content) == (PAGE, SCRIPT, b"docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert script.headers["content-type"].startswith(("text/javascript", "application/javascript"))
    for answer in (page, script, docs):
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert {part.strip() for part in policy.split(";") if "blob:" in part} == {
            "img-src 'self' data: blob: https: http:"
        }
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["vary"] == "Accept-Encoding"
    assert int(script.headers["content-length"]) < len(SCRIPT)
    assert page.headers["cache-control"] == "no-cache"
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("accepted", ["gzip, br", "identity"])
def test_what_a_browser_has_is_not_sent_again(dist: Path, accepted: str) -> None:
    with client(dist) as http:
        first = http.get("/", headers={"Accept-Encoding": accepted})
        again = http.get("/", headers={"Accept-Encoding": accepted, "If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert ("content-encoding" in first.headers) == ("gzip" in accepted)


def test_files_without_a_compressed_form_come_as_they_are(dist: Path) -> None:
    with client(dist) as http:
        answer = http.get("/static/docs/plain.css")
    assert (answer.content, "content-encoding" in answer.headers) == (b"p {}", False)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../secret.html", "/static/%2e%2e/secret.html", "/static/..%2fsecret.html", "/static//etc/passwd",
        "/static/assets/..%5c..%5c..%5csecret.html", "/static/assets/link.html", "/static/%00", "/static/assets",
        "/static", "/static/", "/static/no-such.js", "/static/" + "x" * 300,
    ],
)  # fmt: skip
def test_no_path_leaves_the_directory(dist: Path, path: str) -> None:
    async def get() -> httpx.Response:
        app = FastAPI()
        add_page(app, dist)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
            return await http.get(httpx.URL("http://test", raw_path=path.encode()))

    answer = asyncio.run(get())
    assert answer.status_code in (307, 404)
    assert b"secret" not in answer.content


def test_only_reading_is_possible(dist: Path) -> None:
    with client(dist) as http:
        answer = http.post("/static/assets/index-1a2b.js")
        head = http.head("/static/assets/index-1a2b.js")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    assert (head.status_code, head.content) == (200, b"")


def test_without_a_built_page_it_is_said_how_to_build_it(tmp_path: Path) -> None:
    with client(tmp_path / "dist") as http:
        answers = [http.get(path) for path in ("/", "/docs")]
        missing = http.get("/static/assets/index-1a2b.js")
    assert all("make page" in answer.text and answer.status_code == 200 for answer in answers)
    assert "<script" not in answers[0].text
    assert "style" not in answers[0].text, "its Content-Security-Policy would not let it"
    assert missing.status_code == 404
