"""Scenes in one line: `man riding horse; horse on beach; tall man; not car`, read to a graph and written back.

    text       clause { ";" clause }
    clause     [ "not" ] thing [ predicate thing ]
    thing      { attribute } ( name | "*" ) [ "#" number ]
    predicate  the longest known one in the clause, the first of several; or `[any words]`; or `*`, any

Names are the same thing wherever they stand: `horse` above is one horse. `man#2` is a second man. Each `*` is a thing
of its own, unless marked, as in `*#1`. Words before a thing's name are attributes, each word one; its name is the
longest known name at the end, else the last word. `a`, `an` and `the` before it say nothing. A name or an attribute in
double quotes is taken as it stands (`"hot dog"`, with JSON's escapes), and so are the words in brackets. `not` excludes
images: `not car`, `not man riding *`, `not white horse`.
"""

import json
import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from model.errors import QueryTextError
from model.graph_reader import WILDCARD
from model.resolution import NameResolver
from model.scene_graph import Relationship, SceneGraph, SceneObject
from model.vocabulary import normalize_name

_TOKEN = re.compile(r'\s*(?:(?P<end>;)|(?P<quoted>")|(?P<bracket>\[)|(?P<word>[^\s;"\[\]#]+)|(?P<other>\S))')
_MARK = re.compile(r"#([1-9][0-9]{0,3})(?![^\s;])")
_NOT: Final = "not"
_ARTICLES: Final = frozenset({"a", "an", "the"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """An object as a clause speaks of it; `number` is None for a wildcard without a mark, else 1 or the mark."""

    name: str | None
    attributes: tuple[str, ...] = ()
    number: int | None = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One thing; or a relationship of two, whose predicate may be None, any."""

    subject: Thing
    predicate: str | None = None
    object: Thing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextQuery:
    """What a text says.

    Args:
        graph: the scene asked for; an object's id is its name, "#" and its number from the second one on.
        excluded: what images must not have: a thing with at most one attribute, or a relationship without any.
    """

    graph: SceneGraph
    excluded: tuple[Clause, ...] = ()


@dataclass(frozen=True, slots=True)
class _Token:
    """A word, a quoted text or a bracketed predicate of a clause."""

    text: str
    kind: str
    column: int
    mark: int | None = None

    @property
    def is_any(self) -> bool:
        return self.kind == "word" and self.text == WILDCARD


def parse_query(text: str, resolver: NameResolver) -> TextQuery:
    """The scene that a text describes.

    Args:
        text: one line of the language.
        resolver: which names and predicates are known, also by another case, an alias or a plural.

    Raises:
        QueryTextError: it is not of the language; the error tells the column.
    """
    asked: list[Clause] = []
    excluded: list[Clause] = []
    for tokens in _clauses(text):
        negative = len(tokens) > 1 and tokens[0].kind == "word" and tokens[0].text.lower() == _NOT
        clause = _read_clause(tokens[negative:], resolver)
        if negative:
            _check_excluded(clause, tokens)
        (excluded if negative else asked).append(clause)
    if not asked:
        raise QueryTextError(1, "say at least one thing that is in the picture, such as `man riding horse`")
    return TextQuery(graph=_graph(asked), excluded=tuple(excluded))


def write_query(query: TextQuery, resolver: NameResolver) -> str:
    """The text of a query; `parse_query` reads it back.

    Expressible is every graph that a request can hold whose objects have each attribute once: names, predicates and
    attributes are any non-blank texts but "*". Read back it has the same objects, relationships (in their order) and
    excluded clauses; objects have new ids, come in the order in which the text mentions them, and have no boxes.
    """
    clauses = [("", clause) for clause in _clauses_of(query.graph)]
    clauses += [(f"{_NOT} ", clause) for clause in query.excluded]
    return "; ".join(negation + _write_clause(clause, resolver, negation) for negation, clause in clauses)


def _clauses(text: str) -> Iterator[list[_Token]]:
    """The tokens of each clause; empty clauses are left out."""
    tokens: list[_Token] = []
    position = 0
    while match := _TOKEN.match(text, position):
        kind = match.lastgroup
        assert kind is not None
        start, position = match.start(kind), match.end()
        match kind:
            case "end":
                if tokens:
                    yield tokens
                tokens = []
                continue
            case "quoted":
                content, position = _quoted(text, start)
            case "bracket":
                content, position = _bracketed(text, start)
            case "word":
                content = match[kind]
            case _:
                raise QueryTextError(start + 1, f"{match[kind]!r} is not possible here; put the words in double quotes")
        mark = _MARK.match(text, position) if kind != "bracket" else None
        if mark is not None:
            position = mark.end()
        tokens.append(_Token(content, kind, start + 1, int(mark[1]) if mark else None))
    if tokens:
        yield tokens


def _quoted(text: str, start: int) -> tuple[str, int]:
    """The text in double quotes that begins here, and where it ends."""
    try:
        content, end = json.JSONDecoder().raw_decode(text, start)
    except ValueError:
        raise QueryTextError(start + 1, "these double quotes do not close, or hold a wrong escape") from None
    if not content.strip() or content == WILDCARD:
        raise QueryTextError(start + 1, "there is no name in these double quotes; anything is * without them")
    assert isinstance(content, str)
    return content, end


def _bracketed(text: str, start: int) -> tuple[str, int]:
    """The predicate in brackets that begins here, and where it ends."""
    inner = start + 1
    if text[inner : inner + 1] == '"':
        content, end = _quoted(text, inner)
        if text[end : end + 1] == "]":
            return content, end + 1
    else:
        end = text.find("]", inner)
        content = text[inner:end]
        if end > 0 and content.strip():
            return content.strip(), end + 1
    raise QueryTextError(start + 1, "a predicate in brackets is [some words]")


def _read_clause(tokens: Sequence[_Token], resolver: NameResolver) -> Clause:
    split = _predicate_of(tokens, resolver)
    if split is None:
        return Clause(subject=_read_thing(tokens, resolver))
    first, last, predicate = split
    subject, target = _read_thing(tokens[:first], resolver), _read_thing(tokens[last:], resolver)
    return Clause(subject=subject, predicate=predicate, object=target)


def _predicate_of(tokens: Sequence[_Token], resolver: NameResolver) -> tuple[int, int, str | None] | None:
    """First token of the predicate, the token after it, and the predicate; None if there is none."""
    brackets = [index for index, token in enumerate(tokens) if token.kind == "bracket"]
    if brackets:
        column = tokens[brackets[-1]].column
        if len(brackets) > 1:
            raise QueryTextError(column, "a clause has one predicate; begin a new clause with `;`")
        if brackets[0] in (0, len(tokens) - 1):
            raise QueryTextError(column, "a predicate stands between two things; anything is *")
        text = tokens[brackets[0]].text
        return brackets[0], brackets[0] + 1, None if text == WILDCARD else text
    inner = range(1, len(tokens) - 1)
    for length in range(len(inner), 0, -1):
        for first in range(1, len(tokens) - length):
            words = tokens[first : first + length]
            if all(token.kind == "word" and token.mark is None for token in words):
                text = " ".join(token.text for token in words)
                known = resolver.predicates.known(text)
                if known is not None and known.how != "plural":
                    return first, first + length, text
    for index in inner:
        rest = (*tokens[: index - 1], *tokens[index + 1 : -1])
        if tokens[index].is_any and tokens[index].mark is None and not any(token.is_any for token in rest):
            return index, index + 1, None
    return None


def _read_thing(tokens: Sequence[_Token], resolver: NameResolver) -> Thing:
    *before, last = tokens
    for token in before:
        if token.is_any or token.mark is not None:
            raise QueryTextError(token.column, "no known predicate follows here; write an unknown one as [some words]")
    if last.is_any:
        return Thing(name=None, attributes=_texts(before), number=last.mark)
    name = last.text
    if last.kind == "word":
        words = [last.text]
        for length, token in enumerate(reversed(before), 2):
            if token.kind != "word":
                break
            words.insert(0, token.text)
            if resolver.objects.known(" ".join(words)) is not None:
                name, before = " ".join(words), list(tokens[:-length])
    return Thing(name=name, attributes=_texts(before), number=last.mark or 1)


def _texts(tokens: Sequence[_Token]) -> tuple[str, ...]:
    """Attributes: each once, without articles, which people write and no picture has."""
    said = (token.text for token in tokens if token.kind != "word" or token.text.lower() not in _ARTICLES)
    return tuple(dict.fromkeys(said))


def _check_excluded(clause: Clause, tokens: Sequence[_Token]) -> None:
    things = [thing for thing in (clause.subject, clause.object) if thing is not None]
    column = tokens[1].column
    if any(token.mark is not None for token in tokens):
        raise QueryTextError(column, "after `not` nothing has a number: no such thing is to be there")
    if sum(len(thing.attributes) for thing in things) > (clause.object is None):
        raise QueryTextError(
            column, "after `not` goes a name with one attribute or none, or a relationship without any"
        )
    if clause.object is None and clause.subject.name is None and not clause.subject.attributes:
        raise QueryTextError(column, "`not *` excludes every picture; name something")


def _graph(clauses: Sequence[Clause]) -> SceneGraph:
    ids: dict[tuple[str | None, int], str] = {}
    names: dict[str, str | None] = {}
    attributes: dict[str, dict[str, None]] = {}
    edges: list[Relationship] = []

    def mention(thing: Thing) -> str:
        name = None if thing.name is None else normalize_name(thing.name)
        # A wildcard without a mark is a thing of its own; marks begin at 1.
        key = (name, -len(names) if thing.number is None else thing.number)
        if key not in ids:
            ids[key] = _unused_id(WILDCARD if name is None else name, key[1], names)
            names[ids[key]] = thing.name
            attributes[ids[key]] = {}
        attributes[ids[key]].update(dict.fromkeys(thing.attributes))
        return ids[key]

    for clause in clauses:
        subject = mention(clause.subject)
        if clause.object is not None:
            target = mention(clause.object)
            edges.append(Relationship(subject=subject, predicate=clause.predicate, object=target))
    objects = (SceneObject(id=key, name=name, attributes=tuple(attributes[key])) for key, name in names.items())
    return SceneGraph(tuple(objects), tuple(edges))


def _unused_id(name: str, number: int, used: Container[str]) -> str:
    """An id that tells what it is of: "man", "man#2", "*0", "*#1"; a name in quotes may look like another thing's."""
    plain = f"{name}{-number}" if number <= 0 else f"{name}#{number}" if number > 1 or name == WILDCARD else name
    while plain in used:
        plain += "'"
    return plain


def _clauses_of(graph: SceneGraph) -> Iterator[Clause]:
    """A clause for each relationship, then one for each object that has attributes or is in none of them."""
    related = [end for edge in graph.relationships for end in (edge.subject, edge.object)]
    objects = {item.id: item for item in graph.objects}
    in_edges, order = set(related), dict.fromkeys((*related, *objects))
    alone = [objects[key] for key in order if objects[key].attributes or key not in in_edges]
    mentions = [*related, *(item.id for item in alone)]
    things = _things(graph, mentions)
    for edge in graph.relationships:
        yield Clause(subject=things[edge.subject], predicate=edge.predicate, object=things[edge.object])
    for item in alone:
        thing = things[item.id]
        yield Clause(subject=Thing(name=thing.name, attributes=item.attributes, number=thing.number))


def _things(graph: SceneGraph, mentions: Sequence[str]) -> Mapping[str, Thing]:
    """Each object with its number among those of its name, in the order in which they are mentioned."""
    names = {item.id: item.name for item in graph.objects}
    times = Counter(mentions)
    taken: dict[str | None, int] = {}
    things = {}
    for key in times:  # in the order of first mention
        name = names[key]
        if name is None and times[key] == 1:
            things[key] = Thing(name=None, number=None)
            continue
        same = None if name is None else normalize_name(name)
        taken[same] = taken.get(same, 0) + 1
        things[key] = Thing(name=name, number=taken[same])
    return things


def _write_clause(clause: Clause, resolver: NameResolver, negation: str) -> str:
    """The plainest way to write a clause that is read as that clause."""
    for quoted, bracketed in ((False, False), (False, True), (True, True)):
        text = _spell(clause, quoted=quoted, bracketed=bracketed)
        try:
            read = [_read_clause(tokens, resolver) for tokens in _clauses(text)]
        except QueryTextError:
            continue
        if read == [clause] and (negation or not text.lower().startswith(_NOT)):
            return text
    return text


def _spell(clause: Clause, *, quoted: bool, bracketed: bool) -> str:
    parts = [_spell_thing(clause.subject, quoted=quoted)]
    if clause.object is not None:
        predicate = WILDCARD if clause.predicate is None else clause.predicate
        if bracketed:
            predicate = f"[{WILDCARD if clause.predicate is None else json.dumps(predicate, ensure_ascii=False)}]"
        parts += [predicate, _spell_thing(clause.object, quoted=quoted)]
    return " ".join(parts)


def _spell_thing(thing: Thing, *, quoted: bool) -> str:
    def spell(text: str) -> str:
        return json.dumps(text, ensure_ascii=False) if quoted else text

    name = WILDCARD if thing.name is None else spell(thing.name)
    unmarked = thing.number is None or (thing.number == 1 and thing.name is not None)
    return " ".join((*map(spell, thing.attributes), name)) + ("" if unmarked else f"#{thing.number}")
