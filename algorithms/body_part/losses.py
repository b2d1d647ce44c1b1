"""What a training strives for: slices in order, equal gaps in equal steps, known levels at their scores.

The first two need no labels (Schuhegger, arXiv:2110.09148; Yan et al., arXiv:1707.03891). With few
volumes they leave open where on the scale a volume lies that overlaps no other; the third fixes that.
"""

import torch
from torch.nn import functional

RAW_PER_SCORE = 0.424
"""Raw score per point of the published scale: the order loss settles at 0.05 per mm, the scale at 0.118."""

_MIDDLE = 50.0
_STEEPNESS = 0.5
_CERTAINTY_PER_MM = 0.025


def order_loss(scores: torch.Tensor, gaps_mm: torch.Tensor) -> torch.Tensor:
    """Heuristic order loss: surer the further apart. Scores (volume, slice), gaps (volume,)."""
    predicted = torch.sigmoid(_STEEPNESS * scores.diff(dim=1))
    observed = torch.sigmoid(_CERTAINTY_PER_MM * gaps_mm)[:, None]
    return (observed - predicted).square().mean()


def distance_loss(scores: torch.Tensor) -> torch.Tensor:
    """Equal gaps, equal steps. Scores (volume, slice)."""
    steps = scores.diff(dim=1)
    return functional.smooth_l1_loss(steps[:, 1:], steps[:, :-1])


def level_loss(scores: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Published scores where they are known, else NaN. Both (volume, slice)."""
    known = torch.isfinite(levels)
    if not bool(known.any()):
        return scores.new_zeros(())
    return functional.smooth_l1_loss(scores[known], RAW_PER_SCORE * (levels[known] - _MIDDLE))
