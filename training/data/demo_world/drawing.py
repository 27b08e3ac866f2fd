"""A scene as a small SVG picture: its regions, then its objects from far to near, each an icon in its box."""

from xml.sax.saxutils import escape

from training.data.demo_world.grammar import Grammar
from training.data.demo_world.scene import Item, Scene


def draw_scene(scene: Scene, grammar: Grammar, title: str) -> str:
    """The picture of a scene, an SVG document without any reference to the outside.

    Args:
        scene: what to draw.
        grammar: icons and colours.
        title: what the picture shows, for those who cannot see it.
    """
    width, height = scene.canvas.w, scene.canvas.h
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{escape(title)}</title>",
    ]
    for region in scene.regions:
        box = region.box
        parts.append(f'<rect y="{box.y}" width="{box.w}" height="{box.h}" fill="{region.color}"/>')
        parts.append(f'<rect y="{box.y}" width="{box.w}" height="{max(box.h // 12, 3)}" fill="#fff" opacity=".18"/>')
    parts += [_icon(item, grammar) for item in sorted(scene.items, key=lambda item: item.depth) if not item.thing.base]
    return "\n".join([*parts, "</svg>\n"])


def _icon(item: Item, grammar: Grammar) -> str:
    box, color = item.box, grammar.colors.get(item.color, item.color)
    name = item.thing.icon or item.thing.name
    if item.pose in grammar.icons and item.thing.tall:
        name = item.pose
    shades = {"dark": _mix(color, 0, 0.22), "light": _mix(color, 255, 0.4)}
    layers = []
    for layer in grammar.icons[name]:
        paint, shape, *numbers = layer.split(" ")
        layers.append(_shape(shape, numbers, "" if paint == "main" else f' fill="{shades.get(paint, paint)}"'))
    x, flip = (box.right, -1) if item.faces_left else (box.x, 1)
    move = f"translate({x} {box.y}) scale({flip * box.w / 100:.3g} {box.h / 100:.3g})"
    return f'<g transform="{move}" fill="{color}"><title>{item.thing.name}</title>{"".join(layers)}</g>'


def _shape(shape: str, numbers: list[str], fill: str) -> str:
    match shape:
        case "r":
            x, y, w, h, *rounding = numbers
            rx = f' rx="{rounding[0]}"' if rounding else ""
            return f'<rect x="{x}" y="{y}" width="{w}" height="{h}"{rx}{fill}/>'
        case "o":
            cx, cy, rx, ry = numbers
            return f'<ellipse cx="{cx}" cy="{cy}" rx="{rx}" ry="{ry}"{fill}/>'
        case "p":
            return f'<path d="{" ".join(numbers)}"{fill}/>'
    raise AssertionError(f"icons.toml: unknown shape {shape!r}")


def _mix(color: str, other: int, share: float) -> str:
    """A colour with a share of black (0) or white (255)."""
    digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
    channels = (int(digits[at : at + 2], 16) for at in (0, 2, 4))
    return "#" + "".join(f"{round(channel * (1 - share) + other * share):02x}" for channel in channels)
