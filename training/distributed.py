"""Several processes that train one encoder, as `torchrun` starts them.

Every process draws the same triples of the same global batch from the same generator, encodes its own contiguous share
of their graphs, and is given everyone's embeddings; so each computes the same loss, and the result does not depend on
how many processes there are. The devices should be of one kind: the processes count on drawing alike.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.errors import ConfigError
from training.global_batch_norm import with_global_batch_norm


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that train together; by default it is alone.

    Args:
        rank: its number.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes, prints and validates."""
        return self.rank == 0

    def share(self, length: int) -> NDArray[np.int64]:
        """Which of `length` graphs are this process's: a contiguous part; parts differ by one at most."""
        cuts = self._cuts(length)
        return np.arange(cuts[self.rank], cuts[self.rank + 1])

    def gather(self, own: Tensor, length: int) -> Tensor:
        """Everyone's rows in order, with gradient.

        Args:
            own: the rows of this process's `share`.
            length: N, how many rows there are in all.

        Shapes: (n, D) -> (N, D).
        """
        if self.count == 1:
            return own
        cuts = self._cuts(length)
        counts, start = np.diff(cuts).tolist(), int(cuts[self.rank])
        rows: Tensor = _Gather.apply(own, counts, start)  # type: ignore[no-untyped-call]  # torch has no types here
        return rows

    def replicate(self, encoder: nn.Module) -> nn.Module:
        """The encoder, such that a backward pass leaves the mean of all processes' gradients in each.

        Its batch norm layers are replaced, in place, by such as use the statistics of all processes' batches.
        """
        if self.count == 1:
            return encoder
        # Once they are the same, buffers stay so without being sent: the statistics they follow are global.
        return DistributedDataParallel(with_global_batch_norm(encoder), forward_sync_buffers=False)

    def agree(self, decision: bool, device: torch.device) -> bool:
        """The first process's decision, in every process."""
        if self.count == 1:
            return decision
        word = torch.tensor([decision], dtype=torch.int32, device=device)
        dist.broadcast(word, src=0)
        return bool(word.item())

    def wait(self) -> None:
        """Go on when every process has come here."""
        if self.count > 1:
            dist.barrier()

    def _cuts(self, length: int) -> NDArray[np.int64]:
        return np.arange(self.count + 1) * length // self.count


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """The processes that `torchrun` started, connected; or this process alone, where it started none.

    Args:
        device: of this process; CUDA devices are connected by NCCL, CPUs by Gloo.
    """
    count = _count()
    if count == 1:
        yield Processes()
        return
    ours = not dist.is_initialized()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if ours:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), count)
    finally:
        if ours:
            dist.destroy_process_group()


def is_first() -> bool:
    """Whether this process is the one that speaks to a person."""
    return int(os.environ.get("RANK", "0")) == 0


def own_device(name: str) -> str:
    """The recipe's device in this process: under `torchrun` each has a GPU of its own.

    Raises:
        ConfigError: one GPU for several processes.
    """
    if _count() == 1 or name == "cpu":
        return name
    if name not in ("auto", "cuda"):
        raise ConfigError(f"device {name!r} cannot be shared by {_count()} processes; use --set device=auto or cpu")
    return f"cuda:{os.environ['LOCAL_RANK']}" if name == "cuda" or torch.cuda.is_available() else "cpu"


def _count() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


class _Gather(torch.autograd.Function):
    """Rows of all processes.

    Each process computes the whole loss L from all rows, so dL/d(rows) is the same everywhere and a process's part of
    it is the slice of its own rows. The gradient of a parameter is then the sum of what the processes find, of which
    DistributedDataParallel takes the mean: so the slice is multiplied by their number.
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor, counts: list[int], start: int) -> Tensor:  # noqa: ANN401 (torch has no type)
        ctx.start, ctx.rows, ctx.processes = start, len(own), len(counts)
        padded = own.new_zeros(max(counts), own.shape[1])
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        return gradient[ctx.start : ctx.start + ctx.rows] * ctx.processes, None, None
