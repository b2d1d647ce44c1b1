"""Left and right of a brain: the plane between the halves, and how they differ."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage, optimize

from algorithms.protocol import Affine, BoolMask, Voxels

_Free = np.ndarray[tuple[int], np.dtype[np.float64]]

_COARSE_MM: Final = 5.0
_LEAST: Final = 0.02  # of a voxel that is brain; the others cannot be like anything
_SIMPLEX: Final = np.array([[0.0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 8]])
"""What is tried first: degrees about the long axis, degrees of lean, millimetres aside."""


@dataclass(frozen=True, eq=False)
class MidPlane:
    """The plane that a brain is most like its own mirror image in.

    Attributes:
        normal: unit vector to the patient's left.
        point_mm: on the plane.
        likeness: Dice coefficient of the brain and its mirror image, 0 to 1.
    """

    normal: npt.NDArray[np.float64]
    point_mm: npt.NDArray[np.float64]
    likeness: float

    @classmethod
    def of(cls, brain: BoolMask, affine_mm: Affine) -> Self:
        """Find it.

        Args:
            brain: axes to head, back and left; not empty.
            affine_mm: 4x4, voxel index to patient LPS millimetres.
        """
        spacing = np.linalg.norm(affine_mm[:3, :3], axis=0)
        blurred = ndimage.gaussian_filter(brain.astype(np.float32), _COARSE_MM / 2 / spacing)
        step = np.maximum(1, np.round(_COARSE_MM / spacing)).astype(int)
        soft = blurred[:: step[0], :: step[1], :: step[2]]
        grid = affine_mm @ np.diag([*step, 1.0])
        voxels = np.stack(np.meshgrid(*(np.arange(n) for n in soft.shape), indexing="ij"), axis=-1)
        # Between voxels, at random: what lies exactly on them would be the most like itself without any turn.
        places = voxels.reshape(-1, 3) + np.random.default_rng(0).uniform(-0.5, 0.5, (soft.size, 3))
        positions = places @ grid[:3, :3].T + grid[:3, 3]
        values = ndimage.map_coordinates(soft, places.T, order=1, mode="constant")
        positions, values = positions[values > _LEAST], values[values > _LEAST]
        centre = np.asarray((positions * values[:, None]).sum(axis=0) / values.sum())
        back = np.linalg.inv(grid)

        def unlike(free: _Free) -> float:
            normal, point = _plane(free, centre)
            mirrored = positions - 2 * np.outer((positions - point) @ normal, normal)
            index = mirrored @ back[:3, :3].T + back[:3, 3]
            there = ndimage.map_coordinates(soft, index.T, order=1, mode="constant")
            return -float(2 * np.minimum(values, there).sum() / (2 * values.sum()))

        found = optimize.minimize(
            unlike,
            np.zeros(3),
            method="Nelder-Mead",
            options={"initial_simplex": _SIMPLEX, "xatol": 0.1, "fatol": 1e-6},
        )
        normal, point = _plane(found.x, centre)
        return cls(normal, point, -float(found.fun))

    def left_of(self, shape: tuple[int, ...], affine_mm: Affine) -> Voxels:
        """How much of each voxel of a grid lies to the patient's left of the plane, 0 to 1."""
        a, b, c = (np.arange(n) for n in shape)
        along = self.normal @ affine_mm[:3, :3]
        offset = self.normal @ (affine_mm[:3, 3] - self.point_mm)
        distance = along[0] * a[:, None, None] + along[1] * b[:, None] + along[2] * c + offset
        return np.asarray(np.clip(distance / np.abs(along).max() + 0.5, 0, 1), dtype=np.float32)


def asymmetry_percent(left: float, right: float) -> float:
    """How much more there is on the left, as a share of the mean of both sides."""
    return 200.0 * (left - right) / (left + right)


def _plane(
    free: _Free, centre: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Normal and point, from the turn about the long axis and the lean (degrees), and the shift (mm)."""
    turn, lean = np.radians(free[:2])
    normal = np.array([np.cos(turn) * np.cos(lean), np.sin(turn) * np.cos(lean), np.sin(lean)])
    return normal, centre + free[2] * normal
