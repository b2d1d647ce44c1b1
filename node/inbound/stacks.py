"""How slices lie on one another: evenly, or as a tilted gantry or a change of step left them.

Positions are those of the first pixel of each slice in patient LPS millimetres, (slice, xyz), sorted
along the normal of the slices. What is no stack is refused with the positions listed.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from node.errors import IrregularGeometry

Vectors = npt.NDArray[np.float64]

POSITION_TOLERANCE_MM: Final = 0.1
"""How far a slice may lie off its place, and never more than a fifth of the spacing. Scanners that write
positions with one decimal are 0.05 mm off; where a slice is missing its neighbours are off by a third of
the spacing or more."""

SAME_PLACE_MM: Final = 0.01
"""Slices closer than this are at the same position."""

TILT_TOLERANCE_DEGREES: Final = 0.1
"""How far a regular stack may lean off the slice normal: over 300 mm it drifts by half a millimetre, less
than a pixel. A leaning stack has an exact affine with shear, but most algorithms take the three axes for
perpendicular, so only those that say otherwise are given one."""

GREATEST_TILT_DEGREES: Final = 45.0
"""No gantry tilts beyond 30 degrees; a stack that leans more has wrong positions."""

GREATEST_GAP_MM: Final = 12.0
"""Between slices farther apart than this nothing is made up; the coarsest head protocols step by 10 mm."""

GREATEST_GAP_SHARE: Final = 1.5
"""In an uneven stack, slices are missing where a gap is more than so many times the longer of the gaps
beside it, or than the thickness of the slices at its ends. A change of step passes, a lost slice does not."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Where the slices lie: `origin_mm + places * step_mm`.

    Attributes:
        origin_mm: of the first slice.
        step_mm: from slice to slice; in an uneven stack the mean step.
        places: in steps, rising; 0, 1, 2 and so on where the stack is even.
        even: whether it is.
    """

    origin_mm: Vectors
    step_mm: Vectors
    places: Vectors
    even: bool

    def off(self, positions: Vectors) -> Vectors:
        """How far positions lie from where the stack has them, in mm."""
        return np.asarray(positions - self.origin_mm - np.outer(self.places, self.step_mm))


def stacked(
    positions: Vectors, normal: Vectors, thickness_mm: Vectors | None = None, *, any_stack: bool = False
) -> Stack:
    """Fit a stack to the positions of two slices or more.

    Args:
        positions: (slice, xyz) in mm, sorted along `normal`.
        normal: of the slices, unit length.
        thickness_mm: of each slice, NaN where unknown.
        any_stack: whether the stack may be uneven and may lean (a tilted gantry).

    Raises:
        IrregularGeometry: positions are doubled, missing, or shifted sideways; or uneven or leaning where
            they may not be.
    """
    along = positions @ normal
    stack = _even(positions)
    faults = _doubled(along) or _irregularities(stack, positions, normal)
    if faults and any_stack:
        if np.abs(stack.off(positions) @ normal).max() > _tolerance(along):
            stack = _uneven(positions, normal)
        faults = _doubled(along) or _breaks(stack, positions, normal, thickness_mm)
    if faults:
        raise IrregularGeometry(
            f"the slices form no {'' if any_stack else 'regular '}volume: {'; '.join(faults)}. "
            f"Positions along the slice normal: {listed(along)}"
        )
    return stack


def listed(along: Vectors) -> str:
    """Positions along the slice normal for people, the middle left out when there are many."""
    texts = [f"{position:.2f}" for position in along]
    if len(texts) > 40:
        texts = [*texts[:20], f"({len(texts) - 40} more)", *texts[-20:]]
    return f"{', '.join(texts)} mm"


def _even(positions: Vectors) -> Stack:
    """The least-squares fit of even steps."""
    places = np.arange(len(positions), dtype=np.float64)
    middle = places.mean()
    step: Vectors = (places - middle) @ positions / ((places - middle) @ (places - middle))
    return Stack(positions.mean(axis=0) - middle * step, step, places, even=True)


def _uneven(positions: Vectors, normal: Vectors) -> Stack:
    """The straight line from the first slice to the last, each slice where it is along the normal."""
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    return Stack(positions[0], step, (positions - positions[0]) @ normal / (step @ normal), even=False)


def _tolerance(along: Vectors) -> float:
    return min(POSITION_TOLERANCE_MM, float(np.median(np.diff(along))) / 5)


def _doubled(along: Vectors) -> list[str]:
    doubled = np.diff(along) < SAME_PLACE_MM
    if not doubled.any():
        return []
    crowd = np.append(doubled, False) | np.insert(doubled, 0, False)
    places = np.unique(along[crowd].round(2))
    return [f"{np.count_nonzero(crowd)} slices share {len(places)} positions: {listed(places)}"]


def _irregularities(stack: Stack, positions: Vectors, normal: Vectors) -> list[str]:
    """What keeps positions from being an even, upright stack."""
    along = positions @ normal
    faults = []
    if (tilt := _tilt(stack.step_mm, normal)) > TILT_TOLERANCE_DEGREES:
        faults.append(f"the gantry was tilted by {tilt:.1f} degrees")
    if np.abs(stack.off(positions) @ normal).max() > _tolerance(along):
        faults.append(_unevenness(along))
    return faults or _shifted(stack, positions, normal)


def _breaks(stack: Stack, positions: Vectors, normal: Vectors, thickness_mm: Vectors | None) -> list[str]:
    """What keeps positions from being a stack at all."""
    along = positions @ normal
    faults = []
    if (tilt := _tilt(stack.step_mm, normal)) > GREATEST_TILT_DEGREES:
        faults.append(f"the stack leans by {tilt:.1f} degrees, more than any gantry")
    if not stack.even and (missing := _missing(np.diff(along), thickness_mm)).any():
        faults.append(f"slices are missing after {listed(along[:-1][missing])}")
    return faults or _shifted(stack, positions, normal)


def _missing(gaps: Vectors, thickness_mm: Vectors | None) -> npt.NDArray[np.bool_]:
    """Which gaps are too long to say what lies in them."""
    beside = np.pad(gaps, 1)
    longest = GREATEST_GAP_SHARE * np.maximum(beside[:-2], beside[2:])
    if thickness_mm is not None:
        longest = np.fmin(longest, GREATEST_GAP_SHARE * np.fmax(thickness_mm[:-1], thickness_mm[1:]))
    return np.asarray(gaps > np.minimum(longest, GREATEST_GAP_MM) + POSITION_TOLERANCE_MM)


def _shifted(stack: Stack, positions: Vectors, normal: Vectors) -> list[str]:
    off = stack.off(positions)
    sideways = np.linalg.norm(off - np.outer(off @ normal, normal), axis=1)
    if sideways.max() <= _tolerance(positions @ normal):
        return []
    return [f"slices are shifted sideways by up to {sideways.max():.2f} mm"]


def _tilt(step: Vectors, normal: Vectors) -> float:
    sideways = float(np.linalg.norm(step - (step @ normal) * normal))
    return float(np.degrees(np.arctan2(sideways, abs(step @ normal))))


def _unevenness(along: Vectors) -> str:
    """Missing slices where every distance is a multiple of the usual one, else the range."""
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    times = np.rint(gaps / usual)
    if times.min() >= 1 and times.max() > 1 and np.abs(gaps - times * usual).max() <= _tolerance(along):
        return f"slices are missing ({int((times - 1).sum())}) after {listed(along[:-1][times > 1])}"
    return f"neighbouring slices are {gaps.min():.2f} to {gaps.max():.2f} mm apart"
