"""How an image looks in a report: its picture if that is a small local file, else its boxes, else its relationships."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlparse

import numpy as np
from numpy.typing import NDArray

from model.batch import PackedGraphs
from model.dataset import SceneGraphDataset
from model.vocabulary import Vocabulary

_TYPES: Final = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
_MAX_BYTES: Final = 200_000
_MAX_BOXES: Final = 12
_MAX_TRIPLES: Final = 6

Triple = tuple[str, str, str]


def triples_of(graphs: PackedGraphs, number: int, vocabulary: Vocabulary) -> list[Triple]:
    """The relationships of one of the graphs by name: subject, predicate, object."""
    first = int(graphs.object_offsets[number])
    edges = slice(*graphs.relationship_offsets[number : number + 2].tolist())
    return [
        (
            vocabulary.objects[graphs.objects[first + subject]],
            vocabulary.predicates[predicate],
            vocabulary.objects[graphs.objects[first + target]],
        )
        for subject, predicate, target in zip(
            graphs.subjects[edges].tolist(),
            graphs.predicates[edges].tolist(),
            graphs.targets[edges].tolist(),
            strict=True,
        )
    ]


def picture(dataset: SceneGraphDataset, image: int) -> str:
    """The image as an HTML element that needs no other file; "" where neither picture nor boxes are known."""
    return _embedded(dataset.urls[image], str(dataset.image_ids[image])) or _layout(dataset, image)


def triple_list(triples: Sequence[Triple], wanted: set[Triple]) -> str:
    """Relationships as an HTML list, those of the query marked and first."""
    ordered = sorted(triples, key=lambda triple: triple not in wanted)
    shown, more = ordered[:_MAX_TRIPLES], len(ordered) - _MAX_TRIPLES
    items = [
        f"<li><mark>{escape(' '.join(triple))}</mark></li>"
        if triple in wanted
        else f"<li>{escape(' '.join(triple))}</li>"
        for triple in shown
    ]
    if more > 0:
        items.append(f"<li>and {more} more</li>")
    return f"<ul>{''.join(items)}</ul>" if items else ""


def _embedded(url: str, alternative: str) -> str:
    parts = urlparse(url)
    path = Path(unquote(parts.path))
    kind = _TYPES.get(path.suffix.lower())
    if parts.scheme != "file" or kind is None:
        return ""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return ""
        data = base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return ""
    return f'<img src="data:{kind};base64,{data}" alt="image {escape(alternative)}" />'


def _layout(dataset: SceneGraphDataset, image: int) -> str:
    """The boxes of the largest objects with their names, as SVG."""
    rows = slice(*dataset.graphs.object_offsets[image : image + 2].tolist())
    boxes: NDArray[np.float32] = dataset.boxes[rows]
    names = dataset.graphs.objects[rows]
    known = np.flatnonzero(np.isfinite(boxes).all(axis=1))
    if not len(known):
        return ""
    known = known[np.argsort(-boxes[known, 2] * boxes[known, 3], kind="stable")][:_MAX_BOXES]
    width = int(dataset.widths[image]) or float((boxes[known, 0] + boxes[known, 2]).max())
    height = int(dataset.heights[image]) or float((boxes[known, 1] + boxes[known, 3]).max())
    unit = max(width, height) / 100
    shapes = []
    for row in known.tolist():
        x, y, w, h = boxes[row].tolist()
        name = escape(dataset.vocabulary.objects[names[row]])
        shapes.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{w:.0f}" height="{h:.0f}" class="box" stroke-width="{unit:.1f}" />'
            f'<text x="{x + unit:.0f}" y="{y + 7 * unit:.0f}" font-size="{6.5 * unit:.1f}">{name}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width:.0f} {height:.0f}" class="layout">'
        f"{''.join(shapes)}</svg>"
    )
