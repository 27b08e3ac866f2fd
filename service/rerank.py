"""Second look at the best images of a ranking: how much of the query each really has."""

from collections.abc import Sequence
from typing import Final

from service.catalogue import StoredImage
from service.explain import Explanation
from service.index.ranking import SCORE_DECIMALS

RERANK_WINDOW: Final = 200
"""The best images that are looked at again; each takes about a millisecond."""

SHARE_WEIGHT: Final = 0.5


def rerank(
    images: Sequence[StoredImage], scores: Sequence[float], explanations: Sequence[Explanation]
) -> list[tuple[int, float]]:
    """Places of the images in the order of their new scores, equal ones by image id, with these scores.

    score = (1 - w) s + w (triples matched + objects matched) / (triples + objects of the query), w = SHARE_WEIGHT,

    where s is the inner product of unit vectors, so scores stay within -1..1. What of a query an image has is found by
    a best one-to-one assignment (service.explain).

    Args:
        images: the images.
        scores: s of each.
        explanations: what each has of the query.
    """
    blended = [
        round((1 - SHARE_WEIGHT) * score + SHARE_WEIGHT * explanation.share, SCORE_DECIMALS)
        for score, explanation in zip(scores, explanations, strict=True)
    ]
    order = sorted(range(len(images)), key=lambda place: (-blended[place], images[place].image_id))
    return [(place, blended[place]) for place in order]
