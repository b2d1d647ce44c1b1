"""Shape features, as pyradiomics 3.0.1 (class shape) and the IBSI define them.

Area and volume are those of a marching-cubes mesh of the mask at 0.5. Because the mesh follows the
voxels, the area of a smooth body comes out 9 to 15 per cent too large, and a ball has a sphericity
of about 0.9.
"""

from math import inf, pi, sqrt

import numpy as np

from algorithms.protocol import Affine, BoolMask
from algorithms.radiomics.diameters import largest_diameters
from algorithms.radiomics.surface import Surface, area_and_volume


def shape_features(mask: BoolMask, affine_mm: Affine) -> dict[str, float]:
    """All 17 shape features by their names in pyradiomics; millimetres, square and cubic millimetres.

    What is not defined, such as the elongation of a single voxel, is left out.

    Args:
        mask: bool, axes (slice, row, column), with at least one voxel.
        affine_mm: 4x4, voxel index to patient millimetres; where it puts the origin makes no difference.
    """
    linear = affine_mm[:3, :3]
    surface = Surface.of(mask)
    area, volume = area_and_volume(surface, linear)
    diameters = largest_diameters(surface, linear)
    count, least, minor, major = _count_and_axes(surface, linear)
    sphericity = (36 * pi * volume**2) ** (1 / 3) / area
    features = {
        "VoxelVolume": count * abs(float(np.linalg.det(linear))),
        "MeshVolume": volume,
        "SurfaceArea": area,
        "SurfaceVolumeRatio": _ratio(area, volume),
        "Sphericity": sphericity,
        "SphericalDisproportion": _ratio(1.0, sphericity),
        "Compactness1": volume / (area**1.5 * sqrt(pi)),
        "Compactness2": 36 * pi * volume**2 / area**3,
        "Maximum3DDiameter": diameters.in_space,
        "Maximum2DDiameterSlice": diameters.in_slice,
        "Maximum2DDiameterColumn": diameters.in_row,
        "Maximum2DDiameterRow": diameters.in_column,
        "MajorAxisLength": major,
        "MinorAxisLength": minor,
        "LeastAxisLength": least,
        "Elongation": _ratio(minor, major),
        "Flatness": _ratio(least, major),
    }
    return {name: value for name, value in features.items() if value < inf}


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else inf


def _count_and_axes(surface: Surface, linear: Affine) -> tuple[int, float, float, float]:
    """Number of voxels; least, minor and major axis.

    The axes are four times the roots of the eigenvalues of the covariance of the voxel centres. The
    sums over the voxels are taken run by run: a run of voxels along a row begins and ends at vertices.
    """
    crossings = surface.crossings(2)
    slices, rows = (surface.cells[axis][crossings[::2]] for axis in (0, 1))
    column = surface.cells[2][crossings]
    first, last = column[::2], column[1::2] - 1
    lengths = last - first + 1
    count = int(lengths.sum())
    centres = np.stack((slices, rows, (first + last) / 2.0))
    centred = centres - (centres @ lengths / count)[:, np.newaxis]
    moments = (centred * lengths) @ centred.T
    moments[2, 2] += float((lengths * (lengths**2 - 1)).sum()) / 12.0  # of a run about its centre
    eigenvalues = np.linalg.eigvalsh(linear @ moments @ linear.T / count)
    least, minor, major = (4 * sqrt(max(float(value), 0.0)) for value in eigenvalues)
    return count, least, minor, major
