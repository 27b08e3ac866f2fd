"""What the OpenAPI document says of requests is what the service does with them."""

from typing import Any, get_args

import jsonschema_rs
import numpy as np
import pytest
from pydantic import ValidationError

from model.errors import GraphError
from model.formats import GraphFormat, read_graph, write_graph
from model.graph_reader import GraphLimits
from service.app import create_app
from service.schemas import ReindexRequest
from service.search_schemas import FilterCondition
from service.settings import Settings
from tests.factories import make_graph

LIMITS = Settings(max_objects=5, max_relationships=4, max_name_length=20, max_limit=50, max_window=60)
COMPONENTS: dict[str, Any] = create_app(LIMITS).openapi()["components"]["schemas"]

EDGE = {"subject": "m", "predicate": "riding", "object": "m"}
MAN = {"id": "m", "name": "man"}
VG_MAN = {"object_id": 1, "names": ["man"]}

GOOD: list[Any] = [
    {"objects": [MAN]},
    {"objects": [MAN], "relationships": None, "image_id": 5},
    {"objects": [{"id": 7, "name": None, "attributes": ["tall", None, "*"]}]},
    {"objects": [MAN | {"x": 0, "y": -1.5, "w": 3, "h": 4}], "relationships": [EDGE]},
    {"objects": [MAN | {"x": None, "y": None, "w": None, "h": None}]},
    {"relationships": [{"subject": None, "predicate": "*", "object": "*"}]},
    {"objects": [], "relationships": [{"subject": None, "predicate": None, "object": None}]},
    {"objects": ["man", None, "*"], "relationships": [[0, "riding", "1"], [None, None, 2]]},
    {"objects": [], "relationships": [[None, "riding", None]]},
    {"objects": [VG_MAN, {"object_id": "2", "name": "horse"}]},
    {"objects": [VG_MAN], "relationships": [{"predicate": "on", "subject_id": 1, "object_id": None}]},
    {"relationships": [{"predicate": "on", "subject": VG_MAN, "object": {"object_id": 2, "name": "horse"}}]},
    {"objects": [{"object_id": 3, "names": []}]},
    {"objects": {"1": {"name": "man", "relations": [{"name": "riding", "object": "1"}]}}},
    {"objects": {"1": {"name": None, "relations": None, "attributes": []}}, "relationships": 3},
]
BAD: list[Any] = [
    None,
    [],
    {},
    {"objects": []},
    {"objects": [], "relationships": []},
    {"objects": "man"},
    {"objects": [{"name": "man"}]},
    {"objects": [{"id": "m"}]},
    {"objects": [{"id": "", "name": "man"}]},
    {"objects": [{"id": True, "name": "man"}]},
    {"objects": [{"id": 1.5, "name": "man"}]},
    {"objects": [{"id": "m", "name": " "}]},
    {"objects": [{"id": "m", "name": "a\0b"}]},
    {"objects": [{"id": "m", "name": 5}]},
    {"objects": [{"id": "m", "name": "n" * 21}]},
    {"objects": [MAN | {"attributes": "tall"}]},
    {"objects": [MAN | {"attributes": [1]}]},
    {"objects": [MAN | {"x": 1}]},
    {"objects": [MAN | {"x": 1, "y": 2, "w": 3, "h": None}]},
    {"objects": [MAN | {"x": 1, "y": 2, "w": 3, "h": 1e9}]},
    {"objects": [MAN], "relationships": [{"subject": "m", "object": "m"}]},
    {"objects": [MAN], "relationships": [[0, "riding", 0]]},
    {"objects": [MAN], "relationships": [EDGE] * 5},
    {"objects": [MAN | {"id": str(number)} for number in range(6)]},
    {"objects": ["man", MAN]},
    {"objects": ["man"], "relationships": [[0, "riding"]]},
    {"objects": ["man"], "relationships": [[0, "riding", 0, 0]]},
    {"objects": ["man"], "relationships": [[0, "", 0]]},
    {"objects": [{"object_id": 1}]},
    {"objects": [{"names": ["man"]}]},
    {"objects": [VG_MAN], "relationships": [{"predicate": "on", "subject_id": 1}]},
    {"relationships": [{"predicate": "on", "subject": {"name": "man"}, "object": VG_MAN}]},
    {"objects": {}},
    {"objects": {"": {"name": "man"}}},
    {"objects": {"1": "man"}},
    {"objects": {"1": {"attributes": []}}},
    {"objects": {"1": {"name": "man", "relations": [{"name": "riding"}]}}},
    {"objects": {str(number): {"name": "man"} for number in range(6)}},
]


