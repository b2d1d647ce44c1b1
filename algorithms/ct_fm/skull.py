"""The inside of the skull on a CT, found by its bone; without weights."""

from dataclasses import dataclass, replace

import cc3d
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from algorithms.protocol import BoolMask, Unsuitable, Volume, Voxels

_BONE_HU = 300.0
_HALF_BONE_HU = 500.0
_SLOPE_MM = 6.0
_LESS_THAN_FLUID_HU = -30.0
_WORKING_MM = 1.0
_DIRECTIONS = 14
_NECKS_MM = 4.0
_CANAL_CM2 = 9.0
_LEAST_ML = 100.0
_MOST_HOLLOW = 0.15
_UPRIGHT = 0.7

Heights = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Skull:
    """A head on a working grid: the slices of the source, pixels of about 1 mm.

    Attributes:
        hu: means of `step` x `step` pixels; axes (slice, row, column).
        bone: skull, jaw and what else is as dense and joined to them.
        cavity: within the inner table, above the foramen magnum.
        step: pixels of the source for one pixel here.
        pixel_mm: size of a pixel here, (row, column).
        heights_mm: of the slices along their normal, rising or falling.
        lean: shift of the next place along (row, column), millimetres for each millimetre of height.
    """

    hu: Voxels
    bone: BoolMask
    cavity: BoolMask
    step: int
    pixel_mm: tuple[float, float]
    heights_mm: Heights
    lean: tuple[float, float]

    @property
    def weights_ml(self) -> Heights:
        """Volume of a pixel of each slice, millilitres."""
        return np.abs(np.gradient(self.heights_mm)) * self.pixel_mm[0] * self.pixel_mm[1] / 1000.0

    def volume_ml(self, mask: BoolMask) -> float:
        """Volume of a mask on the working grid, in millilitres."""
        return float(np.count_nonzero(mask, axis=(1, 2)) @ self.weights_ml)


def find_skull(volume: Volume) -> Skull:
    """Find the skull and its cavity.

    Args:
        volume: a CT in HU with axial slices, tilted or not, evenly spaced or not.

    Raises:
        Unsuitable: no HU, no axial slices, or no skull around a brain in view.
    """
    if volume.unit != "HU":
        raise Unsuitable("the values have no Hounsfield scale, so nothing can be called hyperdense")
    if len(volume.voxels) < 3:
        raise Unsuitable(f"{len(volume.voxels)} slices are too few for a head")
    across = np.cross(volume.affine_mm[:3, 1], volume.affine_mm[:3, 2])
    normal = across / np.linalg.norm(across)
    if abs(normal[2]) < _UPRIGHT:
        raise Unsuitable("the slices are not axial")
    _, rows, columns = volume.spacing_mm
    step = max(1, round(_WORKING_MM / rows))
    hu = _means(volume.voxels, step)
    pixel = (rows * step, columns * step)
    places = np.arange(len(hu)) if volume.slice_places is None else volume.slice_places
    heights = np.asarray(places, dtype=np.float64) * float(volume.affine_mm[:3, 0] @ normal)
    bone = _largest(hu > _BONE_HU)
    skull = Skull(hu, bone, np.zeros_like(bone), step, pixel, heights, _lean(volume, normal))
    return replace(skull, cavity=_cavity(skull, rising=bool(volume.affine_mm[2, 0] > 0)))


def disc(radius_mm: float, pixel_mm: tuple[float, float]) -> BoolMask:
    """A disc within a slice, axes (slice, row, column), the first of length 1."""
    reach = [int(radius_mm / size) for size in pixel_mm]
    y, x = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    inside: BoolMask = np.hypot(y * pixel_mm[0], x * pixel_mm[1]) <= radius_mm
    return inside[None]


def opened(mask: BoolMask, radius_mm: float, pixel_mm: tuple[float, float]) -> BoolMask:
    """What of each slice a disc can reach without leaving the mask."""
    core = deeper(mask, radius_mm, pixel_mm)
    return nearer(core, radius_mm, pixel_mm)


def deeper(mask: BoolMask, depth_mm: float, pixel_mm: tuple[float, float]) -> BoolMask:
    """What lies more than a depth within the mask, slice by slice."""
    return np.stack([ndimage.distance_transform_edt(plane, pixel_mm) > depth_mm for plane in mask])


