"""Bulk encoding on a local Ray cluster of two workers, against encoding everything in one process."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from pydantic import SecretStr

from model.checkpoint import load_checkpoint
from model.collection import ImageRecord
from model.formats import read_graph, write_graph
from service.bulk_part import PartReport, encode_part, part_of, read_made_of
from service.catalogue import Catalogue
from service.database import open_database
from service.engine import Engine
from service.errors import ReindexError
from service.index import backend
from service.index.encoded import ImageEncoder
from service.index.milvus_rows import image_of_row, number_of
from service.index.state import PageQuery
from service.settings import Settings
from tests.conftest import skip_or_fail
from tests.factories import make_checkpoint, make_records, write_records
from tests.integration.conftest import until

PARTS, SIZE = 6, 50
BAD: Final = """{"image_id": "x"
{"image_id": "empty", "objects": []}
{"objects": ["man"]}
{"image_id": 7, "objects": 3}
"""


@pytest.fixture(scope="module", autouse=True)
def _ray() -> None:
    if importlib.util.find_spec("ray") is None or importlib.util.find_spec("pyarrow") is None:
        skip_or_fail("bulk", "Ray or pyarrow is not installed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two workers with a processor each."""
    from ray.cluster_utils import Cluster  # noqa: PLC0415 (an extra)

    small: dict[str, Any] = {"object_store_memory": 80 * 1024 * 1024}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster: Any = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small}
        )
        for _ in range(2):
            cluster.add_node(num_cpus=1, **small)
    yield cluster.address
    cluster.shutdown()


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    directory = tmp_path / "graphs"
    directory.mkdir()
    make_checkpoint(tmp_path / "checkpoint")
    records = make_records(PARTS * SIZE)
    for part in range(PARTS - 1):
        write_records(directory / f"part-{part}.jsonl", records[part * SIZE : (part + 1) * SIZE])
    with (directory / "part-1.jsonl").open("a") as file:
        file.write(BAD)
    write_parquet(directory / f"part-{PARTS - 1}.parquet", records[-SIZE:])
    return directory


def write_parquet(path: Path, records: Sequence[ImageRecord]) -> None:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows = [
        {"image_id": one.image_id, "url": one.url, "width": one.width, "height": one.height,
         "metadata": json.dumps({"part": 5}), "graph": json.dumps(write_graph(one.graph))}
        for one in records
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), path)


