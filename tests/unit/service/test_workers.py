from math import inf
from pathlib import Path

import pytest

from service.workers import core_quota, default_workers


def with_quota(directory: Path, quota: str) -> tuple[Path, Path]:
    """The file that says which control group is a process's own, and the groups, of which that one has this quota."""
    (directory / "own").mkdir()
    (directory / "own" / "cpu.max").write_text(f"{quota}\n")
    (directory / "cgroup").write_text("12:cpuset:/\n0::/own\n")
    return directory / "cgroup", directory


@pytest.mark.parametrize(
    ("quota", "cores"), [("150000 100000", 1.5), ("50000 100000", 0.5), ("max 100000", inf), ("", inf)]
)
def test_a_container_may_have_less_than_the_machine(quota: str, cores: float, tmp_path: Path) -> None:
    assert core_quota(*with_quota(tmp_path, quota)) == cores


def test_where_there_are_no_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert core_quota(tmp_path / "cgroup", tmp_path) == inf


@pytest.mark.parametrize(("quota", "count"), [(0.5, 1), (1.9, 1), (2.0, 2), (inf, 4)])
def test_there_is_a_worker_for_each_core_that_may_be_used(
    quota: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(16), raising=False)
    monkeypatch.setattr("service.workers.core_quota", lambda: quota)
    monkeypatch.setattr("faiss.get_num_gpus", lambda: 0)
    assert default_workers() == count
