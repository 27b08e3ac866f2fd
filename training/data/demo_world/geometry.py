"""Where things stand in a picture: a rule places one box by another, or tells whether two boxes obey it."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Box:
    """A box. Units: pixels, y downwards."""

    x: int
    y: int
    w: int
    h: int

    @property
    def cx(self) -> float:
        """The middle, across."""
        return self.x + self.w / 2

    @property
    def cy(self) -> float:
        """The middle, from the top."""
        return self.y + self.h / 2

    @property
    def right(self) -> int:
        """The right edge."""
        return self.x + self.w

    @property
    def foot(self) -> int:
        """The lower edge, where a thing stands."""
        return self.y + self.h


def box_at(cx: float, foot: float, w: float, h: float, canvas: Box) -> Box:
    """The box of this size around cx and above foot, moved (and if need be cut) into the canvas."""
    width, height = (min(max(round(side), 6), limit) for side, limit in ((w, canvas.w), (h, canvas.h)))
    x = min(max(round(cx - width / 2), 0), canvas.w - width)
    y = min(max(round(foot) - height, 0), canvas.h - height)
    return Box(x, y, width, height)


def box_in(anchor: Box, slot: tuple[float, float, float, float], canvas: Box) -> Box:
    """The box at (x, y, w, h), parts of the anchor's, as far as the canvas reaches."""
    x, y, w, h = slot
    return box_at(anchor.x + (x + w / 2) * anchor.w, anchor.y + (y + h) * anchor.h, w * anchor.w, h * anchor.h, canvas)


def place(  # noqa: PLR0911  # a table of rules
    rule: str, anchor: Box, w: float, h: float, *, level: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Where something comes to stand by an anchor.

    Args:
        rule: of the predicate; "ground" is standing on a region.
        anchor: the relationship's object; its subject under "held".
        w: width of what is placed.
        h: its height.
        level: how far below the anchor's top it rests or is held, as a part of the anchor's height.
        rng: where there is a choice.

    Returns:
        The middle (across) and the foot.
    """
    u, side = rng.uniform(-1, 1), 1 if rng.random() < 0.5 else -1
    slack = max(anchor.w - w, 0) / 2
    match rule:
        case "on_top":
            return anchor.cx + 0.85 * u * slack, anchor.y + level * anchor.h
        case "under":
            return anchor.cx + 0.7 * u * slack, anchor.foot - 0.02 * anchor.h
        case "inside":
            return anchor.cx + 0.95 * u * slack, anchor.y + h + (0.1 + 0.7 * rng.random()) * max(anchor.h - h, 0)
        case "ground":
            return anchor.cx + 0.95 * u * slack, anchor.y + (0.06 + 0.86 * rng.random()) * anchor.h
        case "beside":
            return anchor.cx + side * ((anchor.w + w) / 2 + (0.04 + 0.3 * rng.random()) * w), float(anchor.foot)
        case "behind":
            return anchor.cx + 0.35 * u * anchor.w, anchor.foot - 0.12 * anchor.h - 4
        case "in_front":
            return anchor.cx + 0.35 * u * anchor.w, anchor.foot + 0.15 * anchor.h + 4
        case "above":
            return anchor.cx + 0.2 * u * anchor.w, anchor.y - 0.06 * anchor.h - 2
        case "held":
            return anchor.cx + side * 0.4 * anchor.w, anchor.y + level * anchor.h + h / 2
    raise AssertionError(f"unknown rule {rule!r}")


def holds(rule: str, subject: Box, other: Box) -> bool:  # noqa: PLR0911  # a table of rules
    """Whether the boxes of a relationship's subject and object agree with the rule of its predicate."""
    gap = max(subject.x, other.x) - min(subject.right, other.right)  # negative: they overlap, across
    drop = max(subject.y, other.y) - min(subject.foot, other.foot)
    match rule:
        case "on_top":
            return (
                other.x <= subject.cx <= other.right and other.y <= subject.foot <= other.foot and subject.cy < other.cy
            )
        case "under":
            return other.x <= subject.cx <= other.right and other.cy < subject.cy and subject.foot <= other.foot
        case "inside":
            return (
                subject.x >= other.x
                and subject.right <= other.right
                and other.y <= subject.y
                and subject.foot <= other.foot
            )
        case "ground":
            return other.y <= subject.foot <= other.foot
        case "beside":
            return -0.2 * min(subject.w, other.w) <= gap <= max(subject.w, other.w) and drop < 0
        case "behind":
            return gap < 0 and drop < other.h and subject.foot < other.foot
        case "in_front":
            return gap < 0 and drop < subject.h and subject.foot > other.foot
        case "above":
            return gap < 0 and subject.foot <= other.y
        case "held" | "slot":
            return gap < 0 and drop < 0
    raise AssertionError(f"unknown rule {rule!r}")
