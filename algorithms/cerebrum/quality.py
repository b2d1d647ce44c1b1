"""Whether the structures of a brain are such as brains have; why a person should look where they are not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from algorithms.spatial import Labels

# Shares of the brain (all but cerebrospinal fluid around it) from childhood to old age, widened by about a
# quarter: brains of 3 to 96 years lie inside.
_USUAL_SHARE: Final[Mapping[str, tuple[float, float]]] = {
    "Grey matter": (0.28, 0.65),
    "Basal ganglia": (0.006, 0.035),
    "White matter": (0.22, 0.60),
    "Ventricles": (0.002, 0.14),
    "Cerebellum": (0.05, 0.18),
    "Brainstem": (0.008, 0.035),
}
_BRAIN_ML: Final = (700.0, 1800.0)
_LEAST_AGREEMENT: Final = 0.80
_MOST_APART: Final = 0.1  # of a structure that is one piece, away from its largest part
_IN_ONE_PIECE: Final = ("Cerebellum", "Brainstem")
_BORDER: Final = 0.002  # of the brain in the outermost slices


@dataclass(frozen=True)
class Quality:
    """What a segmented brain is like.

    Attributes:
        agreement: least Dice coefficient between a structure and itself in the mirrored image; None where
            the image was not mirrored.
        doubts: why a person should look, by structure; "" for the brain as a whole.
    """

    agreement: float | None
    doubts: Mapping[str, str]

    def of(self, structure: str) -> str | None:
        """Why a person should look at a structure; None if there is no doubt."""
        said = [self.doubts[key] for key in ("", structure) if key in self.doubts]
        return "; ".join(said) or None


def quality(
    labels: Labels, names: tuple[str, ...], voxel_ml: float, agreements: Mapping[str, float]
) -> Quality:
    """Judge labels.

    Args:
        labels: number of each voxel's structure, on the image's own grid.
        names: of the structures, the first has number 1.
        voxel_ml: volume of a voxel.
        agreements: Dice coefficient of each structure and itself in the mirrored image; may be empty.
    """
    counts = dict(zip(names, np.bincount(labels.ravel(), minlength=len(names) + 1)[1:], strict=False))
    brain = sum(int(n) for name, n in counts.items() if name in _USUAL_SHARE)
    doubts = dict(_whole(labels, brain, voxel_ml))
    for name in names:
        said = list(_structure(labels == names.index(name) + 1, name, int(counts[name]), brain))
        if agreements.get(name, 1.0) < _LEAST_AGREEMENT:
            said.append(f"the mirrored image gives another shape (Dice coefficient {agreements[name]:.2f})")
        if said:
            doubts[name] = "; ".join(said)
    return Quality(min(agreements.values()) if agreements else None, doubts)


def _whole(labels: Labels, brain: int, voxel_ml: float) -> Mapping[str, str]:
    low, high = _BRAIN_ML
    said = []
    if not low <= brain * voxel_ml <= high:
        said.append(f"the brain has {brain * voxel_ml:.0f} ml, outside {low:.0f} to {high:.0f}")
    faces = sum(int(np.count_nonzero(np.take(labels, end, axis))) for axis in range(3) for end in (0, -1))
    if faces > _BORDER * max(brain, 1):
        said.append("the brain reaches the border of the image, which may cut it")
    return {"": "; ".join(said)} if said else {}


def _structure(mask: npt.NDArray[np.bool_], name: str, count: int, brain: int) -> list[str]:
    said = []
    low, high = _USUAL_SHARE.get(name, (0.0, 1.0))
    if brain and name in _USUAL_SHARE and not low <= count / brain <= high:
        said.append(f"{100 * count / brain:.1f} % of the brain, outside {100 * low:g} to {100 * high:g}")
    if name in _IN_ONE_PIECE and count:
        components, _ = ndimage.label(mask)
        apart = 1 - np.bincount(components.ravel())[1:].max() / count
        if apart > _MOST_APART:
            said.append(f"{100 * apart:.0f} % of it lie apart from the rest")
    return said
