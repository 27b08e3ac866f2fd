import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import service.index.ranking as ranking_module
import service.index.screening as screening_module
import service.index.vector_index as module
from service.errors import IndexVersionError
from service.index.quantized import QuantizedVectors, is_fast, load_quantized, save_quantized
from service.index.ranking import Hits, Lookup, Rows
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
    products = np.array([(a * b).sum() for a in vectors.astype(np.float64) for b in (query.astype(np.float64),)])
    scored = []
    for row, product in enumerate(products):
        score = round(max(-1.0, min(1.0, float(product))), 6)
        if min_score is None or score >= min_score:
            scored.append((row, score))
    return sorted(scored, key=lambda item: (-item[1], item[0]))


def oracle(vectors: Array, lookup: Lookup, excluded: Rows) -> tuple[list[tuple[int, float]], int]:
    """The first rows with their scores, and how many there are in all."""
    hidden = set(excluded.tolist())
    allowed = set(range(len(vectors))) if lookup.allowed is None else set(lookup.allowed.tolist())
    ranking = [hit for hit in ranking_by_sorting(vectors, lookup.query, lookup.min_score) if hit[0] in allowed - hidden]
    return ranking[: lookup.wanted], len(ranking)


def pairs(hits: Hits) -> list[tuple[int, float]]:
    return list(zip(hits.rows.tolist(), hits.scores.tolist(), strict=True))


@st.composite
def batches(draw: st.DrawFn) -> tuple[Array, list[Lookup], Rows]:
    """Vectors with many ties, searches of all kinds, rows that are in no answer."""
    seed = draw(st.integers(0, 10**6))
    generator = np.random.default_rng(seed)
    count = draw(st.integers(0, 150))
    vectors = random_rows(seed, count=count, distinct=draw(st.integers(1, 60)), dimension=draw(st.sampled_from([1, 8])))
    dimension = vectors.shape[1]

    def some_rows(share: float) -> Rows:
        return np.flatnonzero(generator.random(count) < share).astype(np.int64)

    lookups = []
    for _ in range(draw(st.integers(0, 6))):
        known = draw(st.booleans()) and count > 0
        query = (
            vectors[generator.integers(count)]
            if known
            else random_rows(draw(st.integers(0, 99)), count=1, distinct=1, dimension=dimension)[0]
        )
        # A score that a row has, exactly, as the least one.
        ranking = ranking_by_sorting(vectors, query, None)
        place = draw(st.none() | st.integers(0, 160))
        lookups.append(
            Lookup(
                query=query,
                wanted=draw(st.integers(1, 200)),
                min_score=None if place is None else ranking[place][1] if place < count else 0.5,
                allowed=some_rows(share)
                if (share := draw(st.none() | st.sampled_from([0, 0.1, 0.5, 1.0]))) is not None
                else None,
            )
        )
    return vectors, lookups, some_rows(draw(st.sampled_from([0, 0, 0.05, 0.6, 1.0])))


def quantized(vectors: Array) -> QuantizedVectors | None:
    """The vectors in eight bits, by way of the disk."""
    if not len(vectors):
        return None
    with tempfile.TemporaryDirectory() as directory:
        save_quantized(Path(directory) / "quantized", vectors)
        return load_quantized(Path(directory) / "quantized", count=len(vectors), dimension=vectors.shape[1])


@settings(max_examples=300, deadline=None)
@given(
    batch=batches(),
    block=st.sampled_from([7, 64, 8192]),
    spare=st.sampled_from([1, 32]),
    chunk=st.none() | st.sampled_from([1, 3]),
)
def test_a_search_is_the_sorted_ranking_whatever_is_searched_beside_it(
    batch: tuple[Array, list[Lookup], Rows], block: int, spare: int, chunk: int | None
) -> None:
    vectors, lookups, excluded = batch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        patch.setattr(ranking_module, "_BLOCK", block)
        patch.setattr(module, "_SPARE", spare)
        if chunk is not None:  # with a first pass in eight bits, of which all rows may be left
            patch.setattr(screening_module, "_CHUNK", chunk)
            patch.setattr(screening_module, "_CHUNKS", 1)
            patch.setattr(screening_module, "_MOST_PRODUCTS", 8 * block)
            patch.setattr(module, "_GATHER", 0.5)
        index = VectorIndex(vectors, quantized=quantized(vectors) if chunk is not None else None)
        together = index.search(lookups, excluded=excluded)
        alone = [index.search([lookup], excluded=excluded)[0] for lookup in lookups]

    expected = [oracle(vectors, lookup, excluded) for lookup in lookups]
    assert [(pairs(hits), hits.total) for hits in together] == expected
    assert [(pairs(hits), hits.total) for hits in alone] == expected


