import errno
import json
import os
from collections.abc import Iterator

import psycopg.errors
import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

import service.app
import service.cli  # noqa: F401
from model.errors import DataError, GraphError, Problem, SceneRankError
from model.graph_reader import MAX_PROBLEMS, MORE_PROBLEMS
from service.errors import KINDS, NoIndexError, ReindexRunningError, RequestInvalidError, problem_of, refusal
from service.middleware import encode_problem

COMMAND_LINE_ONLY = ("service.demo", "service.connection")


def every_error_class(base: type[Exception] = SceneRankError) -> Iterator[type[Exception]]:
    yield base
    for derived in base.__subclasses__():
        yield from every_error_class(derived)


def test_every_error_class_has_a_status() -> None:
    classes = {error for error in every_error_class() if error.__module__.split(".")[0] in ("model", "service")}
    missing = {error for error in classes - set(KINDS) if error.__module__ not in COMMAND_LINE_ONLY}
    assert not missing, f"give them a kind of problem in service/errors.py: {missing}"


def test_one_kind_of_problem_has_one_status_and_title() -> None:
    kinds = {kind.name: kind for kind in KINDS.values()}
    assert all(kinds[kind.name] == kind for kind in KINDS.values())


def test_problems_of_a_graph_point_into_the_request() -> None:
    error = GraphError([Problem("", "no graph"), Problem("/objects/0/name", "no name")])

    document = problem_of(error).to_json("/search")

    assert document["status"] == 422
    assert [item["pointer"] for item in document["errors"]] == ["/graph", "/graph/objects/0/name"]
    assert document["instance"] == "/search"


def test_headers_say_what_to_do_next() -> None:
    assert problem_of(ReindexRunningError("17")).headers["Location"] == "/jobs/17"
    assert int(problem_of(NoIndexError("none")).headers["Retry-After"]) > 0


def test_what_concerns_only_the_operator_is_not_told_to_strangers() -> None:
    for error in (DataError("/srv/secret is damaged"), OperationalError("SELECT secret", {}, Exception("secret"))):
        assert "secret" not in problem_of(error).detail


def test_a_long_list_of_problems_is_summed_up() -> None:
    error = RequestInvalidError(*(Problem(f"/{number}", "wrong") for number in range(50)))
    assert problem_of(error).detail == "/0: wrong; /1: wrong; /2: wrong; and 47 more"


def test_of_very_many_problems_an_answer_names_the_first() -> None:
    error = RequestInvalidError(*(Problem(f"/{number}", "wrong") for number in range(100_000)))
    document = problem_of(error).to_json("/search")
    assert len(document["errors"]) == MAX_PROBLEMS
    assert document["errors"][-1]["detail"] == MORE_PROBLEMS.message
    assert document["detail"].endswith("; and many more")


def test_what_the_machine_refuses_is_one_line_without_rows() -> None:
    quoting = psycopg.errors.UniqueViolation("duplicate key\nDETAIL:  Key (id)=(secret) already exists.")
    refusals = [
        refusal(IntegrityError("INSERT INTO images", {"graph": "secret"}, quoting)),
        refusal(OperationalError("INSERT INTO images", {"graph": "secret"}, Exception("database is locked"))),
        refusal(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/index")),
        refusal(OSError("no luck")),
    ]
    assert [line for line in refusals if line is None or "\n" in line or "secret" in line] == []
    assert "duplicate key" in str(refusals[0])
    assert "database is locked" in str(refusals[1])
    assert "/data/index: No space left on device" in str(refusals[2])
    assert refusal(KeyError("a mistake")) is None


@pytest.mark.parametrize("text", ["\ud800", "ä", "\x00"])
def test_a_problem_can_quote_anything(text: str) -> None:
    document = problem_of(RequestInvalidError(Problem("", text))).to_json("/")
    assert json.loads(encode_problem(document))["detail"] == text
