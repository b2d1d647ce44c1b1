"""The body: the largest piece of tissue, filled, without the table and what lies on it.

All arrays are canonical: axes to head, back and left.
"""

import cc3d
import numpy as np
from scipy import ndimage

from algorithms.chest_ct.morphology import opened
from algorithms.protocol import BoolMask, Unsuitable, Voxels
from algorithms.spatial import Spacing

IN_PLANE = np.array([[[0, 0, 0]] * 3, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0, 0, 0]] * 3], dtype=np.bool_)
"""Connects the four neighbours of a voxel in its axial slice."""

_TISSUE_HU = -400.0
_THICKEST_TABLE_MM = 3.5  # radius; the shells of tables and clothes are thinner than twice this
_LIMB = 0.03  # of the trunk's volume; smaller pieces are not body
_SOFT_HU = (-200.0, 200.0)
_LUNG_HU = (-925.0, -500.0)
_CUT_LUNG_SHARE = 0.7
_CUT_LUNG_VESSELS = 0.01
_CUT_LUNG_MM2 = 1500.0
_SMALLEST_ML = 300.0
_BONE_HU = 180.0
_LEAST_SPINE_ML = 3.0
_SPINE_WIDTH_MM = 50.0
_OFF_CENTRE_MM = (40.0, 80.0)  # of the spine from the middle of the view: body whole, cut off at one side
_ONE_SIDED = 0.25  # difference of what both side edges cut, as shares of the greatest cross-section
_MEDIAN_MM = 8.0
_AIR_AT_MIDLINE = 0.3  # between the lungs it is less
_CUT_SLICES = 0.1


def find_body(hu: Voxels, spacing_mm: Spacing) -> BoolMask:
    """The body with all cavities that are enclosed in an axial slice.

    Raises:
        Unsuitable: no piece of soft tissue as large as a part of a body.
    """
    tissue = opened(hu > _TISSUE_HU, _THICKEST_TABLE_MM, spacing_mm)
    labels = cc3d.connected_components(tissue, connectivity=6)
    pieces = np.bincount(labels.ravel())
    pieces[0] = 0
    soft = np.bincount(labels[(hu > _SOFT_HU[0]) & (hu < _SOFT_HU[1])], minlength=len(pieces))
    pieces[soft * 2 < pieces] = 0
    largest_ml = float(pieces.max() * np.prod(spacing_mm)) / 1000.0
    if largest_ml < _SMALLEST_ML:
        raise Unsuitable(f"no body in view: the largest piece of soft tissue is {largest_ml:.0f} ml")
    return _filled(np.isin(labels, np.flatnonzero(pieces > _LIMB * pieces.max())), hu, spacing_mm)


def find_midline(hu: Voxels, body: BoolMask, spacing_mm: Spacing) -> float:
    """The column of the spine: where the back half of the body holds most bone, rather in its middle.

    The middle of what is in view would not do, a field of view may show half a patient; nor would
    bone alone, for the shoulders hold more of it.

    Raises:
        Unsuitable: no spine.
    """
    rows = body.sum(axis=(0, 2))
    middle = int(np.average(np.arange(len(rows)), weights=rows))
    bone = (hu[:, middle:] > _BONE_HU) & body[:, middle:]
    volume_ml = float(np.count_nonzero(bone) * np.prod(spacing_mm)) / 1000.0
    if volume_ml < _LEAST_SPINE_ML:
        raise Unsuitable(f"no spine in view: {volume_ml:.0f} ml of bone in the back half of the body")
    width = max(1, round(_SPINE_WIDTH_MM / spacing_mm[2]))
    profile = ndimage.uniform_filter1d(bone.sum(axis=(0, 1)).astype(np.float64), width, mode="reflect")
    columns = np.arange(body.shape[2])
    centre = np.average(columns, weights=body.sum(axis=(0, 1)))
    reach = _OFF_CENTRE_MM[_is_one_sided(body)]
    profile *= np.exp(-0.5 * ((columns - centre) * spacing_mm[2] / reach) ** 2)
    return float(np.argmax(profile))


def must_be_median(midline: float, hu: Voxels, body: BoolMask, spacing_mm: Spacing) -> None:
    """Refuse a midline that only bone suggests, unless the view confirms it: a wrong side is worse than none.

    Raises:
        Unsuitable: the view is of one side of the body, or lung lies where the mediastinum should be.
    """
    reach = max(1, round(_MEDIAN_MM / 2 / spacing_mm[2]))
    near = slice(max(0, round(midline) - reach), round(midline) + reach + 1)
    air = np.count_nonzero(body[:, :, near] & (hu[:, :, near] < _TISSUE_HU))
    if _is_one_sided(body) or air > _AIR_AT_MIDLINE * np.count_nonzero(body[:, :, near]):
        raise Unsuitable("left and right cannot be told apart: no trachea, and the view is of one side")


def is_cut_off(body: BoolMask, axis: int) -> bool:
    """Whether either edge of the field of view along an axis cuts the body in more than a few slices."""
    edges = body.take((0, -1), axis=axis)
    return float(np.mean(edges.any(axis=(1, 2)))) > _CUT_SLICES


def _is_one_sided(body: BoolMask) -> bool:
    """Whether the field of view cuts off much more of one side of the body than of the other."""
    profile = body.sum(axis=(0, 1))
    return bool(abs(int(profile[0]) - int(profile[-1])) > _ONE_SIDED * profile.max())


def _filled(body: BoolMask, hu: Voxels, spacing_mm: Spacing) -> BoolMask:
    """All that an axial slice of the body encloses, and lung that the left or right edge cuts off.

    What reaches the front or back edge is never taken for lung: the foam of tables is as dense.
    """
    labels, count = ndimage.label(~body, structure=IN_PLANE)
    voxels = np.bincount(labels.ravel(), minlength=count + 1)
    lung = np.bincount(labels[(hu > _LUNG_HU[0]) & (hu < _LUNG_HU[1])], minlength=count + 1)
    vessels = np.bincount(labels[hu >= _LUNG_HU[1]], minlength=count + 1)
    like_lung = (lung > _CUT_LUNG_SHARE * voxels) & (vessels > _CUT_LUNG_VESSELS * voxels)
    like_lung &= voxels * spacing_mm[1] * spacing_mm[2] > _CUT_LUNG_MM2
    front_back = np.bincount(labels[:, (0, -1)].ravel(), minlength=count + 1) > 0
    sides = np.bincount(labels[:, :, (0, -1)].ravel(), minlength=count + 1) > 0
    room = front_back | (sides & ~like_lung)
    room[0] = False
    return np.asarray(~room[labels], dtype=np.bool_)
