"""The demo world's captions speak of their scene in good English, and its word vectors know which words are alike."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.word_vectors import words_of
from training.data.demo_world import write_demo_world
from training.data.demo_world.grammar import load_grammar
from training.data.demo_world.word_vectors import train_word_vectors

IMAGES = 400
# Words that mean one thing only, whatever stands around them.
TELLING = {
    "dog": ("dog", "puppy", "puppies"),
    "cat": ("cat", "cats", "kitten"),
    "horse": ("horse", "horses"),
    "cow": ("cow", "cows"),
    "sheep": ("sheep",),
    "man": ("man", "men", "guy"),
    "woman": ("woman", "women", "lady"),
    "couch": ("couch", "sofa"),
    "bicycle": ("bicycle", "bike"),
    "bus": ("bus", "buses"),
    "kite": ("kite",),
    "umbrella": ("umbrella",),
    "laptop": ("laptop",),
    "skis": ("skis",),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    write_demo_world(out, images=IMAGES, seed=3)
    return out


@pytest.fixture(scope="module")
def vectors(world: Path) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    lines = [line.split(" ") for line in (world / "word_vectors.txt").read_text().splitlines()]
    assert {len(line) for line in lines} == {101}
    return {word: np.array(values, dtype=np.float64) for word, *values in lines}


def captions_with_names(world: Path) -> list[tuple[list[str], set[str]]]:
    """Each image's captions and the names of its objects."""
    read = {name: json.loads((world / f"{name}.json").read_text()) for name in ("captions", "image_data", "objects")}
    captions: dict[int, list[str]] = {}
    for each in read["captions"]["annotations"]:
        captions.setdefault(each["image_id"], []).append(each["caption"])
    names = [{item["names"][0] for item in image["objects"]} for image in read["objects"]]
    return [(captions[image["coco_id"]], scene) for image, scene in zip(read["image_data"], names, strict=True)]


def test_captions_name_objects_of_their_scene_and_no_others(world: Path) -> None:
    told = 0
    for captions, names in captions_with_names(world):
        for caption in captions:
            claimed = {name for name, words in TELLING.items() if set(words) & set(words_of(caption))}
            assert claimed <= names, caption
            told += bool(claimed)
    assert told > IMAGES


def test_every_caption_speaks_of_something_in_its_scene(world: Path) -> None:
    things = load_grammar().things
    for captions, names in captions_with_names(world):
        words = {word for name in names for word in (name, things[name].plural, *things[name].said) if word}
        for caption in captions:
            assert any(word.removesuffix("y").removesuffix("f") in caption.lower() for word in words), caption


def test_the_captions_of_an_image_differ_and_paraphrase(world: Path) -> None:
    texts = " ".join(caption.lower() for captions, _ in captions_with_names(world) for caption in captions)
    assert all(len(set(captions)) == 5 for captions, _ in captions_with_names(world))
    for one, other in (("couch", "sofa"), ("man", "guy"), ("next to", "beside"), ("chasing", "running after")):
        assert f" {one} " in texts
        assert f" {other} " in texts


def test_captions_are_grammatical(world: Path) -> None:
    wrong = re.compile(
        r"\ba [aeiou]|\ban [^aeiou]|[{}]|  | [.,]|\b(a|an) (the|a|an|another)\b"
        r"|\b(two|three|four|five) (\w+ )?(man|woman|person|child|dog|cat|cow|bench|couch)\b"
        r"|\b(a|an|one) (\w+ )?(men|women|people)\b"
        r"|\b(mans|womans|childs|sheeps|persons|benchs|buss|puppys)\b",
        re.IGNORECASE,
    )
    for captions, _ in captions_with_names(world):
        for caption in captions:
            assert not wrong.search(caption), caption
            assert re.fullmatch(r"[A-Z][a-z, ]+\.", caption), caption
            assert 3 <= len(words_of(caption)) <= 35, caption


def test_every_word_of_every_name_and_predicate_has_a_finite_vector(
    world: Path, vectors: dict[str, np.ndarray[Any, np.dtype[np.float64]]]
) -> None:
    relationships = json.loads((world / "relationships.json").read_text())
    predicates = {each["predicate"] for image in relationships for each in image["relationships"]}
    names = set().union(*(scene for _, scene in captions_with_names(world)))
    captions = [caption for captions, _ in captions_with_names(world) for caption in captions]
    for text in (*names, *predicates, *captions):
        for word in words_of(text):
            assert np.isfinite(vectors[word]).all()
            assert np.linalg.norm(vectors[word]) > 0, word


@pytest.mark.parametrize(
    ("word", "related", "unrelated"),
    [
        ("couch", "sofa", "horse"),
        ("man", "guy", "cloud"),
        ("dog", "puppy", "plate"),
        ("boat", "water", "fridge"),
        ("brown", "black", "riding"),
    ],
)
def test_related_words_are_closer_than_unrelated_ones(
    vectors: dict[str, np.ndarray[Any, np.dtype[np.float64]]], word: str, related: str, unrelated: str
) -> None:
    def cosine(one: str, other: str) -> float:
        a, b = vectors[one], vectors[other]
        return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))

    assert cosine(word, related) > cosine(word, unrelated) + 0.1


def test_word_vectors_match_a_slow_count_of_pairs() -> None:
    texts = ["a man rides a horse", "the man feeds the horse", "a cat on a mat", "horse"]
    found = train_word_vectors(texts, dimension=100, window=2)
    sentences = [text.split() for text in texts]
    words = list(found.words)
    assert set(words) == {word for sentence in sentences for word in sentence}
    pairs = np.zeros((len(words), len(words)))
    for sentence in sentences:
        for i, one in enumerate(sentence):
            for j, other in enumerate(sentence):
                if i != j and abs(i - j) <= 2:
                    pairs[words.index(one), words.index(other)] += 1
    rows = pairs.sum(axis=1)
    smoothed = rows**0.75 / np.sum(rows**0.75)
    expected = np.zeros_like(pairs)
    for i, j in zip(*np.nonzero(pairs), strict=True):
        expected[i, j] = max(0.0, np.log(pairs[i, j] / pairs.sum() / (rows[i] / pairs.sum() * smoothed[j])))
    # All dimensions kept: W = U S^0.5, so that (W W^T)^2 = U S^2 U^T = M M^T.
    gram = found.vectors.astype(np.float64) @ found.vectors.T.astype(np.float64)
    np.testing.assert_allclose(gram @ gram, expected @ expected.T, atol=1e-4)


def test_word_vectors_have_fewer_dimensions_where_there_are_fewer_words() -> None:
    assert train_word_vectors(["a dog on a couch", "a cat"], dimension=100).vectors.shape == (5, 5)
