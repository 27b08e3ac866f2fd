"""One invented scene: objects with boxes and attributes, and relationships that agree with the boxes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from training.data.demo_world.geometry import Box, box_at, box_in, holds, place
from training.data.demo_world.grammar import Fact, Grammar, SceneKind, Thing, pick

MAX_OBJECTS = 14
MAX_RELATIONSHIPS = 15
_SIZES = ((640, 480), (640, 427), (500, 375), (480, 480), (480, 640))


@dataclass(slots=True, eq=False)
class Item:
    """An object of a scene.

    `depth` orders the drawing, `scale` is the size at its distance, `ground` the y of the ground where it is (under the
    table it lies on, say), `color` a name or #rgb; what is not `movable` is held, worn, hung up or a region.
    """

    thing: Thing
    box: Box
    color: str
    attributes: list[str] = field(default_factory=list)
    pose: str = ""
    depth: float = 0.0
    scale: float = 1.0
    ground: float = 0.0
    faces_left: bool = False
    movable: bool = True
    taken: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Scene:
    """A scene. `regions` are its background; those that take part in a relationship are among `items` too."""

    kind: SceneKind
    canvas: Box
    regions: list[Item]
    items: list[Item] = field(default_factory=list)
    relationships: list[tuple[Item, str, Item]] = field(default_factory=list)


def sample_scene(grammar: Grammar, rng: np.random.Generator) -> Scene:
    """A scene of some kind: its facts as far as there is room, then what can be seen from the boxes alone."""
    while True:
        builder = _Builder(grammar, rng)
        scene, facts = builder.scene, builder.scene.kind.facts
        counts = [int(fact.mean) + (rng.random() < fact.mean % 1) for fact in facts]
        wanted = [fact for fact, count in zip(facts, counts, strict=True) for _ in range(count)]
        # What a kind of scene always has comes first; the rest in chance order, so that the limits cut all alike.
        order = sorted(range(len(wanted)), key=lambda index: (wanted[index].mean < 1, rng.random()))
        for index in order:
            # A fact brings four objects at most: two, what one of them lies on, and the ground of that.
            if len(scene.items) <= MAX_OBJECTS - 4 and len(scene.relationships) <= MAX_RELATIONSHIPS - 3:
                builder.add(wanted[index])
        builder.observe(int(rng.integers(0, 4)))
        if len(scene.items) >= 4 and len(scene.relationships) >= 3:
            assert len(scene.items) <= MAX_OBJECTS
            assert len(scene.relationships) <= MAX_RELATIONSHIPS
            return scene


class _Builder:
    """Adds facts to a scene that starts with nothing but its background."""

    def __init__(self, grammar: Grammar, rng: np.random.Generator) -> None:
        self.grammar, self.rng = grammar, rng
        kind = pick(rng, grammar.kinds)
        width, height = pick(rng, _SIZES)
        canvas, shift = Box(0, 0, width, height), rng.uniform(-0.04, 0.04)
        edges = [0.0, *(top + shift for _, top in kind.regions[1:]), 1.0]
        regions = []
        for (name, _), top, bottom in zip(kind.regions, edges[:-1], edges[1:], strict=True):
            y = round(top * height)
            regions.append(self._item(grammar.things[name], Box(0, y, width, round(bottom * height) - y)))
        self.scene = Scene(kind, canvas, regions)
        self.ground = regions[-1]

    def add(self, fact: Fact) -> None:
        """Make one instance of a fact true, if there is a place for it."""
        subject_name, predicate, object_name = (
            pick(self.rng, options) for options in (fact.subjects, fact.predicates, fact.objects)
        )
        rule = self.grammar.predicates[predicate].rule
        by_subject = rule in ("held", "slot")
        anchor_name, mover_name = (subject_name, object_name) if by_subject else (object_name, subject_name)
        anchor = self._anchor(anchor_name, rule, fact.home, mover_name)
        mover = anchor and (
            self._mover_in_place(mover_name, rule, anchor) or self._placed(mover_name, predicate, anchor)
        )
        if anchor is None or mover is None:
            return
        key = mover_name if rule == "slot" else rule
        anchor.taken[key] = anchor.taken.get(key, 0) + 1
        subject, other = (anchor, mover) if by_subject else (mover, anchor)
        self._relate(subject, predicate, other)

    def observe(self, count: int) -> None:
        """Add up to `count` relationships that the boxes show: next to, near, behind, in front of."""
        standing = [item for item in self.scene.items if item.movable]
        related = {frozenset((id(subject), id(other))) for subject, _, other in self.scene.relationships}
        for _ in range(4 * count):
            if count == 0 or len(standing) < 2 or len(self.scene.relationships) >= MAX_RELATIONSHIPS:
                return
            subject, other = pick(self.rng, standing), pick(self.rng, standing)
            predicate = pick(self.rng, ("next to", "near", "behind", "in front of"))
            pair = frozenset((id(subject), id(other)))
            fits = holds(self.grammar.predicates[predicate].rule, subject.box, other.box)
            if subject is not other and pair not in related and fits and abs(subject.scale - other.scale) < 0.2:
                related.add(pair)
                self.scene.relationships.append((subject, predicate, other))
                count -= 1

    def _relate(self, subject: Item, predicate: str, other: Item) -> None:
        self.scene.items += [item for item in (other, subject) if item not in self.scene.items]
        if (subject, predicate, other) not in self.scene.relationships:
            self.scene.relationships.append((subject, predicate, other))
        subject.faces_left = other.box.cx < subject.box.cx if other.movable else subject.faces_left

    def _anchor(self, name: str, rule: str, home: str, mover: str) -> Item | None:
        """Who the new object is placed by: a region, something in the scene that has room for it, or something new."""
        for region in self.scene.regions:
            if region.thing.name == name:
                return region
        thing = self.grammar.things[name]
        room = {"on_top": thing.room, "slot": len(self.grammar.things[mover].slots)}.get(rule, 1)
        key = mover if rule == "slot" else rule
        free = [
            item
            for item in self.scene.items
            if item.thing is thing
            and item.taken.get(key, 0) < room
            and not (rule in ("held", "slot") and item.pose == "lying")
        ]
        if free and (rule == "on_top" or thing.far or self.rng.random() < 0.8):
            return pick(self.rng, free)
        if thing.room > 1 and any(item.thing is thing for item in self.scene.items):
            return None  # one table, however crowded
        return self._new_anchor(thing, home)

    def _mover_in_place(self, name: str, rule: str, anchor: Item) -> Item | None:
        """Something in the scene that already stands where the rule wants it."""
        if anchor in self.scene.regions and self.grammar.things[name].room > 1:
            told = [subject for subject, _, other in self.scene.relationships if other is anchor]
            standing = [item for item in self.scene.items if item.thing.name == name and item not in told]
            return next((item for item in standing if item.movable and holds("ground", item.box, anchor.box)), None)
        if rule not in ("beside", "behind", "in_front", "above"):
            return None
        fitting = [item for item in self.scene.items if item.thing.name == name and item is not anchor]
        return next((item for item in fitting if item.movable and holds(rule, item.box, anchor.box)), None)

    def _placed(self, name: str, predicate: str, anchor: Item) -> Item | None:
        """A new object where the predicate wants it; None if the picture has no room there."""
        thing, grammar, canvas = self.grammar.things[name], self.grammar, self.scene.canvas
        rule, pose = grammar.predicates[predicate].rule, grammar.predicates[predicate].pose if thing.alive else ""
        pose = "" if pose == "sitting" and anchor.thing.stood else pose
        if anchor in self.scene.regions:
            rule = "inside" if anchor.thing.upright else "ground"
        if rule == "ground":
            return self._on_ground(thing, anchor, pose)
        if rule == "slot":
            return self._in_slot(thing, anchor)
        scale = anchor.scale * (0.92 if rule == "behind" else 1.0)
        w, h = self._size(thing, pose, scale)
        shrink = min(0.6 * anchor.box.h / h, 1.0) if rule == "under" else 1.0
        w, h = shrink * w, shrink * h
        level = thing.held if rule == "held" else anchor.thing.seat
        for _ in range(4):
            cx, foot = place(rule, anchor.box, w, h, level=level, rng=self.rng)
            if rule == "beside" and thing.alive:
                foot = anchor.ground
            elif rule == "behind" and thing.far:
                foot = self.scene.regions[1].box.y + 0.03 * canvas.h
            elif rule == "on_top" and pose == "sitting" and thing.tall:
                foot = min(foot + 0.3 * h, anchor.box.foot)  # legs hang down
            box = box_at(cx, foot, w, h, canvas)
            if holds(rule, *((anchor.box, box) if rule == "held" else (box, anchor.box))):
                break
        else:
            return None
        item = self._item(thing, box, pose)
        if rule in ("on_top", "held", "under"):
            item.depth, item.ground = anchor.depth + (-0.1 if predicate in ("under", "in") else 0.1), anchor.ground
        elif rule == "inside":
            item.depth -= 1e4  # behind all that stands
            item.ground = self.ground.box.y + 0.2 * self.ground.box.h
        elif rule == "beside" and not thing.alive:
            item.depth = anchor.depth + 0.01
        item.scale, item.movable = scale, rule not in ("held", "inside", "above")
        return item

    def _in_slot(self, thing: Thing, anchor: Item) -> Item | None:
        """A new object that the anchor wears or has, in the next free place for it."""
        x, y, w, h = thing.slots[anchor.taken.get(thing.name, 0)]
        item = self._item(thing, box_in(anchor.box, (x, y, w, h), self.scene.canvas))
        item.depth, item.movable, item.faces_left = anchor.depth + 0.05, False, anchor.faces_left
        return item if holds("slot", anchor.box, item.box) else None

    def _on_ground(self, thing: Thing, region: Item, pose: str = "") -> Item:
        """A new object standing in a region, where it hides as little as possible of the others."""
        canvas, best, least = self.scene.canvas, None, float("inf")
        nearness = 0.8 if self.scene.regions[0].thing.name == "wall" else 0.4  # rooms are not deep
        for _ in range(6):
            cx, foot = place("ground", region.box, 0.0, 0.0, level=0.0, rng=self.rng)
            foot = region.box.y + 0.05 * region.box.h if thing.far else foot
            scale = min(max(0.4 + (foot / canvas.h - 0.45) * 1.2, nearness), 1.0)
            box = box_at(cx, foot, *self._size(thing, pose, 0.8 if thing.far else scale), canvas)
            hidden = sum(
                _overlap(box, item.box) for item in self.scene.items if item.movable and item not in self.scene.regions
            )
            if hidden < least and holds("ground", box, region.box):
                best, least = (box, scale), hidden
        box, scale = best or (box_at(region.box.cx, region.box.foot, *self._size(thing, pose, 1.0), canvas), 1.0)
        item = self._item(thing, box, pose)
        item.scale = scale
        return item

    def _new_anchor(self, thing: Thing, home: str) -> Item | None:
        """A new object for others to be placed by, in a region or on another object; sometimes said to be there."""
        region = next((region for region in self.scene.regions if region.thing.name == home), None)
        if region is None:
            support = self._anchor(home, "on_top", self.ground.thing.name, thing.name)
            item = support and self._placed(thing.name, "on", support)
            if support and item:
                self._relate(item, "on", support)
            return item
        item = self._placed(thing.name, "on", region)
        if item and (region in self.scene.items or self.rng.random() < 0.3):
            self._relate(item, "in" if region.thing.name in ("water", "snow") else thing.stands, region)
        elif item:
            self.scene.items.append(item)
        return item

    def _size(self, thing: Thing, pose: str, scale: float) -> tuple[float, float]:
        unit = min(self.scene.canvas.w, self.scene.canvas.h) * scale * self.rng.uniform(0.92, 1.08)
        w, h = thing.size[0] * unit, thing.size[1] * unit
        if pose == "sitting" and thing.tall:
            return 1.15 * w, 0.76 * h
        if pose == "lying":
            return (0.85 * h, 0.65 * w) if thing.tall else (1.05 * w, 0.75 * h)
        return w, h

    def _item(self, thing: Thing, box: Box, pose: str = "") -> Item:
        rng = self.rng
        palette = thing.colors or thing.paint
        color = thing.base or pick(rng, self.grammar.palettes.get(palette, [palette]))
        attributes = [color] if thing.colors and rng.random() < 0.7 else []
        if thing.also and rng.random() < 0.35:
            attributes.append(pick(rng, thing.also))
        return Item(
            thing,
            box,
            color,
            attributes,
            pose,
            float(box.foot),
            ground=float(box.foot),
            faces_left=bool(rng.random() < 0.5),
            movable=not thing.base,
        )


def _overlap(one: Box, two: Box) -> float:
    """The part of the smaller box that both cover."""
    across = min(one.right, two.right) - max(one.x, two.x)
    down = min(one.foot, two.foot) - max(one.y, two.y)
    return max(across, 0) * max(down, 0) / min(one.w * one.h, two.w * two.h)


def objects_by_name(items: Sequence[Item]) -> dict[str, list[Item]]:
    """The objects of each name, in their order."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.thing.name, []).append(item)
    return groups
