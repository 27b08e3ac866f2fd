"""How a loss reaches the encoder: packed graphs in, embeddings with gradient out, wherever the parts are computed."""

import torch
from torch import Tensor, nn

from model.batch import PackedGraphs
from training.config import Precision
from training.distributed import Processes


class GraphEncoding:
    """Packs graphs to a batch, encodes it in the precision asked for, each process its share.

    Args:
        encoder: on the device; with several processes its batch norm layers are replaced, in place.
        device: where to compute.
        precision: "bf16" runs the layers under autocast.
        processes: those that train together.
    """

    def __init__(self, encoder: nn.Module, device: torch.device, precision: Precision, processes: Processes) -> None:
        self.device = device
        self.precision = precision
        self.processes = processes
        self.encoder = processes.replicate(encoder)
        self.graphs = 0
        """Graphs encoded so far, of all processes together."""

    def __call__(self, graphs: PackedGraphs) -> Tensor:
        """Embeddings of all graphs, the same in every process; to be called with the same graphs in each.

        Shapes: N graphs -> (N, D).
        """
        self.graphs += len(graphs)
        own = graphs if self.processes.count == 1 else graphs.select(self.processes.share(len(graphs)))
        batch = own.to_batch().to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            embeddings: Tensor = self.encoder(batch)
        return self.processes.gather(embeddings, len(graphs))
