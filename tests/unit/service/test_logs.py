import json
import logging
import sys
from typing import Final

import pytest

from service.logs import JsonFormatter, log_request, request_id

REQUEST: Final = {
    "request_id": "abc",
    "client": "127.0.0.1",
    "method": "GET",
    "path": "/images/a\nERROR: forged",
    "route": "/images/{image_id:path}",
    "status": 404,
    "ms": 1.5,
}


def test_a_request_is_one_line_whatever_its_path(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        log_request(REQUEST)

    (record,) = caplog.records
    assert record.getMessage() == "127.0.0.1 GET /images/a%0AERROR:%20forged 404 1.5 ms, request abc"
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert REQUEST.items() <= json.loads(line).items()


def test_json_lines_carry_the_request_and_its_traceback() -> None:
    token = request_id.set("abc")
    try:
        raise RuntimeError("broken\nin two lines")  # noqa: TRY301
    except RuntimeError:
        record = logging.LogRecord("service", logging.ERROR, "file", 1, "it %s", ("failed",), sys.exc_info())
    finally:
        line = JsonFormatter().format(record)
        request_id.reset(token)

    document = json.loads(line)
    assert "\n" not in line
    assert (document["level"], document["message"], document["request_id"]) == ("error", "it failed", "abc")
    assert document["exception"].startswith("Traceback")
    assert document["time"].endswith("+00:00")
