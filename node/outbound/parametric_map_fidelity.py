"""Does a Parametric Map say what was found? Every value in patient space, its quantity and its unit."""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from algorithms.protocol import SaliencyMap
from node.outbound import coding, parametric_map, seg_reading
from node.outbound.equipment import instances
from node.outbound.fidelity import Case, Check, differences

PLACE_TOLERANCE: Final = 0.01
"""In voxels of the map: a frame lies on a slice of it, but for the rounding of decimal strings."""


def _saliency(case: Case) -> SaliencyMap:
    if case.findings.saliency is None:
        raise ValueError("there is no saliency map to compare with")
    return case.findings.saliency


def _values(case: Case) -> Iterator[str]:
    """Each frame is a slice of the map, value for value, and each slice has one."""
    dataset, saliency = case.dataset, _saliency(case)
    shape = (int(dataset.NumberOfFrames), int(dataset.Rows), int(dataset.Columns))
    pixels = np.frombuffer(dataset.FloatPixelData, dtype="<f4")
    if pixels.size != math.prod(shape):
        yield f"there are {pixels.size} values for {shape[0]} frames of {shape[1]} x {shape[2]}"
        return
    found = np.full(saliency.voxels.shape, np.nan, dtype=np.float32)
    for plane, frame in zip(seg_reading.planes(dataset), pixels.reshape(shape), strict=True):
        steps = _steps(plane, saliency, shape[1:])
        row, column = np.indices(frame.shape).reshape(2, -1)
        found[tuple(steps[:, :2] @ np.stack([row, column]) + steps[:, 2:])] = frame.ravel()
    wrong = int(np.count_nonzero(found != saliency.voxels))
    if wrong:
        yield f"{wrong} values are not as they were found"


def _steps(plane: seg_reading.Plane, saliency: SaliencyMap, size: tuple[int, ...]) -> npt.NDArray[np.intp]:
    """3x3 integer matrix from (row, column, 1) of a frame to (slice, row, column) of the map.

    Raises:
        ValueError: the frame does not fall on voxels of the map.
    """
    to_index = np.linalg.inv(saliency.affine_mm)
    exact = to_index[:3, :3] @ plane.affine_mm
    exact[:, 2] += to_index[:3, 3]
    steps = np.rint(exact).astype(np.intp)
    corners = np.array([[r, c, 1] for r in (0, size[0] - 1) for c in (0, size[1] - 1)]).T
    reached = steps @ corners
    if np.abs(exact @ corners - reached).max() > PLACE_TOLERANCE:
        raise ValueError(f"frame {plane.number} does not lie on the map")
    if (reached < 0).any() or (reached >= np.array(saliency.voxels.shape)[:, None]).any():
        raise ValueError(f"frame {plane.number} lies outside the map")
    return steps


def _meaning(case: Case) -> Iterator[str]:
    """What a value is: quantity, unit, and that it stands for itself."""
    dataset, saliency = case.dataset, _saliency(case)
    (mapping,) = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    (quantity,) = mapping.QuantityDefinitionSequence
    bounds = (
        mapping.DoubleFloatRealWorldValueFirstValueMapped,
        mapping.DoubleFloatRealWorldValueLastValueMapped,
    )
    yield from differences(
        {
            "concept": (
                coding.code_of(dataset.ConceptNameCodeSequence[0]),
                parametric_map.VISUAL_EXPLANATION,
            ),
            "quantity": (coding.code_of(quantity.ConceptCodeSequence[0]), saliency.code),
            "unit": (coding.code_of(mapping.MeasurementUnitsCodeSequence[0]), saliency.unit),
            "slope": (mapping.RealWorldValueSlope, 1.0),
            "intercept": (mapping.RealWorldValueIntercept, 0.0),
            "range": (bounds, (float(saliency.voxels.min()), float(saliency.voxels.max()))),
        }
    )


def _sources(case: Case) -> Iterator[str]:
    """Every frame comes of every source image, of one series."""
    slices = tuple(map(seg_reading.slice_of, case.sources))
    for plane in seg_reading.planes(case.dataset):
        if plane.sources != slices:
            yield f"frame {plane.number} does not name exactly the source images"
    wanted = tuple(str(source.SOPInstanceUID) for source in instances(case.sources))
    series = case.dataset.get("ReferencedSeriesSequence", ())
    listed = [tuple(i.ReferencedSOPInstanceUID for i in s.ReferencedInstanceSequence) for s in series]
    named = [(s.SeriesInstanceUID, uids) for s, uids in zip(series, listed, strict=True)]
    if named != [(case.sources[0].SeriesInstanceUID, wanted)]:
        yield "ReferencedSeriesSequence does not hold exactly the source images"


CHECKS: Final[tuple[Check, ...]] = (_values, _meaning, _sources)
