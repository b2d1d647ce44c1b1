"""Does a picture show the slices it names, and colour where the map is? By a way of its own.

The encoder interpolates the map; here only its voxels nearest to a pixel are looked at. Where all of them
are faint the pixel must be the grey of the slice; where all of them are strong it must be coloured.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter, minimum_filter

from algorithms.protocol import SaliencyMap
from node.outbound import secondary_capture, seg_reading
from node.outbound.fidelity import Case, Check, differences
from node.outbound.secondary_capture import FAINTEST, LONGEST_EDGE, MOST_FRAMES
from node.outbound.window import window_of

PLANE_TOLERANCE_MM: Final = 0.01

_STRONG: Final = 0.4
"""Share of the greatest value whose colour no grey is taken for."""

_COLOURED: Final = 8
"""Least difference between two samples of a pixel in colour, of 255."""

_ROUNDING: Final = 1
"""Of 255."""


def _form(case: Case) -> Iterator[str]:
    dataset = case.dataset
    yield from differences(
        {
            "photometric interpretation": (dataset.PhotometricInterpretation, "RGB"),
            "burned in annotation": (dataset.BurnedInAnnotation, "NO"),
            "number of places": (len(seg_reading.planes(dataset)), dataset.NumberOfFrames),
            "number of source images": (len(dataset.SourceImageSequence), dataset.NumberOfFrames),
        }
    )
    if dataset.NumberOfFrames > MOST_FRAMES or max(dataset.Rows, dataset.Columns) > LONGEST_EDGE:
        yield f"{dataset.NumberOfFrames} frames of {dataset.Rows} x {dataset.Columns} are too many"


def _frames(case: Case) -> Iterator[str]:
    """Every frame lies on the slice it names, in slice order, and shows it."""
    order = [seg_reading.slice_of(source) for source in case.sources]
    named = [seg_reading.slice_named(item) for item in case.dataset.SourceImageSequence]
    if not set(named) <= set(order) or sorted(named, key=order.index) != named:
        yield "the source images are not slices in their order"
        return
    size = (int(case.dataset.Rows), int(case.dataset.Columns))
    pixels = np.frombuffer(case.dataset.PixelData, np.uint8)[: len(named) * size[0] * size[1] * 3]
    shown = pixels.reshape(len(named), *size, 3).astype(np.intp)
    for plane, shows, frame in zip(seg_reading.planes(case.dataset), named, shown, strict=True):
        for fault in _frame_faults(case, plane, order.index(shows), frame):
            yield f"frame {plane.number}: {fault}"


def _frame_faults(
    case: Case, plane: seg_reading.Plane, number: int, frame: npt.NDArray[np.intp]
) -> Iterator[str]:
    factor = secondary_capture.reduction(case.volume)
    source = seg_reading.affine_of(case.sources[number])
    corners = np.array([[0, 0, 1], [frame.shape[0] - 1, frame.shape[1] - 1, 1]]).T
    in_source = corners * [[factor], [factor], [1]] + [[(factor - 1) / 2], [(factor - 1) / 2], [0]]
    off = np.abs(plane.affine_mm @ corners - source @ in_source).max()
    if off > PLANE_TOLERANCE_MM:
        yield f"it lies {off:.2f} mm off its slice"
        return
    faint, strong = _bounds(case, plane, frame.shape[:2])
    spread = np.ptp(frame, axis=2)
    window = window_of(case.volume, case.sources[len(case.sources) // 2])
    grey = np.rint(255 * window.grey(secondary_capture.reduced(case.volume.voxels[number], factor)))
    if np.abs(frame - grey[..., None])[faint].max(initial=0) > _ROUNDING:
        yield "it does not show its slice where the map says nothing"
    if spread[strong].min(initial=255) < _COLOURED:
        yield "it has no colour where the map is strong"


def _bounds(
    case: Case, plane: seg_reading.Plane, size: tuple[int, ...]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Pixels (row, column) around which the map is faint, and around which it is strong."""
    saliency = case.findings.saliency
    if saliency is None:
        raise ValueError("there is no saliency map to compare with")
    share = _share(saliency)
    to_index = np.linalg.inv(saliency.affine_mm)
    row, column = np.indices(size).reshape(2, -1)
    position = plane.affine_mm @ np.stack([row, column, np.ones(row.size)])
    nearest = np.rint(to_index[:3, :3] @ position + to_index[:3, 3:]).astype(np.intp) + 1
    # One voxel of nothing around the map; what lies beyond reads that.
    nearest = np.clip(nearest, 0, np.array(share.shape)[:, None] - 1)
    around_most, around_least = maximum_filter(share, 3), minimum_filter(share, 3)
    faint = (around_most[tuple(nearest)] < FAINTEST).reshape(size)
    strong = (around_least[tuple(nearest)] > _STRONG).reshape(size)
    return faint, strong


def _share(saliency: SaliencyMap) -> npt.NDArray[np.float32]:
    """The map as a share of its greatest value, with a rim of 0."""
    top = float(saliency.voxels.max())
    inner = saliency.voxels / top if top > 0 else np.zeros_like(saliency.voxels)
    return np.pad(np.asarray(inner, dtype=np.float32), 1)


def _strongest(case: Case) -> Iterator[str]:
    """The slice next to the greatest value is shown."""
    saliency = case.findings.saliency
    if saliency is None or saliency.voxels.max() <= 0:
        return
    peak = np.unravel_index(int(saliency.voxels.argmax()), saliency.voxels.shape)
    index = np.linalg.inv(case.volume.affine_mm) @ saliency.affine_mm @ [*peak, 1.0]
    inside = ((index[1:3] >= 0) & (index[1:3] < case.volume.voxels.shape[1:])).all()
    off = np.abs(seg_reading.places_of(case.volume) - index[0])
    named = {seg_reading.slice_named(item) for item in case.dataset.SourceImageSequence}
    nearest = seg_reading.slice_of(case.sources[int(off.argmin())])
    if inside and off.min() <= 1 and nearest not in named:
        yield "the slice at the greatest value of the map is not shown"


CHECKS: Final[tuple[Check, ...]] = (_form, _frames, _strongest)
