"""Cancelling a reindex, the list of versions and going back to an older one, over HTTP."""

import os
import signal

from tests.integration.conftest import ADMIN, Place, serving, until
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
