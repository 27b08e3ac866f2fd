"""A client of the service, for Python programs; README shows how to use it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, Self, TypedDict, TypeVar, Unpack
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from model.errors import SceneRankError
from service.schemas import ImageResponse
from service.search_schemas import SearchResponse

Triple = tuple[str, str, str]

_Answer = TypeVar("_Answer", bound=BaseModel)
_ANY: Final = "*"


class ServiceError(SceneRankError):
    """The service did not do what it was asked for, or did not answer.

    Args:
        message: what is wrong and what to do.
        status: of HTTP; None without an answer.
        problem: the problem document; empty without one.
        retry_after: when asking again makes sense. Units: seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        problem: Mapping[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        self.status = status
        self.problem = problem or {}
        self.retry_after = retry_after
        super().__init__(message)


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
    """

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 30.0) -> None:
        headers = {"X-API-Key": key} if key is not None else {}
        try:
            self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)
        except httpx.InvalidURL as error:
            raise ServiceError(f"{url!r} is no address ({error}); write it as http://localhost:8000") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def search(self, graph: Mapping[str, Any], **options: Unpack[SearchOptions]) -> SearchResponse:
        """The images whose scene graphs are most like a graph.

        Args:
            graph: in any form that the service reads.
            options: which part of the ranking, and what of each image.

        Raises:
            ServiceError: there is no answer; its `status` is 422 if the graph or an option is wrong, 503 with
                `retry_after` if the service has too much to do.
        """
        return self._ask("POST", "/search", SearchResponse, {"graph": dict(graph), **options})

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
        return self._ask("POST", "/search", SearchResponse, {"text": text, **options})

    def search_like(self, image_id: str, **options: Unpack[SearchOptions]) -> SearchResponse:
        """A search for images like one of the catalogue's.

        Args:
            image_id: the image.
            options: as of `search`.

        Raises:
            ServiceError: as of `search`; its `status` is 404 if there is no such image.
        """
        return self._ask("POST", "/search", SearchResponse, {"image_id": image_id, **options})

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
        return self._ask("PUT", f"/images/{quote(image_id)}", ImageResponse, body)

    def delete_image(self, image_id: str) -> None:
        """Remove an image; it is gone from searches within a second. Needs an admin key.

        Raises:
            ServiceError: it was not removed; its `status` is 404 if there is no such image.
        """
        answer = self._send("DELETE", f"/images/{quote(image_id)}", None)
        if not answer.is_success:
            raise _refusal(answer)

    def image(self, image_id: str) -> ImageResponse:
        """An image of the catalogue.

        Raises:
            ServiceError: there is no answer; its `status` is 404 if there is no such image.
        """
        return self._ask("GET", f"/images/{quote(image_id)}", ImageResponse)

    def _ask(self, method: str, path: str, form: type[_Answer], body: Mapping[str, Any] | None = None) -> _Answer:
        answer = self._send(method, path, body)
        if not answer.is_success:
            raise _refusal(answer)
        try:
            return form.model_validate_json(answer.content)
        except ValidationError:
            raise ServiceError(
                f"{self._http.base_url} gave an answer that is not SceneRank's; see that the address is right",
                status=answer.status_code,
            ) from None

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx.Response:
        try:
            return self._http.request(method, path, json=body)
        except (httpx.TransportError, httpx.UnsupportedProtocol) as error:
            reason = str(error) or type(error).__name__
            raise ServiceError(f"no answer from {self._http.base_url} ({reason}); see that the service runs") from None


def graph_of_triples(triples: Iterable[Triple]) -> dict[str, Any]:
    """The scene graph, in the native form, of triples of names.

    Equal names are one object: `man riding horse`, `horse on beach` have one horse. `man#2` is a second man, and each
    `*` something of its own.

    Args:
        triples: subject, predicate, object.
    """
    objects: dict[str, dict[str, Any]] = {}
    relationships = []
    for number, (subject, predicate, object_) in enumerate(triples):
        ends = []
        for role, name in (("subject", subject), ("object", object_)):
            key = f"{_ANY}{number}-{role}" if name == _ANY else name
            base, mark, copy = name.rpartition("#")
            objects.setdefault(key, {"id": key, "name": base if mark and copy.isdecimal() else name})
            ends.append(key)
        relationships.append({"subject": ends[0], "predicate": predicate, "object": ends[1]})
    return {"objects": list(objects.values()), "relationships": relationships}


def parse_triple(text: str) -> Triple:
    """A triple as a person types it: `man riding horse`, or with commas `man, next to, tennis racket`.

    Without commas the first word is the subject, the last one the object, and what stands between the predicate.

    Raises:
        ServiceError: it has not three parts.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 1 and len(words := text.split()) >= 3:
        parts = [words[0], " ".join(words[1:-1]), words[-1]]
    match parts:
        case [subject, predicate, object_] if all(parts):
            return subject, predicate, object_
    raise ServiceError(f"{text!r} is no triple; write 'man riding horse', or 'man, next to, tennis racket'")


def _refusal(answer: httpx.Response) -> ServiceError:
    """What an answer that is none says."""
    try:
        problem = answer.json()
        message = f"{problem['title']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        problem, message = {}, f"the answer has status {answer.status_code}; see that the address is right"
    wait = answer.headers.get("Retry-After", "")
    return ServiceError(
        message, status=answer.status_code, problem=problem, retry_after=int(wait) if wait.isdecimal() else None
    )
