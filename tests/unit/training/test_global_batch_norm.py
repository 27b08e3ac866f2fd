"""Global batch norm in one process against PyTorch's; tests/integration/test_distributed.py has two processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from training.global_batch_norm import GlobalBatchNorm, with_global_batch_norm


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("one_process")
def test_outputs_gradients_and_statistics_are_those_of_batch_norm() -> None:
    torch.manual_seed(0)
    norms = [nn.BatchNorm1d(5) for _ in range(2)]
    expected, actual = (nn.Sequential(nn.Sequential(norm)) for norm in norms)
    parameters = list(actual.parameters())
    with_global_batch_norm(actual)
    assert isinstance(norms[1], GlobalBatchNorm)
    assert all(left is right for left, right in zip(parameters, actual.parameters(), strict=True))
    for _ in range(3):
        rows = torch.randn(7, 5) * 3 + 100
        inputs = [rows.clone().requires_grad_() for _ in range(2)]
        outputs = [module(rows) for module, rows in zip((expected, actual), inputs, strict=True)]
        torch.testing.assert_close(outputs[1], outputs[0], atol=1e-4, rtol=0)
        weights = torch.randn(7, 5)
        for output in outputs:
            (output * weights).sum().backward()
        torch.testing.assert_close(inputs[1].grad, inputs[0].grad, atol=1e-4, rtol=0)
    for left, right in zip(actual.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(left.grad, right.grad, atol=1e-4, rtol=0)
    torch.testing.assert_close(actual.state_dict(), expected.state_dict())
    torch.testing.assert_close(actual.eval()(rows), expected.eval()(rows))


@pytest.mark.usefixtures("one_process")
def test_a_process_without_rows_takes_part() -> None:
    norm = with_global_batch_norm(nn.Sequential(nn.BatchNorm1d(5)))
    assert norm(torch.zeros(1, 5)).abs().max() == 0
    assert norm(torch.zeros(1, 5, dtype=torch.bfloat16)).dtype == torch.bfloat16
