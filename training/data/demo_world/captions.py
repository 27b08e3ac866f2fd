"""Five captions of a scene: sentences on its salient relationships, attributes and place, in differing words."""

from collections.abc import Sequence

import numpy as np

from training.data.demo_world.grammar import Grammar, Thing, pick
from training.data.demo_world.scene import Item, Scene, objects_by_name

CAPTIONS = 5
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ONE_CLAUSE = (
    "{s} {p} {o} {place}",
    "{s} {p} {o} {place}",
    "{s} {be} {p} {o} {place}",
    "{s} {be} {p} {o}",
    "there {be} {s} {p} {o} {place}",
    "{a_setting} where {s} {be} {p} {o}",
)
_TWO_CLAUSES = (
    "{s} {p} {o} and {s2} {p2} {o2}",
    "{s} {be} {p} {o} while {s2} {be2} {p2} {o2}",
    "{s} {p} {o} {place}, with {s2} {p2} {o2}",
)
_ENUMERATIONS = (
    "{a_setting} with {list}",
    "there {be} {list} {place}",
    "{list} {place}",
    "a view of {a_setting} with {list}",
)
_Group = list[tuple[Item, str, Item]]


def write_captions(scene: Scene, grammar: Grammar, rng: np.random.Generator) -> list[str]:
    """Five different English sentences about a scene, as COCO's annotators would write them."""
    groups: dict[tuple[str, str, str], _Group] = {}
    for relationship in scene.relationships:
        subject, predicate, other = relationship
        if grammar.predicates[predicate].weight:
            groups.setdefault((subject.thing.name, predicate, other.thing.name), []).append(relationship)
    told = list(groups.values())
    weights = np.array([_salience(group, grammar) for group in told])
    captions: list[str] = []
    while len(captions) < CAPTIONS:
        if not told or rng.random() < 0.15:
            sentence = _enumeration(scene, rng)
        else:
            order = rng.choice(len(told), size=min(2, len(told)), replace=False, p=weights / weights.sum())
            sentence = _clauses(scene, [told[index] for index in order], grammar, rng)
        sentence = sentence.replace(" ,", ",").rstrip()  # where a sentence goes without its place
        caption = sentence[0].upper() + sentence[1:] + "."
        if caption not in captions:
            captions.append(caption)
    return captions


def _salience(group: _Group, grammar: Grammar) -> float:
    """How likely people speak of it: actions before positions, living things before others."""
    subject, predicate, other = group[0]
    living = (1 + 2 * subject.thing.alive + other.thing.alive) * (0.3 if other.thing.base else 1.0)
    return float(grammar.predicates[predicate].weight ** 1.5 * living)


def _clauses(scene: Scene, groups: Sequence[_Group], grammar: Grammar, rng: np.random.Generator) -> str:
    """One or two relationships as a sentence."""
    first, *rest = groups
    words = _clause(first, grammar, rng, ())
    other = first[0][2].thing
    places = [] if other.upright else [place for place in scene.kind.place if other.name not in place]
    words |= {"place": pick(rng, places or [""]), "a_setting": _with_article(pick(rng, scene.kind.setting))}
    if not rest or rng.random() < 0.55:
        return pick(rng, _ONE_CLAUSE).format(**words)
    mentioned = [item for subject, _, other in first for item in (subject, other)]
    second = _clause(rest[0], grammar, rng, mentioned)
    if len(first) == len(rest[0]) == 1 and first[0][0] is rest[0][0][0]:
        return "{s} {be} {p} {o} and {p2} {o2}".format(**words, p2=second["p"], o2=second["o"])
    return pick(rng, _TWO_CLAUSES).format(**words, **{f"{key}2": text for key, text in second.items()})


def _clause(group: _Group, grammar: Grammar, rng: np.random.Generator, mentioned: Sequence[Item]) -> dict[str, str]:
    """Subject, verb, predicate and object of relationships that differ in nothing but who takes part."""
    predicate = group[0][1]
    if group[0][0].thing is group[0][2].thing:
        group = group[:1]
    subjects = list({id(subject): subject for subject, _, _ in group}.values())
    others = list({id(other): other for _, _, other in group}.values())
    is_region = bool(others[0].thing.base)
    return {
        "s": _noun(subjects, rng, mentioned=mentioned),
        "be": _be(subjects),
        "p": predicate if is_region else pick(rng, grammar.predicates[predicate].said or (predicate,)),
        "o": _noun(others, rng, mentioned=[*mentioned, *subjects], bare=len(subjects) > 1 and len(others) > 1),
    }


def _enumeration(scene: Scene, rng: np.random.Generator) -> str:
    """What there is to see, two or three kinds of objects of the scene."""
    seen = [
        items
        for items in objects_by_name(scene.items).values()
        if not items[0].thing.base and items[0].thing.number == "count"
    ]
    seen = seen or [[item] for item in scene.items]
    chosen = [seen[index] for index in rng.permutation(len(seen))[: int(rng.integers(2, 4))]]
    nouns = [_noun(items, rng) for items in chosen]
    listing = ", ".join(nouns[:-1]) + f" and {nouns[-1]}" if len(nouns) > 1 else nouns[0]
    return pick(rng, _ENUMERATIONS).format(
        list=listing,
        be=_be(chosen[0]),
        place=pick(rng, scene.kind.place),
        a_setting=_with_article(pick(rng, scene.kind.setting)),
    )


def _be(items: Sequence[Item]) -> str:
    return "are" if len(items) > 1 or items[0].thing.number == "plural" else "is"


def _noun(
    items: Sequence[Item], rng: np.random.Generator, *, mentioned: Sequence[Item] = (), bare: bool = False
) -> str:
    """Objects of one name as a noun phrase: "a brown horse", "two dogs", "dogs" (bare), "the bed" (mentioned)."""
    thing = items[0].thing
    word = pick(rng, thing.said or (thing.name,))
    if thing.base or (len(items) == 1 and items[0] in mentioned):
        return f"the {word}"
    shared = [attribute for attribute in items[0].attributes if all(attribute in item.attributes for item in items)]
    adjective = f"{pick(rng, shared)} " if shared and rng.random() < 0.7 else ""
    if thing.number != "count":
        return adjective + word
    if len(items) > 1:
        return f"{'' if bare else _NUMBERS[len(items)] + ' '}{adjective}{_plural(thing, word)}"
    if any(item.thing is thing for item in mentioned):
        return f"another {adjective}{word}"
    return _with_article(adjective + word)


def _with_article(phrase: str) -> str:
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def _plural(thing: Thing, word: str) -> str:
    if thing.plural and word == thing.name:
        return thing.plural
    if word.endswith(("s", "ch", "sh", "x")):
        return f"{word}es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}s"
