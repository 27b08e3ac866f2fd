"""What calls answer, as examples of the OpenAPI document; a test holds them against the document's schemas."""

from typing import Any, Final

_VERSION: Final = "20261124T174501123456Z-0a1b2c3d"
_MODEL: Final = "5d0cf3c8a1b94e27"
_TIME: Final = "2026-11-24T17:45:01Z"
_QUERY: Final = {
    "objects": [{"id": "m", "name": "man"}, {"id": "h", "name": "horse"}],
    "relationships": [{"subject": "m", "predicate": "riding", "object": "h"}],
}
_SEARCH: Final = {
    "results": [
        {
            "rank": 1,
            "image_id": "2407890",
            "score": 0.83,
            "url": "https://images.example/2407890.jpg",
            "explanation": {
                "matched": [["man", "riding", "horse"]],
                "missing": [],
                "objects": {
                    "m": {"id": "3", "name": "man", "attributes": [], "missing_attributes": []},
                    "h": {"id": "7", "name": "horse", "attributes": [], "missing_attributes": []},
                },
                "exact": True,
            },
        }
    ],
    "total": 45358,
    "total_is_exact": True,
    "index_version": _VERSION,
    "model_version": _MODEL,
    "took_ms": {"encode": 1.2, "search": 0.8, "total": 2.6},
    "warnings": [
        {
            "pointer": "/graph/objects/1/name",
            "code": "nearest",
            "word": "pony",
            "taken_for": "horse",
            "message": "'pony' is not known; the nearest known name is 'horse', which it is taken for",
        }
    ],
    "query": _QUERY,
}
_PROBLEM: Final = {
    "type": "urn:scenerank:problem:invalid-graph",
    "title": "The scene graph is not valid",
    "status": 422,
    "detail": "/graph/objects: needs at least one object",
    "instance": "/search/batch",
    "errors": [{"pointer": "/graph/objects", "detail": "needs at least one object"}],
}
_IMAGE: Final = {
    "image_id": "2407890",
    "url": "https://images.example/2407890.jpg",
    "width": 640,
    "height": 480,
    "graph": _QUERY,
    "updated_at": _TIME,
    "metadata": {"license": "CC-BY-4.0"},
}
_JOB: Final = {
    "id": "6f1c2a9e-5b7d-4c3e-8a90-1d2e3f405162",
    "kind": "reindex",
    "state": "running",
    "index": "flat",
    "progress": {"done": 12000, "total": 45358},
    "created_at": _TIME,
    "started_at": _TIME,
    "finished_at": None,
    "index_version": None,
    "error": None,
}
_LISTED: Final = {
    "version": _VERSION,
    "usable": True,
    "in_use": True,
    "model_version": _MODEL,
    "dimension": 768,
    "count": 45358,
    "index": "ivf1024,nprobe=64",
    "recall": 0.97,
    "created_at": _TIME,
}
_SVG: Final = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 480"></svg>'

ANSWERS: Final[dict[tuple[str, str], Any]] = {
    ("post", "/search"): _SEARCH,
    ("post", "/search/batch"): {"answers": [_SEARCH, _PROBLEM]},
    ("get", "/vocabulary"): {
        "kind": "object",
        "prefix": "tr",
        "names": [
            {"name": "tree", "images": 1843, "known": True},
            {"name": "traffic light", "images": 310, "known": True},
            {"name": "christmas tree", "images": 12, "known": False},
        ],
        "total": 3,
    },
    ("get", "/images/{image_id}"): _IMAGE,
    ("put", "/images/{image_id}"): _IMAGE,
    ("get", "/images/{image_id}/thumbnail.svg"): _SVG,
    ("post", "/reindex"): _JOB | {"state": "enqueued", "progress": {"done": 0, "total": 0}, "started_at": None},
    ("get", "/jobs/{job_id}"): _JOB,
    ("post", "/jobs/{job_id}/cancel"): _JOB | {"state": "cancelled", "finished_at": _TIME},
    ("get", "/index"): {
        "version": _VERSION,
        "model_version": _MODEL,
        "dimension": 768,
        "count": 45358,
        "changed": 3,
        "removed": 1,
        "metric": "inner_product",
        "index": "ivf1024,nprobe=64",
        "recall": 0.97,
        "created_at": _TIME,
        "catalogue_count": 45358,
    },
    ("get", "/index/versions"): {"versions": [_LISTED]},
    ("post", "/index/rollback"): _LISTED,
    ("get", "/livez"): {"status": "alive"},
    ("get", "/readyz"): {"status": "ready", "index_version": _VERSION},
    ("get", "/metrics"): "scenerank_queue_depth 0.0\nscenerank_queue_limit 128.0\n",
}
"""By method and path."""
