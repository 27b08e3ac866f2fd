"""Batch norm over the batches of all processes, on CPUs as on GPUs (torch.nn.SyncBatchNorm knows GPUs alone)."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def with_global_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every BatchNorm1d of a module, in place; parameters, buffers and their names stay."""
    for child in module.children():
        if type(child) is nn.BatchNorm1d:
            # Another class for the same object: its parameters stay those that an optimizer knows already.
            child.__class__ = GlobalBatchNorm
        else:
            with_global_batch_norm(child)
    return module


class GlobalBatchNorm(nn.BatchNorm1d):
    """As BatchNorm1d, with mean and variance over the rows of all processes together.

        mean = sum(x) / N,    var = sum((x - mean)^2) / N,    N = rows of all processes

    In two passes, since sum(x^2) / N - mean^2 cancels. A process may have no rows. In evaluation mode nothing is
    exchanged.

    Shapes: (n, C) -> (n, C), n differing between processes.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the base class's name for it)
        """Normalise; all processes must call it together."""
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        rows = input.float()  # statistics in full precision whatever the layers run in
        sums = _sum_over_processes(torch.cat([rows.sum(dim=0), rows.new_tensor([len(rows)])]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = rows - mean
        variance = _sum_over_processes(centred.square().sum(dim=0)) / count
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), self.momentum)
        normalised = centred * (variance + self.eps).rsqrt()
        return (normalised * self.weight + self.bias).to(input.dtype)


def _sum_over_processes(own: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(own)  # type: ignore[no-untyped-call]  # torch has no types here
    return total


class _Sum(torch.autograd.Function):
    """A sum over processes. Every process's outputs depend on it, so its gradient is a sum over processes too."""

    @staticmethod
    def forward(_ctx: Any, own: Tensor) -> Tensor:  # noqa: ANN401 (torch has no type for it)
        total = own.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total