@pytest.mark.parametrize("copies", [40, 400, 3000])
@pytest.mark.parametrize("lookups", [1, 5])
def test_ties_far_beyond_the_page_are_resolved_by_row(copies: int, lookups: int) -> None:
    vectors = random_rows(1, count=3000, distinct=3000)
    vectors[np.random.default_rng(2).choice(3000, copies, replace=False)] = vectors[7]
    expected = ranking_by_sorting(vectors, vectors[7], None)[:20]

    found = VectorIndex(vectors).search([Lookup(query=vectors[7], wanted=20)] * lookups)

    assert [pairs(hits) for hits in found] == [expected] * lookups


def test_faiss_and_the_matrix_product_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = random_rows(3, count=2000, distinct=1500, dimension=48)
    index = VectorIndex(vectors)
    lookup = Lookup(query=vectors[0], wanted=60)
    by_faiss = index.search([lookup])[0]
    monkeypatch.setattr(module, "_MOST_FETCHED", 0)
    monkeypatch.setattr(module, "_BLOCK", 300)

    by_product = index.search([lookup])[0]

    assert pairs(by_product) == pairs(by_faiss) == oracle(vectors, lookup, np.empty(0, np.int64))[0]


def test_an_index_without_rows_finds_nothing() -> None:
    index = VectorIndex(np.empty((0, 8), np.float32))
    query = random_rows(0, count=1, distinct=1)[0]
    lookups = [
        Lookup(query=query, wanted=5),
        Lookup(query=query, wanted=5, min_score=0),
        Lookup(query=query, wanted=5, allowed=np.empty(0, np.int64)),
    ]

    assert [hits.total for hits in index.search(lookups)] == [0, 0, 0]
    assert index.search([]) == []


def test_scores_stay_within_one() -> None:
    vector = np.full((1, 3), 0.57735032, np.float32)  # a little longer than one in double precision
    assert VectorIndex(vector).search([Lookup(query=vector[0], wanted=1)])[0].scores.tolist() == [1.0]


def test_mapped_vectors_are_searched_where_they_are(tmp_path: Path) -> None:
    vectors = random_rows(5, count=500, distinct=400)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    lookup = Lookup(query=vectors[3], wanted=10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index = VectorIndex(mapped)

    assert np.shares_memory(index._vectors, mapped)
    assert index._tensor.data_ptr() == mapped.ctypes.data
    assert pairs(index.search([lookup])[0]) == oracle(vectors, lookup, np.empty(0, np.int64))[0]


@pytest.mark.parametrize("spread", [1.0, 0.01])
def test_a_first_pass_in_eight_bits_leaves_few_rows_and_bounds_its_error(spread: float) -> None:
    generator = np.random.default_rng(7)
    # Many directions, or all nearly the same one.
    vectors = unit_rows((np.eye(48)[0] / spread + generator.normal(size=(20_000, 48))).astype(np.float32))
    coded = quantized(vectors)
    assert coded is not None
    queries = vectors[:5] + np.float32(0.1 * spread) * vectors[5:10]
    in_codes = coded.code(queries)

    products = coded.products(in_codes, slice(100, 900))

    true = queries.astype(np.float64) @ vectors[100:900].astype(np.float64).T
    for which in range(5):
        slack = coded.slack(in_codes, which, np.arange(100, 900))
        assert (np.abs(products[which] - true[which]) <= slack + 1e-6).all()
        # A bound that is far too wide would be as right, and useless: it is to be small against what tells rows apart.
        assert slack.max() < 0.25 * true[which].std()
    index = VectorIndex(vectors, quantized=coded)
    lookups = [Lookup(query=query, wanted=10) for query in queries]
    plain = VectorIndex(vectors).search(lookups)
    assert [pairs(hits) for hits in index.search(lookups)] == [pairs(hits) for hits in plain]
    assert list(index._screened(dict(enumerate(lookups)), np.empty(0, np.int64))) == [0, 1, 2, 3, 4]


def test_eight_bit_vectors_of_other_vectors_are_refused(tmp_path: Path) -> None:
    vectors = random_rows(1, count=30, distinct=30)
    save_quantized(tmp_path / "quantized", vectors)

    with pytest.raises(IndexVersionError, match="does not belong to the vectors"):
        load_quantized(tmp_path / "quantized", count=31, dimension=8)
    (tmp_path / "quantized" / "codes.npy").write_bytes(b"")
    with pytest.raises(IndexVersionError, match="cannot be read"):
        load_quantized(tmp_path / "quantized", count=30, dimension=8)


def test_processors_that_multiply_eight_bit_numbers_are_told_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True, "avx512_vnni": False})
    assert not is_fast()
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_vnni": True})
    assert is_fast()
