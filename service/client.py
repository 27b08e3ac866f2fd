"""A client of the service, for Python programs; README shows how to use it."""

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Self, TypedDict, Unpack
from urllib.parse import quote

from service.connection import Connection, ServiceError
from service.schemas import (
    ImageResponse,
    IndexResponse,
    IndexVersionResponse,
    IndexVersionsResponse,
    JobResponse,
    VocabularyResponse,
)
from service.search_schemas import BatchResponse, SearchResponse
from service.triples import Triple, graph_of_triples

__all__ = ["SceneRankClient", "SearchOptions", "ServiceError"]


class SearchOptions(TypedDict, total=False):
    """What a search may ask for beside its graph; /docs says what each is, and what it is if not given."""

    limit: int
    offset: int
    min_score: float
    strict: bool
    with_graph: bool
    explain: bool
    with_metadata: bool
    filter: Mapping[str, Any]
    rerank: Literal["triples"]
    format: str


class SceneRankClient:
    """Asks one service. Can be used by several threads; close it at the end, or use it in a `with` statement.

    Args:
        url: the service's address, such as http://localhost:8000.
        key: one of its keys, where it asks for them.
        timeout: for an answer. Units: seconds.
        patience: a busy service says when to ask again (429, 503); the client does, for so long in all. 0: it does not.
            Units: seconds.
    """

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 30.0, patience: float = 3.0) -> None:
        self._connection = Connection(url, key=key, timeout=timeout, patience=patience)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def search(self, graph: Mapping[str, Any], **options: Unpack[SearchOptions]) -> SearchResponse:
        """The images whose scene graphs are most like a graph.

        Args:
            graph: in any form that the service reads.
            options: which part of the ranking, and what of each image.

        Raises:
            ServiceError: there is no answer; its `status` is 422 if the graph or an option is wrong, 503 with
                `retry_after` if the service has had too much to do all the while.
        """
        return self._connection.ask("POST", "/search", SearchResponse, {"graph": dict(graph), **options})

    def search_triples(self, triples: Iterable[Triple], **options: Unpack[SearchOptions]) -> SearchResponse:
        """A search for the graph of some triples, see `graph_of_triples`.

        Args:
            triples: subject, predicate, object.
            options: as of `search`.

        Raises:
            ServiceError: as of `search`.
        """
        return self.search(graph_of_triples(triples), **options)

    def search_text(self, text: str, **options: Unpack[SearchOptions]) -> SearchResponse:
        """A search for a scene in one line: `man riding horse; horse on beach; not car`.

        Args:
            text: in the query language.
            options: as of `search`.

        Raises:
            ServiceError: as of `search`.
        """
        return self._connection.ask("POST", "/search", SearchResponse, {"text": text, **options})

    def search_like(self, image_id: str, **options: Unpack[SearchOptions]) -> SearchResponse:
        """A search for images like one of the catalogue's.

        Args:
            image_id: the image.
            options: as of `search`.

        Raises:
            ServiceError: as of `search`; its `status` is 404 if there is no such image.
        """
        return self._connection.ask("POST", "/search", SearchResponse, {"image_id": image_id, **options})

    def search_batch(self, queries: Sequence[Mapping[str, Any]]) -> list[SearchResponse | ServiceError]:
        """Several searches at once, each answered in its place: by what was found, or by what is wrong with it.

        Args:
            queries: up to 100 bodies of POST /search, such as {"text": "man riding horse", "limit": 3}.

        Raises:
            ServiceError: there is no answer to all of them, as of `search`.
        """
        body = {"queries": [dict(query) for query in queries]}
        answers = self._connection.ask("POST", "/search/batch", BatchResponse, body).answers
        return [
            answer
            if isinstance(answer, SearchResponse)
            else ServiceError(
                f"{answer.title}: {answer.detail}",
                status=answer.status,
                problem=answer.model_dump(mode="json", exclude_unset=True),
            )
            for answer in answers
        ]

    def vocabulary(
        self, kind: Literal["object", "predicate", "attribute"], prefix: str = "", *, limit: int = 10
    ) -> VocabularyResponse:
        """Names that begin in a way, those that most images have first.

        Args:
            kind: of what.
            prefix: how a name, or a later word of it, begins.
            limit: how many, at most 100.

        Raises:
            ServiceError: there is no answer.
        """
        params: dict[str, str | int] = {"kind": kind, "prefix": prefix, "limit": limit}
        return self._connection.ask("GET", "/vocabulary", VocabularyResponse, params=params)

    def put_image(
        self,
        image_id: str,
        graph: Mapping[str, Any],
        *,
        url: str | None = None,
        width: int | None = None,
        height: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> ImageResponse:
        """Add an image, or replace the one of this id; it can be found within a second. Needs an admin key.

        Args:
            image_id: the image.
            graph: its scene graph, in any form that the service reads.
            url: where the picture is.
            width: Units: pixels.
            height: Units: pixels.
            metadata: what else is to be kept with it.

        Raises:
            ServiceError: it was not taken; its `status` is 422 if something of it is wrong.
        """
        given = {"url": url, "width": width, "height": height, "metadata": metadata}
        body = {"graph": dict(graph)} | {name: value for name, value in given.items() if value is not None}
        return self._connection.ask("PUT", f"/images/{quote(image_id)}", ImageResponse, body)

    def delete_image(self, image_id: str) -> None:
        """Remove an image; it is gone from searches within a second. Needs an admin key.

        Raises:
            ServiceError: it was not removed; its `status` is 404 if there is no such image.
        """
        self._connection.send("DELETE", f"/images/{quote(image_id)}")

    def image(self, image_id: str) -> ImageResponse:
        """An image of the catalogue.

        Raises:
            ServiceError: there is no answer; its `status` is 404 if there is no such image.
        """
        return self._connection.ask("GET", f"/images/{quote(image_id)}", ImageResponse)

    def index(self) -> IndexResponse:
        """The index version in use.

        Raises:
            ServiceError: there is no answer; its `status` is 503 if nothing is indexed yet.
        """
        return self._connection.ask("GET", "/index", IndexResponse)

    def versions(self) -> list[IndexVersionResponse]:
        """All index versions there are, newest first.

        Raises:
            ServiceError: there is no answer.
        """
        return self._connection.ask("GET", "/index/versions", IndexVersionsResponse).versions

    def rollback(self, version: str | None = None) -> IndexVersionResponse:
        """Go back to an older index version. Needs an admin key.

        Args:
            version: one of `versions`; by default the newest usable one that is older than the one in use.

        Raises:
            ServiceError: nothing has changed; its `status` is 409 if there is none to go back to, or a reindex runs.
        """
        body = {} if version is None else {"version": version}
        return self._connection.ask("POST", "/index/rollback", IndexVersionResponse, body)

    def reindex(self, *, checkpoint: str | None = None, index: str | None = None) -> JobResponse:
        """Begin to encode the whole catalogue into a new index version; `wait` waits for it. Needs an admin key.

        Args:
            checkpoint: one that the service has; by default as before.
            index: kind of index, such as "flat" or "ivf1024,nprobe=32"; by default as before.

        Raises:
            ServiceError: it has not begun; its `status` is 409 if another is under way.
        """
        given = {"checkpoint": checkpoint, "index": index}
        body = {name: value for name, value in given.items() if value is not None}
        # Sent again it is the same job.
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        return self._connection.ask("POST", "/reindex", JobResponse, body, headers=headers)

    def job(self, job_id: str) -> JobResponse:
        """How far a job is.

        Raises:
            ServiceError: there is no answer; its `status` is 404 if there is no such job.
        """
        return self._connection.ask("GET", f"/jobs/{quote(job_id, safe='')}", JobResponse)

    def wait(
        self,
        job_id: str,
        *,
        progress: Callable[[JobResponse], None] = lambda _: None,
        every: float = 0.5,
        timeout: float | None = None,
    ) -> JobResponse:
        """Wait until a job has succeeded.

        Args:
            job_id: the job.
            progress: told how far it is after each look.
            every: how often to look. Units: seconds.
            timeout: how long to wait at most; None for as long as it takes. Units: seconds.

        Raises:
            ServiceError: it has failed or was cancelled, the time is out, or there is no answer.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (job := self.job(job_id)).state in ("enqueued", "running"):
            progress(job)
            if deadline is not None and time.monotonic() + every > deadline:
                raise ServiceError(
                    f"job {job_id} is still {job.state} after {timeout} seconds; wait longer, or cancel it"
                )
            time.sleep(every)
        progress(job)
        if job.state != "succeeded":
            raise ServiceError(f"job {job_id} {'was cancelled' if job.error is None else f'failed: {job.error}'}")
        return job

    def cancel(self, job_id: str) -> JobResponse:
        """End a job; the index stays as it is. Needs an admin key.

        Raises:
            ServiceError: it was not cancelled; its `status` is 409 if it has ended before.
        """
        return self._connection.ask("POST", f"/jobs/{quote(job_id, safe='')}/cancel", JobResponse)
