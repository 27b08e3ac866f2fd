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
from service.index.quantized import QuantizedVectors, can_multiply, can_scan, load_quantized, save_quantized
from service.index.ranking import NO_ROWS, ExactScores, Hits, Lookup, Rows
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
    nearest=st.sampled_from([0, 5, 256]),
)
def test_a_search_is_the_sorted_ranking_whatever_is_searched_beside_it(
    batch: tuple[Array, list[Lookup], Rows], block: int, spare: int, chunk: int | None, nearest: int
) -> None:
    vectors, lookups, excluded = batch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        patch.setattr(ranking_module, "_BLOCK", block)
        patch.setattr(module, "_SPARE", spare)
        if chunk is not None:  # with a first pass in eight bits, of which all rows may be left
            patch.setattr(screening_module, "_CHUNK", chunk)
            patch.setattr(screening_module, "_CHUNKS", 1)
            patch.setattr(screening_module, "_NEAREST", nearest)
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

    assert pairs(by_product) == pairs(by_faiss) == oracle(vectors, lookup, NO_ROWS)[0]


def test_an_index_without_rows_finds_nothing() -> None:
    index = VectorIndex(np.empty((0, 8), np.float32))
    query = random_rows(0, count=1, distinct=1)[0]
    lookups = [
        Lookup(query=query, wanted=5),
        Lookup(query=query, wanted=5, min_score=0),
        Lookup(query=query, wanted=5, allowed=NO_ROWS),
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
    assert pairs(index.search([lookup])[0]) == oracle(vectors, lookup, NO_ROWS)[0]


def many_directions(spread: float) -> Array:
    """Vectors that point anywhere, or all nearly the same way, of which some have a component far above the others."""
    generator = np.random.default_rng(7)
    vectors = np.eye(48)[0] / spread + generator.normal(size=(20_000, 48))
    vectors[:50, 5] += 10
    return unit_rows(vectors.astype(np.float32))


@pytest.mark.parametrize("spread", [1.0, 0.01])
def test_products_of_codes_are_as_near_to_the_true_ones_as_they_say(spread: float) -> None:
    vectors = many_directions(spread)
    coded = quantized(vectors)
    assert coded is not None
    queries = vectors[:5] + np.float32(0.1 * spread) * vectors[5:10]
    in_codes = coded.code(queries)

    products = coded.products(in_codes, slice(100, 900))

    true = queries.astype(np.float64) @ vectors[100:900].astype(np.float64).T
    for which in range(5):
        slack = coded.slack(in_codes, which, products[which], coded.errors[100:900])
        assert (np.abs(products[which] - true[which]) <= slack + 1e-6).all()
        # A bound that is far too wide would be as right, and useless: it is to be small against what tells rows apart.
        assert slack[np.argsort(-true[which])[:20]].max() < 0.25 * true[which].std()


@pytest.mark.parametrize("spread", [1.0, 0.01])
def test_no_row_is_nearer_than_its_codes_say(spread: float) -> None:
    vectors = many_directions(spread)
    coded = quantized(vectors)
    assert coded is not None
    far = -vectors[0]  # where no code reaches
    for query in (vectors[3], vectors[300], (vectors[8] + vectors[80]) / 2, far):
        rows, distances, others = coded.nearest(query, 500)

        true = np.linalg.norm(vectors.astype(np.float64) - query, axis=1)
        assert len(set(rows.tolist())) == 500
        assert (distances <= true[rows] + 1e-9).all()
        assert others <= np.delete(true, rows).min() + 1e-9
        # And not so much nearer that it says nothing.
        assert query is far or (true[rows] - distances).max() < 0.4 * true.std()


@pytest.mark.parametrize("dimension", [1, 2])
def test_no_row_is_nearer_than_its_codes_say_where_errors_point_the_same_way(dimension: int) -> None:
    numbers = np.random.default_rng(3).uniform(-0.7, 0.7, (400, dimension)).astype(np.float32)
    coded = quantized(numbers[:300])
    assert coded is not None
    queries = numbers[300:]
    in_codes = coded.code(queries)
    products = coded.products(in_codes, slice(0, 300))
    for which, query in enumerate(queries):
        slack = coded.slack(in_codes, which, products[which], coded.errors)
        assert (np.abs(products[which] - numbers[:300].astype(np.float64) @ query) <= slack).all()

        rows, distances, others = coded.nearest(query, 100)

        true = np.linalg.norm(numbers[:300].astype(np.float64) - query, axis=1)
        assert (distances <= true[rows] + 1e-9).all()
        assert others <= np.delete(true, rows).min() + 1e-9


def test_a_row_whose_score_is_rounded_to_that_of_the_last_one_is_among_the_nearest() -> None:
    angles = np.array([0.5 + 3e-7, 0.5, 1.0, 2.0])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    query = np.array([1, 0], np.float32)
    coded = quantized(vectors)
    assert coded is not None
    true = np.linalg.norm(vectors.astype(np.float64) - query, axis=1)
    assert true[0] > true[1]
    with pytest.MonkeyPatch.context() as patch:
        nearest = (np.array([1, 0, 2]), true[[1, 0, 2]], true[2])
        patch.setattr(QuantizedVectors, "nearest", lambda *_: nearest)

        rows = screening_module.nearest(coded, Lookup(query=query, wanted=1), ExactScores(vectors), NO_ROWS)

    assert rows is not None
    assert rows.tolist() == [0, 1]


@pytest.mark.parametrize("spread", [1.0, 0.01])
@pytest.mark.parametrize("together", [1, 2, 5])
def test_codes_leave_few_rows_among_which_the_best_are_certain(spread: float, together: int) -> None:
    vectors = many_directions(spread)
    index, plain = VectorIndex(vectors, quantized=quantized(vectors)), VectorIndex(vectors)
    excluded = np.array([3, 302, 19_999])
    for start in range(300, 319, together):
        lookups = {which: Lookup(query=vectors[start + which], wanted=10) for which in range(together)}

        found = (index._nearest if together < 3 else index._screened)(lookups, excluded)

        if together == 5 and not can_multiply():
            assert found == {}
            continue
        expected = plain.search(list(lookups.values()), excluded=excluded)
        assert [pairs(hits) for hits in found.values()] == [pairs(hits) for hits in expected]
        assert {hits.total for hits in found.values()} == {19_997}


def test_a_lone_search_whose_codes_say_too_little_is_done_otherwise() -> None:
    vectors = random_rows(1, count=12_000, distinct=12_000)
    vectors[np.random.default_rng(2).choice(12_000, 3000, replace=False)] = vectors[7]
    index = VectorIndex(vectors, quantized=quantized(vectors))
    lookup = Lookup(query=vectors[7], wanted=10)

    assert index._nearest({0: lookup}, NO_ROWS) == {}
    assert pairs(index.search([lookup])[0]) == ranking_by_sorting(vectors, vectors[7], None)[:10]


def test_eight_bit_vectors_of_other_vectors_are_refused(tmp_path: Path) -> None:
    vectors = random_rows(1, count=30, distinct=30)
    save_quantized(tmp_path / "quantized", vectors)

    with pytest.raises(IndexVersionError, match="does not belong to the vectors"):
        load_quantized(tmp_path / "quantized", count=31, dimension=8)
    (tmp_path / "quantized" / "codes.npy").write_bytes(b"")
    with pytest.raises(IndexVersionError, match="cannot be read"):
        load_quantized(tmp_path / "quantized", count=30, dimension=8)


@pytest.mark.parametrize(
    ("capabilities", "scans", "multiplies"),
    [
        ({"avx2": True, "avx512_vnni": False}, True, False),
        ({"avx2": True, "avx512_vnni": True}, True, True),
        ({}, False, False),
    ],
)
def test_codes_are_used_for_what_a_processor_is_fast_at(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], scans: bool, multiplies: bool
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities)
    vectors = many_directions(1.0)
    index = VectorIndex(vectors, quantized=quantized(vectors))
    lookups = {which: Lookup(query=vectors[which], wanted=10) for which in range(2)}

    assert (can_scan(), can_multiply()) == (scans, multiplies)
    assert list(index._screened(lookups, NO_ROWS)) == ([0, 1] if multiplies else [])