def fits(component: str, value: object) -> bool:
    schema = {"$ref": f"#/components/schemas/{component}", "components": {"schemas": COMPONENTS}}
    return jsonschema_rs.validator_for(schema).is_valid(value)


def is_read(document: object, form: GraphFormat | None = None) -> bool:
    limits = GraphLimits(objects=LIMITS.max_objects, relationships=LIMITS.max_relationships, text_length=20)
    try:
        read_graph(document, form, limits)
    except GraphError:
        return False
    return True


@pytest.mark.parametrize("document", GOOD, ids=str)
def test_a_graph_that_is_read_fits(document: object) -> None:
    assert is_read(document)
    assert fits("SceneGraph", document)
    assert fits("SearchRequest", {"graph": document})
    assert fits("PutImageRequest", {"graph": document})


@pytest.mark.parametrize("document", BAD, ids=str)
def test_a_graph_that_is_refused_does_not_fit(document: object) -> None:
    assert not is_read(document)
    assert not fits("SceneGraph", document)
    assert not fits("SearchRequest", {"graph": document})
    assert not fits("PutImageRequest", {"graph": document})


@pytest.mark.parametrize("form", get_args(GraphFormat))
def test_a_written_graph_fits_as_what_it_is_and_as_nothing_else(form: GraphFormat) -> None:
    generator = np.random.default_rng(5)
    for _ in range(20):
        graph = make_graph(generator)
        if len(graph.relationships) > LIMITS.max_relationships and form == "gqa":
            continue  # how many there are in all a schema of this form cannot say
        document = write_graph(graph, form)
        taken = is_read(document, form)  # not if it is too large
        for component in ("SearchRequest", "PutImageRequest"):
            fitting = {
                named for named in get_args(GraphFormat) if fits(component, {"graph": document, "format": named})
            }
            assert fitting == ({form} if taken else set())


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"object": "car"},
        {"object": "car", "triple": None, "attribute": None},
        {"object": "*"},
        {"object": None},
        {"object": "car", "triple": ["man", None, None]},
        {"attribute": ["horse", None]},
        {"attribute": ["horse"]},
        {"attribute": ["horse", 5]},
        {"triple": ["*", "riding", "*"]},
        {"triple": ["*", "riding", "*", "*"]},
        {"name": "car"},
    ],
    ids=str,
)
def test_a_condition_fits_if_it_is_taken(condition: dict[str, Any]) -> None:
    try:
        FilterCondition.model_validate(condition)
    except ValidationError:
        assert not fits("FilterCondition", condition)
    else:
        assert fits("FilterCondition", condition)


@pytest.mark.parametrize(
    ("fields", "fitting"),
    [
        ({"text": "man riding horse"}, True),
        ({"image_id": "1", "graph": None, "text": None, "format": None}, True),
        ({"graph": {"objects": [MAN]}, "limit": 50, "offset": 59}, True),
        ({}, False),
        ({"graph": None}, False),
        ({"graph": {"objects": [MAN]}, "text": "man"}, False),
        ({"image_id": "1", "text": "man"}, False),
        ({"text": "man", "format": "native"}, False),
        ({"text": "man", "limit": 51}, False),
        ({"text": "man", "offset": 60}, False),
        ({"text": "man", "filter": {"must": [{"object": " "}]}}, False),
        ({"text": "man", "surprise": 1}, False),
    ],
    ids=str,
)
def test_a_search_fits_if_it_asks_for_one_thing_within_the_limits(fields: dict[str, Any], *, fitting: bool) -> None:
    assert fits("SearchRequest", fields) == fitting


@pytest.mark.parametrize(
    ("kind", "fitting"),
    [("flat", True), ("ivf1", True), ("ivf65536,nprobe=99", True), (None, True), ("ivf65537", False), ("ivf0", False),
     ("IVF8", False), ("ivf8,nprobe=0", False)],
)  # fmt: skip
def test_a_kind_of_index_fits_if_it_is_taken(kind: str | None, *, fitting: bool) -> None:
    assert fits("ReindexRequest", {"index": kind}) == fitting
    if fitting:
        ReindexRequest.model_validate({"index": kind})
    else:
        with pytest.raises(ValidationError):
            ReindexRequest.model_validate({"index": kind})
