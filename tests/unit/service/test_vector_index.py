import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import service.index.vector_index as module
from service.index.vector_index import VectorIndex

Array = NDArray[np.float32]


def unit_rows(rows: Array) -> Array:
    result: Array = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return result


def random_rows(seed: int, *, count: int, distinct: int, dimension: int = 8) -> Array:
    """Unit vectors of which many are equal."""
    generator = np.random.default_rng(seed)
    rows = unit_rows(generator.normal(size=(distinct, dimension)).astype(np.float32))
    return rows[generator.integers(0, distinct, count)]


def ranking_by_sorting(vectors: Array, query: Array, min_score: float | None) -> list[tuple[int, float]]:
    """The oracle: score every row by itself, sort by falling score and rising row."""
    scored = []
    for row, vector in enumerate(vectors):
        score = sum(float(a) * float(b) for a, b in zip(vector, query, strict=True))
        score = round(max(-1.0, min(1.0, score)), 6)
        if min_score is None or score >= min_score:
            scored.append((row, score))
    return sorted(scored, key=lambda item: (-item[1], item[0]))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 120),
    distinct=st.integers(1, 40),
    limit=st.integers(1, 50),
    offset=st.integers(0, 130),
    cut=st.none() | st.integers(0, 119),
)
def test_a_page_is_that_of_the_sorted_ranking(
    *, seed: int, count: int, distinct: int, limit: int, offset: int, cut: int | None
) -> None:
    vectors = random_rows(seed, count=count, distinct=distinct)
    query = random_rows(seed + 1, count=1, distinct=1)[0] if seed % 2 else vectors[0]
    min_score = None if cut is None else ranking_by_sorting(vectors, query, None)[min(cut, count - 1)][1]
    expected = ranking_by_sorting(vectors, query, min_score)

    hits = VectorIndex(vectors).search(query, limit=limit, offset=offset, min_score=min_score)

    assert hits.total == len(expected)
    assert list(zip(hits.rows.tolist(), hits.scores.tolist(), strict=True)) == expected[offset : offset + limit]


@pytest.mark.parametrize("copies", [40, 400, 3000])
def test_ties_far_beyond_the_page_are_resolved_by_row(copies: int) -> None:
    vectors = random_rows(1, count=3000, distinct=3000)
    vectors[np.random.default_rng(2).choice(3000, copies, replace=False)] = vectors[7]
    expected = ranking_by_sorting(vectors, vectors[7], None)[:20]

    hits = VectorIndex(vectors).search(vectors[7], limit=20)

    assert list(zip(hits.rows.tolist(), hits.scores.tolist(), strict=True)) == expected


def test_looking_at_every_row_gives_the_same_page(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = random_rows(3, count=2000, distinct=1500)
    index = VectorIndex(vectors)
    searched = index.search(vectors[0], limit=50, offset=10)
    monkeypatch.setattr(module, "_MOST_FETCHED", 0)
    monkeypatch.setattr(module, "_BLOCK", 300)

    looked = index.search(vectors[0], limit=50, offset=10)

    assert looked.rows.tolist() == searched.rows.tolist()
    assert looked.scores.tolist() == searched.scores.tolist()


def test_an_index_without_rows_finds_nothing() -> None:
    index = VectorIndex(np.empty((0, 8), np.float32))
    query = random_rows(0, count=1, distinct=1)[0]

    assert index.search(query, limit=5).total == 0
    assert index.search(query, limit=5, min_score=0).total == 0


def test_scores_stay_within_one() -> None:
    vector = np.full((1, 3), 0.57735032, np.float32)  # a little longer than one in double precision
    assert VectorIndex(vector).search(vector[0], limit=1).scores.tolist() == [1.0]
