"""The surface of a mask as marching cubes sees it, in one pass over the voxels.

The grid of voxel centres is cut into cells of eight corners. Only the cells that the surface crosses
are kept; area, volume, diameters and moments all follow from them.

A cell is known by its configuration, 0 to 255: corner (slice, row, column) of the cell, each 0 or 1,
sets bit 4 * slice + 2 * row + column where it lies in the mask.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from skimage.measure import marching_cubes

from algorithms.protocol import Affine, BoolMask

Indices = npt.NDArray[np.int64]
Configurations = npt.NDArray[np.uint8]

_SLAB_VOXELS = 1 << 20  # what is computed at once stays in the processor's cache
_REFERENCE_CORNER = 6  # corner (1, 1, 0)


class _Patches(NamedTuple):
    """All triangles of all configurations.

    Attributes:
        triangles: float64, axes (triangle, vertex, axis), in a cell of side 1.
        configurations: of which each triangle is.
        signs: 1, or -1 for a triangle that is turned about.
    """

    triangles: npt.NDArray[np.float64]
    configurations: Indices
    signs: Indices


@dataclass(frozen=True, eq=False)
class Surface:
    """The cells crossed by the surface of a mask.

    Attributes:
        cells: int64, axes (slice, row, column) by cell: index of the first corner, counted from one
            voxel before the mask, in the order of the voxels.
        configurations: uint8, one for each cell.
        shape: of the mask, (slice, row, column).
    """

    cells: tuple[Indices, Indices, Indices]
    configurations: Configurations
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, mask: BoolMask) -> "Surface":
        """Find it.

        Args:
            mask: bool, axes (slice, row, column).
        """
        padded = np.pad(mask, 1).view(np.uint8)
        slices, rows, columns = (n + 1 for n in mask.shape)
        step = max(1, _SLAB_VOXELS // (rows * columns))
        found, configurations = [], []
        for first in range(0, slices, step):
            cubes = _configurations(padded[first : first + step + 1]).ravel()
            # 0 is outside and 255 inside: one subtraction brings both to the upper end.
            crossed = np.flatnonzero(cubes - np.uint8(1) < 254)
            found.append(crossed + first * rows * columns)
            configurations.append(cubes[crossed])
        lines, column = np.divmod(np.concatenate(found), columns)
        slice_, row = np.divmod(lines, rows)
        return cls((slice_, row, column), np.concatenate(configurations), mask.shape)

    def crossings(self, axis: int) -> Indices:
        """Mesh vertices on the grid lines along an axis: which cells have one, in the order of the cells.

        The vertex lies on the line through the last corner of the cell, half a voxel before it.
        """
        last = self.configurations >> 7
        before = self.configurations >> (7 - (4, 2, 1)[axis]) & 1
        return np.flatnonzero(last != before)


def area_and_volume(surface: Surface, linear: Affine) -> tuple[float, float]:
    """Area and enclosed volume of the mesh.

    Each cell adds the area of its triangles, and to six times the volume the determinants of their
    vertices (a, b, c), with the origin one voxel before the mask as pyradiomics has it: the mesh has
    small holes where two cells see an ambiguous face differently, so the origin does matter a little.

    Args:
        surface: of the mask.
        linear: 3x3, voxel index (slice, row, column) to millimetres.

    Returns:
        Square millimetres, cubic millimetres.
    """
    patches = _patches()
    a, b, c = patches.triangles.transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    # A linear map takes normals along by its cofactors.
    physical = normals @ (np.linalg.inv(linear) * np.linalg.det(linear))
    counts = np.bincount(surface.configurations, minlength=256)
    area = 0.5 * counts[patches.configurations] @ np.linalg.norm(physical, axis=1)
    outward = normals * patches.signs[:, np.newaxis]
    six_volumes = counts[patches.configurations] @ np.einsum("ij,ij->i", a, outward)
    for axis, position in enumerate(surface.cells):
        moved = np.bincount(surface.configurations, weights=position, minlength=256)
        six_volumes += moved[patches.configurations] @ outward[:, axis]
    return float(area), abs(float(six_volumes * np.linalg.det(linear))) / 6.0


def _configurations(slab: Configurations) -> Configurations:
    pairs = slab[:, :, :-1] | np.left_shift(slab[:, :, 1:], np.uint8(1))
    squares = pairs[:, :-1] | np.left_shift(pairs[:, 1:], np.uint8(2))
    cubes: Configurations = squares[:-1] | np.left_shift(squares[1:], np.uint8(4))
    return cubes


@cache
def _patches() -> _Patches:
    """The triangles of Lorensen and Cline, as scikit-image has them.

    A configuration that includes the reference corner has the triangles of its complement, turned
    about; so it is in pyradiomics.
    """
    triangles, configurations, signs = [], [], []
    for configuration in range(1, 255):
        turned = bool(configuration >> _REFERENCE_CORNER & 1)
        own = _triangles(configuration ^ 255 if turned else configuration)
        triangles.append(own)
        configurations.append(np.full(len(own), configuration))
        signs.append(np.full(len(own), -1 if turned else 1))
    return _Patches(np.concatenate(triangles), np.concatenate(configurations), np.concatenate(signs))


def _triangles(configuration: int) -> npt.NDArray[np.float64]:
    corners = np.array([configuration >> bit & 1 for bit in range(8)], dtype=np.float32).reshape(2, 2, 2)
    vertices, faces, _, _ = marching_cubes(corners, level=0.5, method="lorensen")
    triangles: npt.NDArray[np.float64] = np.asarray(vertices, dtype=np.float64)[faces]
    return triangles
