import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.errors import DataError
from model.visual_genome import NO_COCO_ID
from model.word_vectors import WordVectors
from training.data import captions as module
from training.data.captions import mean_text_vectors, read_captions, tokenize

WORDS = ["man", "horse", "on", "a", "nothing"]
VECTORS = WordVectors(WORDS, np.vstack([np.random.default_rng(0).normal(0, 1, (4, 6)), np.zeros((1, 6))]).astype("f4"))


def write(path: Path, annotations: object) -> Path:
    path.write_text(json.dumps({"info": {}, "images": [{"id": 1}], "annotations": annotations}))
    return path


def test_captions_are_joined_over_the_coco_ids_of_the_images(tmp_path: Path) -> None:
    first = write(
        tmp_path / "captions_train2014.json",
        [
            {"image_id": 50, "id": 1, "caption": " A man\non a horse. "},
            {"image_id": 99, "id": 2, "caption": "nobody's"},
            {"image_id": 50, "id": 3, "caption": ""},
        ],
    )
    second = write(tmp_path / "captions_val2014.json", [{"image_id": "50", "caption": "horse"}, {"caption": "no id"}])

    found = read_captions([first, second], np.array([NO_COCO_ID, 50, 60, 50]))

    both = "A man on a horse.\nhorse"
    assert found.texts == ["", both, "", both]
    assert (found.read, found.of_unknown_images) == (5, 2)


def test_no_caption_files_are_no_captions() -> None:
    found = read_captions([], np.array([1, 2]))

    assert (found.texts, found.read) == (["", ""], 0)


@pytest.mark.parametrize("annotations", [[{"image_id": 50}], ["text"]])
def test_annotations_without_captions_are_refused(tmp_path: Path, annotations: object) -> None:
    path = write(tmp_path / "instances.json", annotations)

    with pytest.raises(DataError, match=r"instances.json, annotation 0: no caption; name a COCO file"):
        read_captions([path], np.array([50]))


def test_texts_become_numbers_of_words() -> None:
    tokens = tokenize(["A man.\n\ntwo: a man's", "", "MAN"])

    assert tokens.words == ["a", "man", "two", "man's"]
    assert tokens.tokens.tolist() == [0, 1, 2, 0, 3, 1]
    assert tokens.text_offsets.tolist() == [0, 2, 2, 5, 6]
    assert tokens.image_offsets.tolist() == [0, 3, 3, 4]


def test_an_images_vector_is_the_mean_of_its_unit_caption_vectors() -> None:
    vectors = WordVectors(["x", "y"], np.array([[2, 0], [0, 3]], np.float32))

    found = mean_text_vectors(tokenize(["x x\ny y y unknown", "", "unknown", "x\nunknown"]), vectors)

    np.testing.assert_allclose(found.vectors, [[0.5, 0.5], [0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    assert found.counts.tolist() == [2, 0, 0, 1]
    assert found.known_tokens == 6


TEXTS = st.lists(st.lists(st.sampled_from([*WORDS, "unheard", "?"]), max_size=5).map(" ".join), max_size=5).map(
    "\n".join
)


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=7), st.integers(1, 3))
def test_mean_vectors_equal_a_plain_loop_over_images_and_texts(texts: list[str], block: int) -> None:
    expected = np.zeros((len(texts), 6))
    counts = []
    for row, lines in zip(expected, texts, strict=True):
        means = [VECTORS.mean(text) for text in lines.split("\n")]
        units = [mean / np.linalg.norm(mean) for mean in means if mean is not None and np.linalg.norm(mean) > 1e-6]
        counts.append(len(units))
        if units:
            row[:] = np.mean(units, axis=0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        found = mean_text_vectors(tokenize(texts), VECTORS)

    np.testing.assert_allclose(found.vectors, expected, atol=1e-6)
    assert found.counts.tolist() == counts


def test_an_inner_product_of_rows_is_the_mean_similarity_of_five_by_five_captions() -> None:
    rng = np.random.default_rng(1)
    captions = [[" ".join(rng.choice(WORDS[:4], 6)) for _ in range(5)] for _ in range(2)]
    found = mean_text_vectors(tokenize(["\n".join(texts) for texts in captions]), VECTORS).vectors

    similarities = []
    for text in captions[0]:
        for other in captions[1]:
            u, v = VECTORS.mean(text), VECTORS.mean(other)
            assert u is not None
            assert v is not None
            similarities.append(u @ v / np.linalg.norm(u) / np.linalg.norm(v))
    assert float(found[0] @ found[1]) == pytest.approx(np.mean(similarities), abs=1e-6)
