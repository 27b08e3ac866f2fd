"""The engines against loops over edges, and the encoder with one against the encoder with the other."""

import importlib.util
import sys

import pytest
import torch
from torch import Tensor

from model.encoder import SceneGraphEncoder
from model.engines import DglEngine, EngineName, GraphEngine, TorchEngine, graph_engine
from model.errors import ConfigError
from tests.conftest import skip_or_fail
from tests.random_graphs import packed, small_encoder

EDGES = torch.tensor([[0, 1], [1, 1], [2, 0], [0, 1], [2, 1]])  # a self-loop, a parallel edge, and node 3 without any
NODES = 4


@pytest.fixture(params=["torch", "dgl"])
def engine(request: pytest.FixtureRequest) -> GraphEngine:
    name: EngineName = request.param
    if name == "dgl":
        require_dgl()
    return graph_engine(name, EDGES, NODES)


def require_dgl() -> None:
    if importlib.util.find_spec("dgl") is None:
        skip_or_fail("dgl", "DGL is not installed")


def test_an_engine_equals_loops_over_edges(engine: GraphEngine) -> None:
    random = torch.Generator().manual_seed(0)
    sources, targets = torch.randn(2, NODES, 3, generator=random)
    of_edges = torch.randn(len(EDGES), 3, generator=random)
    outgoing, incoming = torch.zeros(NODES, 3), torch.zeros(NODES, 3)
    out_degree, in_degree = torch.zeros(NODES, 1), torch.zeros(NODES, 1)
    for edge, (u, v) in enumerate(EDGES.tolist()):
        torch.testing.assert_close(engine.add_ends(sources, targets)[edge], sources[u] + targets[v])
        outgoing[u] += of_edges[edge]
        incoming[v] += of_edges[edge]
        out_degree[u] += 1
        in_degree[v] += 1
    torch.testing.assert_close(engine.sum_outgoing(of_edges), outgoing)
    torch.testing.assert_close(engine.sum_incoming(of_edges), incoming)
    assert torch.equal(engine.out_degree, out_degree)
    assert torch.equal(engine.in_degree, in_degree)


def outputs_and_gradients(encoder: SceneGraphEncoder, engine: EngineName) -> tuple[Tensor, dict[str, Tensor]]:
    encoder.engine = engine
    encoder.zero_grad()
    embeddings = encoder(packed(40, seed=3).to_batch())
    (embeddings * torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    gradients = {name: parameter.grad for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    assert len(gradients) == len(list(encoder.parameters()))
    return embeddings.detach(), gradients


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("pool_image_node", [True, False])
def test_both_engines_give_the_same_outputs_and_gradients(training: bool, pool_image_node: bool) -> None:
    require_dgl()
    encoder = small_encoder(pool_image_node=pool_image_node).train(training)
    outputs, gradients = outputs_and_gradients(encoder, "torch")
    dgl_outputs, dgl_gradients = outputs_and_gradients(encoder, "dgl")
    torch.testing.assert_close(dgl_outputs, outputs, atol=1e-5, rtol=0)
    for name, gradient in gradients.items():
        torch.testing.assert_close(dgl_gradients[name], gradient, atol=1e-4, rtol=0, msg=name)


def test_dgl_runs_in_half_precision_too() -> None:
    require_dgl()
    batch = packed(40).to_batch()
    encoder = small_encoder().eval()
    expected = encoder(batch)
    encoder.engine = "dgl"
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(encoder(batch), expected, atol=0.05, rtol=0)


def test_an_encoder_uses_torch_unless_told_otherwise() -> None:
    encoder = small_encoder()
    assert encoder.engine == "torch"
    assert SceneGraphEncoder(encoder.config, engine="dgl").state_dict().keys() == encoder.state_dict().keys()
    assert isinstance(graph_engine("torch", EDGES, NODES), TorchEngine)


def test_dgl_that_is_not_installed_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dgl", None)
    with pytest.raises(ConfigError, match=r"pip install 'scenerank\[dgl\]'"):
        graph_engine("dgl", EDGES, NODES)


def test_dgl_on_another_device_than_a_cpu_is_a_clear_error() -> None:
    with pytest.raises(ConfigError, match="engine=torch"):
        DglEngine(EDGES.to("meta"), NODES)
