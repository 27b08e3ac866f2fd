"""Encoding more scene graphs than one machine will do: files of graphs in, files of vectors out, spread by Ray.

Every source is a part, and every part one task, which any machine of the cluster does by itself (service/bulk_part.py).
A part that is there, made of the same file by the same model, is not made again: what broke off is simply repeated.
"""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from model.checkpoint import find_checkpoint, load_checkpoint
from model.errors import ConfigError, DataError
from service.bulk_part import SUFFIXES, UNFINISHED, PartReport, encode_part, part_of

_RETRIES: Final = 3  # of a part whose machine is lost
_WAITING: Final = 4  # parts handed to the cluster for each of its processors

Progress = Callable[[PartReport, int, int], None]
"""Told of each part that is done, how many are, and of how many."""


def find_sources(paths: Sequence[Path]) -> list[Path]:
    """The files of scene graphs that are named, or are in directories that are named; each is a part.

    Raises:
        DataError: there are none.
    """
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found |= {file.absolute() for file in path.iterdir() if file.name.endswith(SUFFIXES)}
        elif path.is_file():
            found.add(path.absolute())
        else:
            raise DataError(f"{path} does not exist; name files of scene graphs ({', '.join(SUFFIXES)}) or directories")
    if not found:
        raise DataError(f"no file of scene graphs ({', '.join(SUFFIXES)}) in {', '.join(map(str, paths))}")
    return sorted(found)


def bulk_encode(
    sources: Sequence[Path],
    out: Path,
    checkpoint: Path,
    *,
    progress: Progress,
    strict: bool = False,
    address: str | None = None,
) -> list[PartReport]:
    """Encode every source into a part, on all machines of a Ray cluster.

    Args:
        sources: files of scene graphs, on storage that all machines have at the same path, as `out` and `checkpoint`.
        out: where the parts go.
        checkpoint: a training run or checkpoint.
        progress: told after every part.
        strict: a record that cannot be read fails its part.
        address: of the cluster, `auto` for the one that this machine is in; None for this machine alone.

    Returns:
        What became of each part, in the order of sources.

    Raises:
        ConfigError: Ray is not installed, or the cluster does not answer.
        CheckpointError: the checkpoint cannot be used.
    """
    try:
        import pyarrow as pa  # noqa: F401, PLC0415 (an extra that most do not need; tasks do)
        import ray  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(f"bulk encoding needs the Python package {error.name}; install scenerank[bulk]") from None
    checkpoint = find_checkpoint(checkpoint).absolute()
    load_checkpoint(checkpoint)  # what is wrong with it is better said once, here
    out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody unless somebody wants it
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"the Ray cluster {address} cannot be used: {error}") from None
    try:
        task: Any = ray.remote(num_cpus=1, max_retries=_RETRIES)(encode_part)
        cluster: Any = ray.cluster_resources
        waiting = list(reversed(sources))
        reports: dict[Path, PartReport] = {}
        under_way: dict[Any, Path] = {}
        while waiting or under_way:
            # Asked each time: machines may join.
            most = _WAITING * max(1, int(cluster().get("CPU", 1)))
            while waiting and len(under_way) < most:
                source = waiting.pop()
                under_way[task.remote(source, out.absolute(), checkpoint, strict)] = source
            (done,), _ = ray.wait(list(under_way))
            source = under_way.pop(done)
            try:
                reports[source] = ray.get(done)
            except ray.exceptions.RayError as error:
                reason = str(error).strip().splitlines()[-1]
                reports[source] = PartReport(source=str(source), error=f"{source}: its task failed: {reason}")
            progress(reports[source], len(reports), len(sources))
        for source in sources:  # what workers that died were writing
            for left in out.glob(f"{part_of(source, out).name}.*{UNFINISHED}"):
                left.unlink(missing_ok=True)
        return [reports[source] for source in sources]
    finally:
        ray.shutdown()
