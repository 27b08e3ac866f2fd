"""The three losses on triples of anchor, positive and negative (Maheshwari et al. 2021, "Objective Functions").

All of them read two inner products a triple: sim_AP = f_A . f_P and sim_AN = f_A . f_N.
"""

import torch.nn.functional as F  # noqa: N812 (the field's name for it)
from torch import Tensor


def ranking_loss(positive: Tensor, negative: Tensor, target: Tensor, *, temperature: float) -> Tensor:
    """Cross entropy between the predicted and the supervised order of a triple.

        P_hat = sigmoid((sim_AP - sim_AN) / nu),    P = s_AP / (s_AP + s_AN)
        loss  = mean(-P log P_hat - (1 - P) log(1 - P_hat))

    Its minimum is at sim_AP - sim_AN = nu ln(s_AP / s_AN), where it equals the entropy of P: see `ranking_excess`.

    Args:
        positive: sim_AP. Shape (B,).
        negative: sim_AN. Shape (B,).
        target: P, from the caption similarities. Shape (B,).
        temperature: nu.

    Units: nats.
    """
    return F.binary_cross_entropy_with_logits((positive - negative) / temperature, target)


def ranking_excess(loss: Tensor, target: Tensor) -> Tensor:
    """What of a Ranking loss can still be learned: loss - H(P), the mean Kullback-Leibler divergence of P_hat from P.

    Caption similarities lie close together, so P is near 1/2 and the loss is almost all entropy: without this the curve
    looks flat.

    Units: nats.
    """
    return loss - F.binary_cross_entropy(target, target)


def triplet_loss(positive: Tensor, negative: Tensor, *, margin: float) -> Tensor:
    """mean(max(sim_AN - sim_AP + m, 0)).

    Shapes: positive and negative (B,).
    """
    return F.relu(negative - positive + margin).mean()


def infonce_loss(positive: Tensor, negative: Tensor, *, temperature: float) -> Tensor:
    """InfoNCE with one negative: mean(-log(exp(sim_AP / l) / (exp(sim_AP / l) + exp(sim_AN / l)))).

    Shapes: positive and negative (B,).
    Units: nats.
    """
    return F.softplus((negative - positive) / temperature).mean()


def preference(positive: Tensor, negative: Tensor) -> Tensor:
    """P = s_AP / (s_AP + s_AN), how strongly the captions prefer the positive.

    Shapes: (B,), (B,) -> (B,); both positive, see `training.similarity`.
    """
    return positive / (positive + negative)
