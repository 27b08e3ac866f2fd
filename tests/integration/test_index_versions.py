"""Cancelling a reindex, the list of versions and going back to an older one, over HTTP."""

import os
import signal
from typing import Any

import httpx
import pytest

from tests.factories import OBJECT_NAMES, PREDICATES
from tests.integration.conftest import ADMIN, Place, Service, serving, until
from tests.integration.test_service_reindex import reindex_halted_midway

LARGE = 2000


def test_versions_are_listed_and_gone_back_to_with_what_has_changed_since(empty_place: Place) -> None:
    empty_place.fill(30)
    first = empty_place.build(empty_place.checkpoint("first")).version
    second = empty_place.build(empty_place.checkpoint("second", seed=1)).version
    with serving(empty_place) as service, serving(empty_place) as replica:
        listed = service.client.get("/index/versions").json()["versions"]
        assert [(item["version"], item["in_use"]) for item in listed] == [(second, True), (first, False)]
        assert service.client.delete("/images/image-0003", headers=ADMIN).status_code == 204
        assert service.client.post("/index/rollback").status_code == 401

        answer = service.client.post("/index/rollback", json={}, headers=ADMIN)

        assert answer.status_code == 200, answer.text
        for each in (service, replica):
            until(lambda: each.client.get("/index").json()["version"] == first, "both follow")  # noqa: B023 (at once)
            until(lambda: each.client.get("/index").json()["count"] == 29, "what was removed stays so")  # noqa: B023
        nothing_older = service.client.post("/index/rollback", json={}, headers=ADMIN)
        assert nothing_older.status_code == 409
        forward = service.client.post("/index/rollback", json={"version": second}, headers=ADMIN)
        assert (forward.status_code, forward.json()["version"]) == (200, second)
        assert service.client.post("/index/rollback", json={"version": "../x"}, headers=ADMIN).status_code == 422


def test_a_cancelled_reindex_leaves_the_old_version_and_room_for_another(empty_place: Place) -> None:
    empty_place.fill(LARGE)
    first = empty_place.build(empty_place.checkpoint("first")).version
    with serving(empty_place) as service:
        address, builder = reindex_halted_midway(service, key="monday")
        assert service.client.post(f"{address}/cancel").status_code == 401
        answer = service.client.post(f"{address}/cancel", headers=ADMIN)
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        again = service.client.post(f"{address}/cancel", headers=ADMIN)
        assert (again.status_code, again.json()["type"]) == (409, "urn:scenerank:problem:job-ended")
        resume(builder)
        until(lambda: not service.children(), "its process ends")
        assert service.client.get("/index").json()["version"] == first
        job = service.ended(service.reindex().headers["Location"])
        assert job["state"] == "succeeded", job


def resume(pid: int) -> None:
    """Let a stopped process go on."""
    os.kill(pid, signal.SIGCONT)