def run(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scenerank", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCENERANK_")}
    environment |= {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "SCENERANK_DATA_DIR": str(place / "data")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def rows_of(part: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows: list[dict[str, Any]] = pq.read_table(part).to_pylist()
    return rows


def schema_of(part: Path) -> Any:  # noqa: ANN401 (pyarrow has no types)
    import pyarrow.parquet as pq  # noqa: PLC0415

    return pq.read_schema(part)


def test_two_workers_make_what_one_process_makes_and_nothing_twice(cluster: str, sources: Path, tmp_path: Path) -> None:
    out, checkpoint = tmp_path / "out", tmp_path / "checkpoint"
    arguments = ("bulk-encode", str(sources), "--out", str(out), "--checkpoint", str(checkpoint), "--address", cluster)
    first = run(tmp_path, *arguments)
    assert first.returncode == 0, first.stderr
    assert "300 images in 6 parts, of which 0 were there; 1 left out, 3 cannot be read." in first.stdout

    parts = sorted(out.glob("*.parquet"))
    made_of = [read_made_of(part) for part in parts]
    assert len({one["report"]["worker"] for one in made_of if one is not None}) == 2, "both workers had parts"
    rows = {row["id"]: row for part in parts for row in rows_of(part)}
    one_file = write_records(tmp_path / "all.jsonl", make_records(PARTS * SIZE))
    embedded = run(tmp_path, "embed", str(checkpoint), str(one_file), "--out", str(tmp_path / "all.npz"))
    assert embedded.returncode == 0, embedded.stderr
    expected = np.load(tmp_path / "all.npz", allow_pickle=False)
    assert sorted(rows) == sorted(expected["ids"].tolist())
    vectors = np.array([rows[image_id]["vector"] for image_id in expected["ids"].tolist()])
    np.testing.assert_allclose(vectors, expected["embeddings"], atol=2e-6)
    image = image_of_row(rows["image-0299"])
    assert json.loads(image.fields)["metadata"] == {"part": 5}
    assert json.loads(image.graph) == write_graph(make_records(PARTS * SIZE)[-1].graph)
    assert number_of("attributes", (None, "tall")) in rows["image-0000"]["entries_1"]

    (bad,) = out.glob("*.bad.jsonl")
    told = [json.loads(line) for line in bad.read_text().splitlines()]
    assert [one["place"] for one in told] == [f"{sources}/part-1.jsonl, line {line}" for line in (51, 53, 54)]
    assert "not valid JSON" in told[0]["error"]

    before = {part: part.stat().st_mtime_ns for part in parts}
    parts[2].unlink()
    write_records(sources / "part-3.jsonl", make_records(10, seed=3))
    again = run(tmp_path, *arguments)
    assert "260 images in 6 parts, of which 4 were there" in again.stdout, again.stderr
    kept = [part for part in parts if part.exists() and part.stat().st_mtime_ns == before[part]]
    assert [part.name[:6] for part in kept] == ["part-0", "part-1", "part-4", "part-5"]


def test_a_worker_that_dies_loses_nothing(cluster: str, tmp_path: Path) -> None:
    sources, out = tmp_path / "graphs", tmp_path / "out"
    sources.mkdir()
    make_checkpoint(tmp_path / "checkpoint")
    records = make_records(1500)
    for part in range(4):
        write_records(sources / f"{part}.jsonl", [replace(one, image_id=f"{part}-{one.image_id}") for one in records])
    arguments = ("--out", str(out), "--checkpoint", str(tmp_path / "checkpoint"), "--address", cluster)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, tmp_path, "bulk-encode", str(sources), *arguments)
        until(lambda: any(out.glob("*.unfinished")) and workers(), "a worker writes", every=0.01)
        os.kill(workers()[0], signal.SIGKILL)
        ended = running.result()

    assert ended.returncode == 0, ended.stderr
    assert "6000 images in 4 parts" in ended.stdout
    assert sorted(part.name[:7] for part in out.iterdir()) == [f"{part}.jsonl" for part in range(4)]
    assert sum(len(rows_of(part)) for part in out.iterdir()) == 6000


def workers() -> list[int]:
    """Processes of this one's cluster that encode a part."""
    parents: dict[int, int] = {}
    encoding: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if (process / "cmdline").read_bytes().startswith(b"ray::encode_part"):
                encoding.append(int(process.name))
        except OSError:  # it has just ended
            continue

    def is_ours(process: int) -> bool:
        while process in parents and process != os.getpid():
            process = parents[process]
        return process == os.getpid()

    return [process for process in encoding if is_ours(process)]


def test_a_part_is_whole_or_absent_and_says_what_is_wrong(sources: Path, tmp_path: Path) -> None:
    out, checkpoint = tmp_path / "out", tmp_path / "checkpoint"
    out.mkdir()

    def encode(name: str, *, strict: bool = False) -> PartReport:
        return encode_part(sources / name, out, checkpoint, strict)

    strict = encode("part-1.jsonl", strict=True)
    assert strict.error is not None
    assert "part-1.jsonl, line 51" in strict.error
    (sources / "no-column.parquet").write_bytes((sources / "part-5.parquet").read_bytes()[:-100])
    for name, message in [
        ("gone.jsonl", "No such file"),
        ("no-column.parquet", "not a Parquet file, or is damaged"),
    ]:
        failed = encode(name)
        assert message in str(failed.error)
    assert list(out.iterdir()) == [], "nothing is left of what failed"

    assert encode("part-1.jsonl").bad == 3
    assert encode("part-1.jsonl", strict=True).error is not None, "the part is there, but not without bad records"
    assert not encode("part-0.jsonl").reused
    assert encode("part-0.jsonl").reused
    assert str(schema_of(part_of(sources / "part-0.jsonl", out)).field("record").type.value_type) == "large_string", (
        "records of over 2 GB can be sorted"
    )
    make_checkpoint(checkpoint, seed=1)
    part = part_of(sources / "part-0.jsonl", out)
    part.write_bytes(part.read_bytes()[:-30])
    assert not encode("part-0.jsonl").reused, "a damaged part is made again"
    assert len(rows_of(part)) == SIZE


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    missing = run(tmp_path, "bulk-encode", str(tmp_path / "nothing"), "--out", str(tmp_path / "out"))
    assert missing.returncode == 1
    assert "does not exist" in missing.stderr
    assert "Traceback" not in missing.stderr


@pytest.mark.parametrize("index_url", ["", "vectors.db"])
def test_an_index_is_built_of_parts_as_far_as_they_are_right(sources: Path, tmp_path: Path, index_url: str) -> None:
    out, checkpoint = tmp_path / "out", tmp_path / "checkpoint"
    out.mkdir()
    for source in sorted(sources.iterdir()):
        assert encode_part(source, out, checkpoint).error is None
    database = open_database(f"sqlite:///{tmp_path}/catalogue.db")
    catalogue, records = Catalogue(database), make_records(PARTS * SIZE)
    catalogue.upsert(records[20:])
    catalogue.put(replace(records[50], graph=records[7].graph))
    catalogue.put(replace(records[60], image_id="between"))
    catalogue.put(replace(records[70], url="https://images.example/only-the-url"))
    stores = [
        backend.open_store(
            Settings(data_dir=tmp_path / name, index_url=SecretStr(str(tmp_path / url)) if url else None)
        )
        for name, url in (("encoded", index_url), ("anew", ""))
    ]
    states = []
    for store, encoded in zip(stores, (out, None), strict=True):
        backend.build(
            catalogue=catalogue, store=store, checkpoint=checkpoint, progress=lambda *_: None, confirm=lambda _: None,
            encoded=encoded,
        )  # fmt: skip
        engine = Engine(store, catalogue, poll_interval=60)
        engine.refresh()
        states.append(engine.require_snapshot())

    of_parts, anew = states
    vectors = np.load(stores[1].directory(stores[1].current() or "") / "vectors.npy")
    asked = [PageQuery(vector=vector, limit=40, offset=3) for vector in vectors[::30]]
    for found, expected in zip(of_parts.pages(asked), anew.pages(asked), strict=True):
        assert list(found.images) == list(expected.images)
        assert found.scores == pytest.approx(expected.scores, abs=2e-6)

    model, images = load_checkpoint(checkpoint), [image for chunk in catalogue.stream() for image in chunk]
    encoder = ImageEncoder(model, out)
    for start in range(0, len(images), 7):
        chunk = images[start : start + 7]
        encoder.embed(chunk, [read_graph(json.loads(image.graph), "native") for image in chunk])
    assert encoder.reused == len(images) - 2, "all but the changed one and the new one"

    make_checkpoint(checkpoint, seed=1)
    with pytest.raises(ReindexError, match="another model"):
        ImageEncoder(load_checkpoint(checkpoint), out)
    for store in stores:
        backend.close_store(store)
    database.dispose()
