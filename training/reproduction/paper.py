"""The figures that Maheshwari et al. 2021 print, to stand beside ours."""

from collections.abc import Mapping
from typing import Final

from training.evaluation.methods import FEATURES, NORMAL

AGREEMENT_KEYS: Final = (
    ("row tau", "row_kendall_tau"),
    ("row rho", "row_spearman_rho"),
    ("row r", "row_pearson_r"),
    ("all tau", "all_kendall_tau"),
    ("all rho", "all_spearman_rho"),
    ("all r", "all_pearson_r"),
)
RETRIEVAL_KEYS: Final = (("MRR", "mean_reciprocal_rank"), ("R@1", "recall_at_1"), ("R@5", "recall_at_5"))

TABLE_2: Final[Mapping[str, tuple[float, ...]]] = {
    "triplet-random": (0.258, 0.375, 0.402, 0.251, 0.369, 0.389),
    "triplet-extreme": (0.133, 0.197, 0.264, 0.148, 0.220, 0.274),
    "triplet-probability": (0.235, 0.345, 0.358, 0.224, 0.333, 0.335),
    "triplet-reject": (0.269, 0.392, 0.388, 0.254, 0.375, 0.364),
    "infonce-random": (0.263, 0.382, 0.407, 0.253, 0.372, 0.388),
    "infonce-extreme": (0.034, 0.048, 0.049, 0.062, 0.081, 0.081),
    "infonce-probability": (0.187, 0.275, 0.336, 0.197, 0.290, 0.333),
    "infonce-reject": (0.225, 0.329, 0.376, 0.228, 0.337, 0.367),
    "ranking-random": (0.381, 0.539, 0.548, 0.366, 0.524, 0.525),
    "ranking-extreme": (0.207, 0.302, 0.361, 0.209, 0.309, 0.359),
    "ranking-probability": (0.391, 0.554, 0.549, 0.377, 0.540, 0.529),
    "ranking-reject": (0.380, 0.537, 0.538, 0.362, 0.520, 0.511),
    NORMAL: (0.003, 0.004, 0.024, 0.001, 0.002, 0.017),
    FEATURES: (0.260, 0.378, 0.417, 0.247, 0.363, 0.382),  # of ResNet-152
}
"""In the order of AGREEMENT_KEYS."""

TABLE_3: Final[Mapping[str, tuple[float, ...]]] = {
    "triplet-random": (0.676, 0.607, 0.753),
    "triplet-extreme": (0.431, 0.370, 0.496),
    "triplet-probability": (0.208, 0.138, 0.265),
    "triplet-reject": (0.337, 0.242, 0.431),
    "infonce-random": (0.615, 0.533, 0.707),
    "infonce-extreme": (0.005, 0.002, 0.005),
    "infonce-probability": (0.145, 0.094, 0.185),
    "infonce-reject": (0.576, 0.502, 0.655),
    "ranking-random": (0.710, 0.643, 0.789),
    "ranking-extreme": (0.700, 0.648, 0.758),
    "ranking-probability": (0.857, 0.815, 0.906),
    "ranking-reject": (0.712, 0.639, 0.793),
}
"""At M = 12, in the order of RETRIEVAL_KEYS."""

REMOVAL: Final = 12
