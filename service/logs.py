"""The service's log: plain lines or JSON, each with the id of the request that it is about.

Keys stand in headers and nowhere else, and no header is logged.
"""

import json
import logging
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import quote

LogFormat = Literal["text", "json"]

request_id: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""Of the request that this task or thread works for."""

_TEXT: Final = "%(levelname)s:     %(name)s: %(message)s"  # uvicorn's, with who says it
_FIELDS: Final = "fields"  # where a record carries what JSON shows as members of its own

_requests = logging.getLogger("service.requests")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and what else a record carries."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (current := request_id.get()) is not None:
            line["request_id"] = current
        line |= getattr(record, _FIELDS, {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure(log_format: LogFormat) -> None:
    """Send everything that is logged in this process to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def log_request(fields: Mapping[str, Any]) -> None:
    """Log a request that is over: its one line.

    Args:
        fields: request_id, client, method, path, route, status and ms.
    """
    _requests.info(
        "%s %s %s %d %.1f ms, request %s",
        fields["client"],
        quote(fields["method"], safe=""),
        quote(fields["path"], safe="/:@!$&'()*+,;="),  # a path may hold line ends
        fields["status"],
        fields["ms"],
        fields["request_id"],
        extra={_FIELDS: fields},
    )
