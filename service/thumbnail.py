"""A scene graph as a small picture in SVG: its boxes where it has some, else its objects and relationships.

The layout comes from the graph alone, so one graph is one picture, byte for byte.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from xml.sax.saxutils import escape

from model.scene_graph import Box, SceneGraph, SceneObject

WIDTH: Final = 320
"""Of a picture; its height is at most as much and a half. Units: pixels."""

MAX_OBJECTS: Final = 60
"""Objects drawn with boxes; the largest where there are more."""

MAX_NODES: Final = 16
"""Objects drawn without boxes; more would not leave their labels room."""

_MAX_EDGES: Final = 40
_MIN_HEIGHT, _MAX_HEIGHT = 120, 480
_FONT: Final = 11
_LINE: Final = 15  # a label's height
_LONGEST: Final = 22  # characters of a label
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MORE_ROOM: Final = 20  # below the graph, for how many are not drawn


@dataclass(frozen=True, slots=True)
class _Area:
    """A rectangle of the picture."""

    x: float
    y: float
    w: float
    h: float

    def meets(self, other: "_Area") -> bool:
        return (
            self.x < other.x + other.w
            and other.x < self.x + self.w
            and self.y < other.y + other.h
            and other.y < self.y + self.h
        )

    @property
    def centre(self) -> tuple[float, float]:
        return self.x + self.w / 2, self.y + self.h / 2


def draw(graph: SceneGraph, width: int | None = None, height: int | None = None) -> str:
    """The picture as an SVG document of bounded size, without scripts and links.

    Args:
        graph: what to draw.
        width: of the image, if known. Units: pixels.
        height: of the image, if known. Units: pixels.
    """
    boxed = [(item, item.box) for item in graph.objects if item.box is not None]
    return _draw_boxes(boxed, len(graph.objects), width, height) if boxed else _draw_graph(graph)


def _draw_boxes(boxed: list[tuple[SceneObject, Box]], total: int, width: int | None, height: int | None) -> str:
    """Larger boxes lie below smaller ones; labels keep clear of each other, and those without room are left out."""
    across = float(width or max((box.x + box.w for _, box in boxed)))
    down = float(height or max((box.y + box.h for _, box in boxed)))
    across, down = max(across, 1.0), max(down, 1.0)
    tall = min(max(WIDTH * down / across, _MIN_HEIGHT), _MAX_HEIGHT)
    areas = [(item, _place(box, WIDTH / across, tall / down, tall)) for item, box in boxed]
    areas.sort(key=lambda pair: -pair[1].w * pair[1].h)
    areas = areas[:MAX_OBJECTS]
    boxes, labels, taken = list[str](), list[str](), list[_Area]()
    more = _more(total - len(areas), tall)
    if more:
        taken.append(_Area(WIDTH - 70, tall - _LINE - 4, 70, _LINE + 4))
    for item, area in areas:
        colour, name = _colour(item.name), _text(item.name)
        shape = _rectangle(area)
        boxes.append(f'<rect {shape} fill="{colour}" stroke="{colour}"><title>{name}</title></rect>')
        wide = min(_wide(_short(item.name)), WIDTH - 2.0)
        spots = (
            _Area(min(max(x, 1), WIDTH - wide - 1), min(max(y, 1), tall - _LINE - 1), wide, _LINE)
            for y in (area.y, area.y + area.h - _LINE, area.y + area.h / 2 - _LINE / 2, area.y - _LINE)
            for x in (area.x, area.x + area.w - wide, area.x + (area.w - wide) / 2)
        )
        free = next((spot for spot in spots if not any(map(spot.meets, taken))), None)
        if free is not None:
            taken.append(free)
            labels.append(_label(free, item.name))
    style = "rect{fill-opacity:.16;stroke-width:1.5}.l{fill-opacity:.92;stroke:none}"
    return _document(tall, style, [*boxes, *labels, more])


def _draw_graph(graph: SceneGraph) -> str:
    """Objects on an ellipse in their order, an arrow for all relationships from one to another."""
    shown = graph.objects[:MAX_NODES]
    tall = _MIN_HEIGHT if len(shown) <= 2 else (240 if len(shown) <= 8 else WIDTH) + _MORE_ROOM
    areas = dict(zip((item.id for item in shown), _on_ellipse(shown, tall - _MORE_ROOM), strict=True))
    predicates: dict[tuple[str, str], list[str]] = {}
    for edge in graph.relationships:
        if edge.subject in areas and edge.object in areas:
            predicates.setdefault((edge.subject, edge.object), []).append(edge.predicate or "*")
    busy = Counter(end for pair in predicates for end in pair)
    arrows = list[str]()
    for (subject, target), words in list(predicates.items())[:_MAX_EDGES]:
        text = _short(", ".join(dict.fromkeys(words)))
        # Where many arrows meet there is no room for words; of a pair that relates both ways each has its own half.
        share = 0.5 + 0.14 * ((busy[subject] > busy[target]) - (busy[subject] < busy[target]))
        share = 0.36 if (target, subject) in predicates else share
        arrows.append(_loop(areas[subject], text) if subject == target else _arrow(areas, subject, target, text, share))
    nodes = [_label(areas[item.id], item.name) for item in shown]
    style = (
        "path{fill:none;stroke:#8a8f98;stroke-width:1.3}"
        ".p{fill:#333;font-size:10px;paint-order:stroke;stroke:#fafafa;stroke-width:3px}"
    )
    tip = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<polygon points="0,1 8,4 0,7" fill="#8a8f98"/></marker></defs>'
    )
    return _document(tall, style, [tip, *arrows, *nodes, _more(len(graph.objects) - len(shown), tall)])


def _on_ellipse(items: Sequence[SceneObject], tall: float) -> Iterator[_Area]:
    """From the top down the left side and up the right; labels are wide, so rows are evenly apart."""
    rows = -(-len(items) // 2)
    for place, item in enumerate(items):
        wide = _wide(_short(item.name))
        row = place if place < rows else len(items) - 1 - place
        y = (2 * row + 1) / rows - 1
        x = math.sqrt(1 - y * y) * (-1 if place < rows else 1) if len(items) > 1 else 0.0
        left = WIDTH / 2 + x * (WIDTH / 2 - 48) - wide / 2
        top = tall / 2 + y * (tall / 2 - 8) - _LINE / 2
        yield _Area(min(max(left, 2), WIDTH - wide - 2), top, wide, _LINE)


def _arrow(areas: dict[str, _Area], subject: str, target: str, text: str, share: float) -> str:
    (ax, ay), (bx, by) = _edge(areas[subject], areas[target]), _edge(areas[target], areas[subject])
    x, y = ax + (bx - ax) * share, ay + (by - ay) * share + 3
    line = f'<path d="M{ax:.1f} {ay:.1f}L{bx:.1f} {by:.1f}" marker-end="url(#tip)"/>'
    return f'{line}<text class="p" x="{x:.1f}" y="{y:.1f}">{_text(text)}</text>'


def _loop(area: _Area, text: str) -> str:
    x, y = area.centre[0], area.y + area.h
    line = f'<path d="M{x - 8:.1f} {y:.1f}C{x - 18:.1f} {y + 22:.1f} {x + 18:.1f} {y + 22:.1f} {x + 8:.1f} {y:.1f}"'
    return f'{line} marker-end="url(#tip)"/><text class="p" x="{x:.1f}" y="{y + 28:.1f}">{_text(text)}</text>'


def _edge(area: _Area, towards: _Area) -> tuple[float, float]:
    """Where the line between two centres leaves the first area, and a little further."""
    (x, y), (to_x, to_y) = area.centre, towards.centre
    dx, dy = to_x - x, to_y - y
    share = min((area.w / 2 + 2) / abs(dx) if dx else math.inf, (area.h / 2 + 2) / abs(dy) if dy else math.inf, 0.5)
    return x + dx * share, y + dy * share


def _place(box: Box, across: float, down: float, tall: float) -> _Area:
    """The part of a box that lies in the picture, at least two pixels each way."""
    left, right = (min(max(side * across, 0.0), WIDTH) for side in (box.x, box.x + box.w))
    top, bottom = (min(max(side * down, 0.0), tall) for side in (box.y, box.y + box.h))
    w, h = max(right - left, 2.0), max(bottom - top, 2.0)
    return _Area(min(left, WIDTH - w), min(top, tall - h), w, h)


def _label(area: _Area, name: str | None) -> str:
    x, y = area.x + area.w / 2, area.y + _LINE - 4
    shape = _rectangle(area)
    return f'<rect class="l" {shape} rx="3" fill="{_colour(name)}"/><text x="{x:.1f}" y="{y:.1f}">{_text(name)}</text>'


def _rectangle(area: _Area) -> str:
    return f'x="{area.x:.1f}" y="{area.y:.1f}" width="{area.w:.1f}" height="{area.h:.1f}"'


def _more(count: int, tall: float) -> str:
    if count <= 0:
        return ""
    return f'<text x="{WIDTH - 5}" y="{tall - 6:.1f}" style="text-anchor:end;fill:#555">+{count} more</text>'


def _document(tall: float, style: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {tall:.0f}" width="{WIDTH}" height="{tall:.0f}">'
        f"<style>text{{font:{_FONT}px system-ui,sans-serif;fill:#fff;text-anchor:middle}}{style}</style>"
        f'<rect width="{WIDTH}" height="{tall:.0f}" style="fill:#fafafa;fill-opacity:1;stroke:none"/>'
        f"{''.join(parts)}</svg>"
    )


def _short(name: str | None) -> str:
    text = _NO_XML.sub("\ufffd", name or "*")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _text(name: str | None) -> str:
    return escape(_short(name))


def _wide(text: str) -> float:
    """About how wide a label is; Chinese and the like take twice the room."""
    return sum(1.0 if ord(character) > 0x2E7F else 0.58 for character in text) * _FONT + 8


def _colour(name: str | None) -> str:
    """The same for the same name everywhere, and dark enough for white text."""
    hue = int.from_bytes(sha256((name or "*").encode()).digest()[:2], "big") % 360
    return f"hsl({hue},58%,36%)"
