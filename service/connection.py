"""The client's way to the service: requests, sent again when it says so, and its answers and refusals."""

import time
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from model.errors import SceneRankError

_LATER: Final = (429, 503)
_SHORTEST: Final = 0.1  # seconds between two tries, whatever the service says

_Answer = TypeVar("_Answer", bound=BaseModel)


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


class Connection:
    """Sends requests to one service.

    Args:
        url: the service's address.
        key: one of its keys.
        timeout: for an answer. Units: seconds.
        patience: for how long in all a request waits and is sent again if the service says when, by 429 or 503 with
            Retry-After. Units: seconds.
    """

    def __init__(self, url: str, *, key: str | None, timeout: float, patience: float) -> None:
        self._patience = patience
        headers = {"X-API-Key": key} if key is not None else {}
        try:
            self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)
        except httpx.InvalidURL as error:
            raise ServiceError(f"{url!r} is no address ({error}); write it as http://localhost:8000") from None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        form: type[_Answer],
        body: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> _Answer:
        """Send a request, and read the answer.

        Raises:
            ServiceError: the service refuses, does not answer, or is none.
        """
        answer = self.send(method, path, body, params=params, headers=headers)
        try:
            return form.model_validate_json(answer.content)
        except ValidationError:
            raise ServiceError(
                f"{self._http.base_url} gave an answer that is not SceneRank's; see that the address is right",
                status=answer.status_code,
            ) from None

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request until it is done, refused, or patience is at its end.

        Raises:
            ServiceError: the service refuses, or does not answer.
        """
        waited = 0.0
        while True:
            try:
                answer = self._http.request(method, path, json=body, params=params, headers=headers)
            except (httpx.TransportError, httpx.UnsupportedProtocol) as error:
                reason = str(error) or type(error).__name__
                raise ServiceError(
                    f"no answer from {self._http.base_url} ({reason}); see that the service runs"
                ) from None
            if answer.is_success:
                return answer
            refusal = _refusal(answer)
            if refusal.status not in _LATER or refusal.retry_after is None:
                raise refusal
            pause = max(refusal.retry_after, _SHORTEST)
            waited += pause
            if waited > self._patience:
                raise refusal
            time.sleep(pause)


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
