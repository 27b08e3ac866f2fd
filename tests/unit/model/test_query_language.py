"""The query language: what it reads, what it refuses and where, and the way to text and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import QueryTextError
from model.query_language import Clause, TextQuery, Thing, parse_query, write_query
from model.resolution import NameResolver
from model.scene_graph import Relationship, SceneGraph, SceneObject
from model.vocabulary import Vocabulary, normalize_name

RESOLVER = NameResolver(
    Vocabulary.of_names(
        ["man", "horse", "beach", "car", "traffic light", "light", "hot dog", "dog"],
        ["riding", "on", "on top of", "next to", "of"],
        object_aliases={"guy": "man"},
        predicate_aliases={"atop": "on top of"},
    ),
    None,
)


def read(text: str) -> tuple[dict[str, tuple[str | None, tuple[str, ...]]], list[tuple[str, str | None, str]]]:
    """Objects by id, and relationships."""
    graph = parse_query(text, RESOLVER).graph
    objects = {item.id: (item.name, item.attributes) for item in graph.objects}
    return objects, [(edge.subject, edge.predicate, edge.object) for edge in graph.relationships]


@pytest.mark.parametrize(
    ("text", "objects", "edges"),
    [
        (
            "man riding horse; horse on beach; tall man",
            {"man": ("man", ("tall",)), "horse": ("horse", ()), "beach": ("beach", ())},
            [("man", "riding", "horse"), ("horse", "on", "beach")],
        ),
        ("Man ON TOP OF a car", {"man": ("Man", ()), "car": ("car", ())}, [("man", "ON TOP OF", "car")]),
        ("The tall man on an old beach", {"man": ("man", ("tall",)), "beach": ("beach", ("old",))},
         [("man", "on", "beach")]),
        ('"a" man; a', {"man": ("man", ("a",)), "a": ("a", ())}, []),
        ("man next to man#2", {"man": ("man", ()), "man#2": ("man", ())}, [("man", "next to", "man#2")]),
        ("red traffic light", {"traffic light": ("traffic light", ("red",))}, []),
        ("big red guys", {"guys": ("guys", ("big", "red"))}, []),
        ("hot dog on beach;", {"hot dog": ("hot dog", ()), "beach": ("beach", ())}, [("hot dog", "on", "beach")]),
        ('hot "dog"', {"dog": ("dog", ("hot",))}, []),
        ("* on beach; * on car", {"*0": (None, ()), "beach": ("beach", ()), "*2": (None, ()), "car": ("car", ())},
         [("*0", "on", "beach"), ("*2", "on", "car")]),
        ("*#1 on *#1", {"*#1": (None, ())}, [("*#1", "on", "*#1")]),
        ("man * horse", {"man": ("man", ()), "horse": ("horse", ())}, [("man", None, "horse")]),
        ("* * *", {"*0": (None, ()), "*1": (None, ())}, [("*0", None, "*1")]),
        ("tall * * horse", {"*0": (None, ("tall",)), "horse": ("horse", ())}, [("*0", None, "horse")]),
        ("man [feeds] zebra", {"man": ("man", ()), "zebra": ("zebra", ())}, [("man", "feeds", "zebra")]),
        ("on", {"on": ("on", ())}, []),
        ("not", {"not": ("not", ())}, []),
    ],
)  # fmt: skip
def test_what_a_text_says(
    text: str, objects: dict[str, tuple[str | None, tuple[str, ...]]], edges: list[tuple[str, str | None, str]]
) -> None:
    assert read(text) == (objects, edges)


def test_what_is_excluded() -> None:
    query = parse_query("man; not a car; NOT man riding *; not white horse", RESOLVER)
    man, anything = Thing(name="man"), Thing(name=None, number=None)

    assert query.excluded == (
        Clause(subject=Thing(name="car")),
        Clause(subject=man, predicate="riding", object=anything),
        Clause(subject=Thing(name="horse", attributes=("white",))),
    )


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 1),
        (" ; ", 1),
        ("not car", 1),
        ("man; not tall man riding horse", 10),
        ("man; not man#2", 10),
        ("man; not *", 10),
        ("man riding horse] now", 17),
        ("man#0", 4),
        ("man #2", 5),
        ("man#2x", 4),
        ("man#2 horse", 1),
        ("* man", 1),
        ('man on "horse', 8),
        ('man on "\\x"', 8),
        ('"  "', 1),
        ('man; "*"', 6),
        ("man [feeds] horse [on] beach", 19),
        ("[feeds] horse", 1),
        ("man [feeds]", 5),
        ("man [] horse", 5),
        ("man [on horse", 5),
    ],
)
def test_an_error_tells_the_column(text: str, column: int) -> None:
    with pytest.raises(QueryTextError, match=f"column {column}: ") as caught:
        parse_query(text, RESOLVER)
    assert caught.value.column == column


@pytest.mark.parametrize(
    "text",
    [
        "man riding horse; horse on beach; tall man",
        "man next to man#2; * on beach; old big man#2; not car; not man riding *",
        "man [\"feeds\"] zebra; * * *#1; red *#1",
        '"man" ["on"] "a;b"; dog',
        '"the" "car"',
    ],
)  # fmt: skip
def test_a_text_that_was_written_is_written_again(text: str) -> None:
    assert write_query(parse_query(text, RESOLVER), RESOLVER) == text


_WORDS = st.sampled_from(
    ["man", "men", "the", "a", "hot dog", "dog", "light", "traffic", "not", "on", "next to", "tall", "Man", "*1", "*#1"]
)
_TEXT = _WORDS | st.text(min_size=1, max_size=8).filter(
    lambda text: text.strip() and text != "*" and not any(0xD800 <= ord(char) < 0xE000 for char in text)
)


@st.composite
def graphs(draw: st.DrawFn) -> SceneGraph:
    names = draw(st.lists(st.none() | _TEXT, min_size=1, max_size=6))
    objects = tuple(
        SceneObject(id=f"id {row}", name=name, attributes=tuple(draw(st.lists(_TEXT, max_size=2, unique=True))))
        for row, name in enumerate(names)
    )
    end = st.sampled_from([item.id for item in objects])
    edges = st.builds(Relationship, subject=end, predicate=st.none() | _TEXT, object=end)
    return SceneGraph(objects, tuple(draw(st.lists(edges, max_size=6))))


_EXCLUDED = st.one_of(
    st.builds(lambda name: Clause(subject=Thing(name=name)), _TEXT),
    st.builds(
        lambda name, text: Clause(subject=Thing(name=name, attributes=(text,), number=1 if name else None)),
        st.none() | _TEXT,
        _TEXT,
    ),
    st.builds(
        lambda s, p, o: Clause(
            subject=Thing(name=s, number=1 if s else None), predicate=p, object=Thing(name=o, number=1 if o else None)
        ),
        st.none() | _TEXT,
        st.none() | _TEXT,
        st.none() | _TEXT,
    ),
)


def by_mention(graph: SceneGraph) -> tuple[list[tuple[str | None, tuple[str, ...]]], list[tuple[int, str | None, int]]]:
    """The graph with numbers for ids, objects in the order in which relationships, then the others, mention them."""
    related = [end for edge in graph.relationships for end in (edge.subject, edge.object)]
    order = list(dict.fromkeys((*related, *(item.id for item in graph.objects))))
    objects = {item.id: (item.name, item.attributes) for item in graph.objects}
    edges = [(order.index(edge.subject), edge.predicate, order.index(edge.object)) for edge in graph.relationships]
    return [objects[key] for key in order], edges


@settings(max_examples=400, deadline=None)
@given(graph=graphs(), excluded=st.lists(_EXCLUDED, max_size=2))
def test_a_graph_comes_back_from_its_text(graph: SceneGraph, excluded: list[Clause]) -> None:
    text = write_query(TextQuery(graph=graph, excluded=tuple(excluded)), RESOLVER)
    back = parse_query(text, RESOLVER)

    assert by_mention(back.graph) == by_mention(graph)
    assert back.excluded == tuple(excluded)
    assert len({normalize_name(item.id) for item in back.graph.objects}) == len(graph.objects)
    assert write_query(back, RESOLVER) == text
