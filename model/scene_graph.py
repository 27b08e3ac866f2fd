"""What a scene graph is: objects, and directed relationships between them."""

from dataclasses import dataclass

from model.errors import GraphError, Problem


@dataclass(frozen=True, slots=True)
class Box:
    """Where an object is in its picture.

    Units: pixels; (x, y) is the upper left corner, w and h the width and height.
    """

    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneObject:
    """A thing in the scene.

    Args:
        id: the caller's own identifier, unique in the graph.
        name: free text, such as "traffic light"; None is a wildcard, "some object".
        attributes: free texts, such as "tall".
        box: where it is in the picture, if known.
    """

    id: str
    name: str | None
    attributes: tuple[str, ...] = ()
    box: Box | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Relationship:
    """A directed, named edge: subject, predicate, object.

    Args:
        subject: id of the object the predicate speaks of.
        predicate: free text, such as "standing on"; None is a wildcard, "somehow related".
        object: id of the other object; may be the subject itself.
    """

    subject: str
    predicate: str | None
    object: str


@dataclass(frozen=True, slots=True)
class SceneGraph:
    """Objects and the relationships between them; valid by construction.

    A partial graph is any non-empty part of a graph: one object alone is enough. Two objects may bear one name, and
    self-loops, cycles and parallel relationships are legal.

    Raises:
        GraphError: no object, two objects of one id, or a relationship whose end is not among the objects.
    """

    objects: tuple[SceneObject, ...]
    relationships: tuple[Relationship, ...] = ()

    def __post_init__(self) -> None:
        ids = {scene_object.id for scene_object in self.objects}
        valid = len(ids) == len(self.objects) > 0 and all(
            edge.subject in ids and edge.object in ids for edge in self.relationships
        )
        if not valid:
            raise GraphError(_problems(self))


def _problems(graph: SceneGraph) -> list[Problem]:
    if not graph.objects:
        return [Problem("/objects", "a graph needs at least one object")]
    problems: list[Problem] = []
    first_position: dict[str, int] = {}
    for position, scene_object in enumerate(graph.objects):
        if scene_object.id in first_position:
            where = f"/objects/{first_position[scene_object.id]}"
            problems.append(
                Problem(f"/objects/{position}/id", f"id {scene_object.id!r} is taken by {where}; ids must be unique")
            )
        else:
            first_position[scene_object.id] = position
    for position, edge in enumerate(graph.relationships):
        for role, end in (("subject", edge.subject), ("object", edge.object)):
            if end not in first_position:
                problems.append(
                    Problem(
                        f"/relationships/{position}/{role}",
                        f"no object has the id {end!r}; add the object or correct the id",
                    )
                )
    return problems