def nearer(mask: BoolMask, reach_mm: float, pixel_mm: tuple[float, float]) -> BoolMask:
    """What lies at most a reach away from the mask, slice by slice."""
    return np.stack(
        [
            ndimage.distance_transform_edt(~plane, pixel_mm) <= reach_mm if plane.any() else plane
            for plane in mask
        ]
    )


def _lean(volume: Volume, normal: npt.NDArray[np.float64]) -> tuple[float, float]:
    along = volume.affine_mm[:3, 0]
    height = float(along @ normal)
    _, rows, columns = volume.spacing_mm
    row, column = volume.affine_mm[:3, 1] / rows, volume.affine_mm[:3, 2] / columns
    return float(along @ row) / height, float(along @ column) / height


def _means(voxels: Voxels, step: int) -> Voxels:
    slices, rows, columns = (n - n % s for n, s in zip(voxels.shape, (1, step, step), strict=True))
    blocks = voxels[:, :rows, :columns].reshape(slices, rows // step, step, columns // step, step)
    return np.asarray(np.clip(blocks, -1024, 3071).mean(axis=(2, 4)), dtype=np.float32)


def _largest(mask: BoolMask) -> BoolMask:
    if not mask.any():
        return mask
    return np.asarray(cc3d.largest_k(mask, k=1, connectivity=26) > 0)


def _cavity(skull: Skull, *, rising: bool) -> BoolMask:
    """Soft tissue with bone all around in its slice; of it the largest piece that holds together."""
    enclosed = _enclosed(skull.bone) & ~skull.bone
    soft = enclosed & (ndimage.gaussian_filter(skull.hu, (0.0, 1.0, 1.0)) > _LESS_THAN_FLUID_HU)
    core = _largest(deeper(soft, _NECKS_MM, skull.pixel_mm))
    cavity = nearer(core, _NECKS_MM + 1.0, skull.pixel_mm) & soft
    cavity = _without_canals(cavity, skull, rising=rising)
    around = nearer(cavity, 3.0, skull.pixel_mm) & enclosed
    hollow = float((around & ~soft).sum()) / max(1.0, float(around.sum()))
    if skull.volume_ml(cavity) < _LEAST_ML or hollow > _MOST_HOLLOW:
        raise Unsuitable("no skull around a brain is in view")
    return _to_half_bone(cavity, skull)


def _to_half_bone(cavity: BoolMask, skull: Skull) -> BoolMask:
    """Out to where bone fills half of a voxel; at a sloping vault thick slices show some bone far inside."""
    partly = skull.bone & (skull.hu < _HALF_BONE_HU)
    within = nearer(cavity, _SLOPE_MM, skull.pixel_mm) & (partly | cavity)
    plane = np.zeros((3, 3, 3), dtype=np.bool_)
    plane[1] = True
    return np.asarray(ndimage.binary_propagation(cavity, plane, within))


def _enclosed(bone: BoolMask) -> BoolMask:
    """From where bone is met in nearly all of 16 directions within the slice: fissures do not matter."""
    met = np.zeros(bone.shape, dtype=np.uint8)
    for angle in (0.0, 22.5, 45.0, 67.5):
        turned = ndimage.rotate(bone.view(np.uint8), angle, axes=(1, 2), order=0, reshape=True)
        seen = np.zeros_like(turned)
        for axis in (1, 2):
            seen += np.maximum.accumulate(turned, axis=axis)
            seen += np.flip(np.maximum.accumulate(np.flip(turned, axis), axis=axis), axis)
        back = ndimage.rotate(seen, -angle, axes=(1, 2), order=0, reshape=False)
        met += _middle(back, bone.shape)
    return met >= _DIRECTIONS


def _middle(planes: npt.NDArray[np.uint8], shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    y, x = ((have - want) // 2 for have, want in zip(planes.shape[1:], shape[1:], strict=True))
    return planes[:, y : y + shape[1], x : x + shape[2]]


def _without_canals(cavity: BoolMask, skull: Skull, *, rising: bool) -> BoolMask:
    """Without the spinal canal and pockets of the skull base: what is small in the lower slices."""
    kept = cavity.copy()
    areas = np.count_nonzero(cavity, axis=(1, 2))
    widest = int(areas.argmax())
    least = _CANAL_CM2 * 100.0 / (skull.pixel_mm[0] * skull.pixel_mm[1])
    for index in range(widest) if rising else range(widest + 1, len(cavity)):
        numbers = cc3d.connected_components(cavity[index].astype(np.uint8), connectivity=4)
        kept[index] &= (np.bincount(numbers.ravel()) >= least)[numbers]
    return kept
