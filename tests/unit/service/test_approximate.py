import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.errors import IndexVersionError
from service.index.approximate import (
    FLAT,
    ApproximateIndex,
    IndexKind,
    build_approximate,
    load_approximate,
    parse_index_kind,
    save_approximate,
)
from service.index.ranking import Lookup, Rows
from service.index.recall import measure_recall
from service.index.vector_index import VectorIndex
from tests.unit.service.test_vector_index import Array, oracle, pairs, unit_rows

NO_ROWS: Rows = np.empty(0, np.int64)


def clustered_rows(count: int = 4000, *, clusters: int = 60, dimension: int = 24) -> Array:
    generator = np.random.default_rng(4)
    middles = unit_rows(generator.normal(size=(clusters, dimension)).astype(np.float32))
    noise = 0.12 * generator.normal(size=(count, dimension)).astype(np.float32)
    return unit_rows(middles[generator.integers(0, clusters, count)] + noise)


@pytest.fixture(scope="module")
def vectors() -> Array:
    return clustered_rows()


@pytest.fixture(scope="module")
def approximate(vectors: Array) -> ApproximateIndex:
    return build_approximate(vectors, parse_index_kind("ivf64,nprobe=8"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("flat", FLAT),
        ("ivf1024", IndexKind(lists=1024, probes=64)),
        ("ivf1024,nprobe=32", IndexKind(lists=1024, probes=32)),
        ("ivf1", IndexKind(lists=1, probes=1)),
        ("ivf16,nprobe=17", IndexKind(lists=16, probes=16)),
        ("ivf65536,nprobe=65536", IndexKind(lists=65536, probes=65536)),
    ],
)
def test_kinds_are_read_and_written(text: str, kind: IndexKind) -> None:
    assert parse_index_kind(text) == kind
    assert parse_index_kind(str(kind)) == kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'write "flat"'),
        ("IVF1024,Flat", 'write "flat"'),
        ("ivf1024,nprobe=", 'write "flat"'),
        ("ivf" + "9" * 500, 'write "flat"'),
        ("ivf1024\n", 'write "flat"'),
        ("ivf٣", 'write "flat"'),
        ("ivf0", "1 to 65536 lists, not 0"),
        ("ivf65537", "1 to 65536 lists, not 65537"),
        ("ivf16,nprobe=0", "nprobe is at least 1"),
    ],
)
def test_other_kinds_are_refused_with_a_remedy(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_index_kind(text)
    assert len(str(caught.value)) < 200


def test_every_row_is_in_the_list_of_its_nearest_centroid(vectors: Array, approximate: ApproximateIndex) -> None:
    assert np.sort(approximate.rows).tolist() == list(range(len(vectors)))
    for number, (start, stop) in enumerate(zip(approximate.starts[:-1], approximate.starts[1:], strict=True)):
        rows = approximate.rows[start:stop]
        products = vectors[rows].astype(np.float64) @ approximate.centroids.astype(np.float64).T
        assert (np.diff(rows) > 0).all()
        assert (products[:, number] >= products.max(axis=1) - 1e-6).all()


def test_a_few_lists_hold_nearly_all_of_the_exact_answer(vectors: Array, approximate: ApproximateIndex) -> None:
    generator = np.random.default_rng(9)
    queries = unit_rows(vectors[::80] + 0.1 * generator.normal(size=vectors[::80].shape).astype(np.float32))
    exact = VectorIndex(vectors)
    index = VectorIndex(vectors, approximate)

    recall = measure_recall(index, exact, queries, 10)
    totals = [hits.total for hits in index.search([Lookup(query=query, wanted=1) for query in queries])]
    assert recall >= 0.9
    assert np.mean(totals) < len(vectors) / 3
    assert measure_recall(VectorIndex(vectors, replace(approximate, probes=1)), exact, queries, 10) < recall
    every = VectorIndex(vectors, replace(approximate, probes=len(approximate.centroids)))
    assert measure_recall(every, exact, queries, 10) == 1.0


@pytest.mark.parametrize("min_score", [None, 0.5])
def test_the_ranking_is_exact_among_the_rows_of_the_lists(
    vectors: Array, approximate: ApproximateIndex, min_score: float | None
) -> None:
    query, excluded = vectors[17], np.arange(0, len(vectors), 7)
    near = approximate.near(query)
    index = VectorIndex(vectors, approximate)
    lookup = Lookup(query=query, wanted=len(vectors), min_score=min_score)

    (whole,) = index.search([lookup], excluded=excluded)

    products = approximate.centroids.astype(np.float64) @ query.astype(np.float64)
    lists = np.argsort(-products)[: approximate.probes]
    slow = [row for number in lists for row in approximate.rows[slice(*approximate.starts[number : number + 2])]]
    assert near.tolist() == sorted(slow)
    assert (pairs(whole), whole.total) == oracle(vectors, replace(lookup, allowed=near), excluded)
    for wanted in (1, 10, 300):
        (page,) = index.search([replace(lookup, wanted=wanted)], excluded=excluded)
        assert page.total == whole.total
        assert pairs(page) == pairs(whole)[:wanted]


@pytest.mark.parametrize("share", [0.01, 0.9])
def test_filtered_searches_are_exact(vectors: Array, approximate: ApproximateIndex, share: float) -> None:
    allowed = np.flatnonzero(np.random.default_rng(3).random(len(vectors)) < share)
    lookup = Lookup(query=vectors[5], wanted=40, allowed=allowed)

    (hits,) = VectorIndex(vectors, approximate).search([lookup])

    assert (pairs(hits), hits.total) == oracle(vectors, lookup, NO_ROWS)


@pytest.mark.parametrize("count", [1, 5, 200])
def test_a_small_catalogue_gets_fewer_lists(vectors: Array, count: int) -> None:
    approximate = build_approximate(vectors[:count], parse_index_kind("ivf1024"))
    lookup = Lookup(query=vectors[0], wanted=1)

    (hits,) = VectorIndex(vectors[:count], approximate).search([lookup])

    assert len(approximate.centroids) == max(1, count // 39)
    assert hits.rows.tolist() == [0]


@pytest.mark.parametrize("shift", [10**12, -1, 1])
def test_rows_that_there_are_not_are_never_looked_at(vectors: Array, approximate: ApproximateIndex, shift: int) -> None:
    altered = replace(approximate, rows=approximate.rows + shift, probes=len(approximate.centroids))
    with pytest.raises(IndexVersionError, match="were altered"):
        VectorIndex(vectors, altered).search([Lookup(query=vectors[0], wanted=3)])


def test_saved_and_opened_it_is_the_same(vectors: Array, approximate: ApproximateIndex, tmp_path: Path) -> None:
    save_approximate(tmp_path / "lists", approximate)
    opened = load_approximate(tmp_path / "lists", count=len(vectors), dimension=vectors.shape[1])

    for name in ("centroids", "starts", "rows"):
        assert np.array_equal(getattr(opened, name), getattr(approximate, name))
    assert opened.probes == 8
    assert opened.near(vectors[0]).tolist() == approximate.near(vectors[0]).tolist()


def test_what_does_not_belong_to_the_vectors_is_refused(
    vectors: Array, approximate: ApproximateIndex, tmp_path: Path
) -> None:
    count, dimension = vectors.shape
    wrong = {
        "rows": replace(approximate, rows=np.zeros_like(approximate.rows)),
        "beyond": replace(approximate, rows=approximate.rows + 1),
        "starts": replace(approximate, starts=approximate.starts[::-1].copy()),
        "probes": replace(approximate, probes=65),
    }
    for name, index in wrong.items():
        save_approximate(tmp_path / name, index)
        with pytest.raises(IndexVersionError, match="does not belong"):
            load_approximate(tmp_path / name, count=count, dimension=dimension)
    save_approximate(tmp_path / "right", approximate)
    with pytest.raises(IndexVersionError, match="does not belong"):
        load_approximate(tmp_path / "right", count=count + 1, dimension=dimension)
    document = json.loads((tmp_path / "right" / "lists.json").read_text())
    (tmp_path / "right" / "lists.json").write_text(json.dumps(document | {"format_version": 2}))
    with pytest.raises(IndexVersionError, match="does not belong"):
        load_approximate(tmp_path / "right", count=count, dimension=dimension)
    with pytest.raises(IndexVersionError, match="cannot be read"):
        load_approximate(tmp_path / "missing", count=count, dimension=dimension)