def test_an_approximate_index_over_http(empty_place: Place) -> None:
    empty_place.fill(LARGE)
    exact_version = empty_place.build(empty_place.checkpoint("first")).version
    queries: list[dict[str, Any]] = [
        {"objects": [subject, object_], "relationships": [[0, predicate, 1]]}
        for subject, object_, predicate in zip(OBJECT_NAMES, OBJECT_NAMES[3:], PREDICATES * 2, strict=False)
    ]
    with serving(empty_place) as service:
        assert (service.client.get("/index").json()["index"], service.client.get("/index").json()["recall"]) == (
            "flat",
            None,
        )
        exact = [service.search(query).json() for query in queries]
        assert {(answer["total"], answer["total_is_exact"]) for answer in exact} == {(LARGE, True)}

        job = reindexed(service, index="ivf16,nprobe=4")

        in_use = service.client.get("/index").json()
        assert (job["index"], in_use["index"], in_use["version"]) == ("ivf16,nprobe=4",) * 2 + (job["index_version"],)
        assert in_use["recall"] >= 0.7
        found = [service.search(query).json() for query in queries]
        assert {answer["total_is_exact"] for answer in found} == {False}
        assert all(0 < answer["total"] < LARGE for answer in found)
        shares = [len(ids(a) & ids(b)) / 10 for a, b in zip(found, exact, strict=True)]
        assert sum(shares) / len(shares) >= 0.7

        whole = service.search(queries[0], limit=1000).json()
        assert len(whole["results"]) == min(1000, whole["total"])
        pages = [service.search(queries[0], limit=70, offset=offset).json() for offset in range(0, 280, 70)]
        listed = [item["image_id"] for page in pages for item in page["results"]]
        assert listed == [item["image_id"] for item in whole["results"][:280]]
        beyond = service.search(queries[0], limit=10, offset=whole["total"]).json()
        assert (beyond["results"], beyond["total"]) == ([], whole["total"])

        narrow = service.search(queries[0], filter={"must": [{"object": "horse"}]}).json()
        assert narrow["total_is_exact"]

        put = service.client.put("/images/zzz", json={"graph": queries[0]}, headers=ADMIN)
        assert put.status_code == 201
        until(lambda: "zzz" in ids(service.search(queries[0]).json()), "what is new is found")
        best = whole["results"][0]["image_id"]
        assert service.client.delete(f"/images/{best}", headers=ADMIN).status_code == 204
        until(lambda: best not in ids(service.search(queries[0]).json()), "what is gone is not found")

        assert reindexed(service)["index"] == "ivf16,nprobe=4", "the kind stays"
        assert reindexed(service, index="flat")["index"] == "flat"
        assert service.search(queries[0], limit=5).json()["total_is_exact"]
        listed = service.client.get("/index/versions").json()["versions"]
        assert [item["index"] for item in listed] == ["flat", "ivf16,nprobe=4", "ivf16,nprobe=4"]
        assert exact_version not in {item["version"] for item in listed}

        assert rolled_back(service).json()["index"] == "ivf16,nprobe=4"
        again = service.search(queries[0]).json()
        assert not again["total_is_exact"]
        assert best not in ids(again)
        (empty_place.store.directory(listed[2]["version"]) / "lists" / "rows.npy").write_bytes(b"")
        refused = rolled_back(service)
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:scenerank:problem:no-rollback")


@pytest.mark.parametrize("index", ["hnsw", "ivf0", "ivf99999", "ivf8,nprobe=0", "IVF8,Flat", "", 8])
def test_a_kind_of_index_that_there_is_not_is_refused_by_name(service: Service, index: object) -> None:
    answer = service.reindex(index=index)
    assert answer.status_code == 422
    assert [item["pointer"] for item in answer.json()["errors"]] == ["/index"]


def test_the_command_line_makes_an_approximate_index(empty_place: Place) -> None:
    empty_place.fill(300)
    checkpoint = str(empty_place.checkpoint("first"))
    refused = empty_place.run("index", "build", "--checkpoint", checkpoint, "--index", "hnsw")
    assert (refused.returncode, "'hnsw' is no kind of index" in refused.stderr) == (2, True), refused.stderr
    built = empty_place.run("index", "build", "--checkpoint", checkpoint, "--index", "ivf4,nprobe=2")
    assert (built.returncode, "ivf4,nprobe=2 finds" in built.stdout) == (0, True), built.stderr
    again = empty_place.run("index", "build")
    assert "ivf4,nprobe=2 finds" in again.stdout, "the kind stays"


def reindexed(service: Service, **fields: object) -> dict[str, Any]:
    """Reindex, and wait until searches use the new version."""
    job = service.ended(service.client.post("/reindex", json=fields, headers=ADMIN).headers["Location"])
    assert job["state"] == "succeeded", job
    until(lambda: service.client.get("/index").json()["version"] == job["index_version"], "it is in use")
    return job


def rolled_back(service: Service) -> httpx.Response:
    return service.client.post("/index/rollback", json={}, headers=ADMIN)


def ids(answer: dict[str, Any]) -> set[str]:
    return {item["image_id"] for item in answer["results"]}
