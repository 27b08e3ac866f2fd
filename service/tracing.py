"""Traces for OpenTelemetry, where its standard variables ask for them: a span a request, and spans of its stages.

OpenTelemetry is an extra, so nothing of it is imported until then; a search that is not traced pays for a look at a
variable of its context.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI

from model.errors import ConfigError
from service.middleware import REQUEST_ID

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTER: Final = "OTEL_TRACES_EXPORTER"
_UNTRACED: Final = r"^https?://[^/]*/(livez|readyz|metrics)$"  # asked by machines, all the time

_tracer: Final[ContextVar["Tracer | None"]] = ContextVar("tracer", default=None)
"""Of the request that this task or thread works for; None if it is not traced."""


def asked_for() -> bool:
    """Whether the environment asks for traces.

    Raises:
        ConfigError: it asks for what there is not: an exporter other than OTLP over HTTP, or the extra is missing.
    """
    exporter = os.environ.get(_EXPORTER, "").strip().lower()
    named = next((name for name in _ENDPOINTS if os.environ.get(name)), None)
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    if exporter not in ("", "otlp"):
        raise ConfigError(f"{_EXPORTER}: {exporter!r} is not supported; set it to otlp or none")
    if not exporter and named is None:
        return False
    protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        raise ConfigError(f"OTEL_EXPORTER_OTLP_PROTOCOL: {protocol!r} is not supported; set it to http/protobuf")
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.instrumentation.fastapi") is None:
        raise ConfigError(f"{named or _EXPORTER} asks for traces; for them pip install 'scenerank[otel]', or unset it")
    return True


def instrument(app: FastAPI, exporter: "SpanExporter | None" = None) -> Callable[[], None]:
    """Trace an application's requests, before it answers the first one.

    Args:
        app: the application.
        exporter: where spans go; by default OTLP over HTTP to where the environment says.

    Returns:
        What sends the last spans and ends it.
    """
    # Optional, and half a second of imports.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor  # noqa: PLC0415
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    # The environment's OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go first.
    resource = Resource.create({"service.name": "scenerank"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
    tracer = provider.get_tracer("scenerank")

    def begin(_span: "Span", _scope: dict[str, Any]) -> None:
        _tracer.set(tracer)

    FastAPIInstrumentor.instrument_app(
        app,
        server_request_hook=begin,
        tracer_provider=provider,
        excluded_urls=_UNTRACED,
        http_capture_headers_server_response=[REQUEST_ID],
        exclude_spans=["receive", "send"],
    )
    return provider.shutdown


def span(name: str) -> AbstractContextManager[object]:
    """A stage of the request in hand, as long as the `with` block takes; nothing if it is not traced."""
    tracer = _tracer.get()
    return nullcontext() if tracer is None else _span(tracer, name)


def record(**milliseconds: float) -> None:
    """Stages of the request in hand that are over, one after the other until now: done elsewhere, in a batch.

    Args:
        milliseconds: how long each took, by name, in their order.
    """
    tracer = _tracer.get()
    if tracer is None:
        return
    at = time.time_ns() - round(sum(milliseconds.values()) * 1e6)
    for name, taken in milliseconds.items():
        stage = tracer.start_span(name, start_time=at)
        at += round(taken * 1e6)
        stage.end(end_time=at)


@contextmanager
def _span(tracer: "Tracer", name: str) -> Iterator[None]:
    with tracer.start_as_current_span(name):
        yield
