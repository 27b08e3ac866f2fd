"""Which spans a request leaves, with an exporter in memory."""

import pytest
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.testclient import TestClient

from model.errors import ConfigError
from service import tracing
from service.middleware import RequestIdMiddleware


def inner() -> None:
    with tracing.span("in a thread"):
        pass


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()

    @app.get("/things/{name}")
    async def things(name: str) -> str:
        with tracing.span("read"):
            await run_in_threadpool(inner)
        tracing.record(encode=2.0, lookup=3.0)
        return name

    @app.get("/livez")
    async def livez() -> str:
        inner()
        return "alive"

    app.add_middleware(RequestIdMiddleware, report=lambda _: None)
    return app


def test_a_request_is_a_span_with_its_stages_and_its_id(app: FastAPI) -> None:
    exporter = InMemorySpanExporter()
    end = tracing.instrument(app, exporter)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with TestClient(app) as client:
        client.get("/things/a", headers={"X-Request-Id": "mine", "traceparent": parent})
        client.get("/livez")
    end()

    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"GET /things/{name}", "read", "in a thread", "encode", "lookup"}
    request = spans["GET /things/{name}"]
    assert request.context is not None
    assert request.parent is not None
    assert f"{request.context.trace_id:032x}" == parent.split("-")[1]
    assert f"{request.parent.span_id:016x}" == parent.split("-")[2]
    assert request.attributes is not None
    assert request.attributes["http.response.header.x_request_id"] == ("mine",)
    for name, of in (("read", request), ("in a thread", spans["read"]), ("encode", request), ("lookup", request)):
        above = spans[name].parent
        assert above is not None
        assert of.context is not None
        assert above.span_id == of.context.span_id
    encode, lookup = spans["encode"], spans["lookup"]
    assert encode.end_time == lookup.start_time
    assert (encode.end_time or 0) - (encode.start_time or 0) == 2_000_000


def test_without_tracing_a_stage_is_nothing(app: FastAPI) -> None:
    with TestClient(app) as client:
        assert client.get("/things/a").json() == "a"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, False),
    ],
)
def test_the_standard_variables_decide(
    environment: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert tracing.asked_for() is expected


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: 'zipkin' is not supported"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' is not supported",
        ),
    ],
)
def test_what_is_not_supported_is_said(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        tracing.asked_for()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    monkeypatch.setattr(tracing, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"OTEL_EXPORTER_OTLP_ENDPOINT asks .* pip install 'scenerank\[otel\]'"):
        tracing.asked_for()
