"""Which values of an image are shown between black and white."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.multival import MultiValue

from algorithms.protocol import Volume

_HEAD: Final = frozenset({"HEAD", "BRAIN", "SKULL"})
_ONCE_IN_A_HUNDRED: Final = (1, 99)


class Window(NamedTuple):
    """Centre and width, in the unit of the image."""

    center: float
    width: float

    def grey(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """The values as grey, 0 to 1 (the function LINEAR of PS3.3 C.11.2.1.2.1)."""
        return np.clip((values - (self.center - 0.5)) / max(self.width - 1, 1e-6) + 0.5, 0.0, 1.0)


BRAIN: Final = Window(40.0, 80.0)
SOFT_TISSUE: Final = Window(40.0, 400.0)


def window_of(volume: Volume, source: Dataset) -> Window:
    """The window that a slice asks for, the first of several; else a usual one for what is shown.

    Brain in a CT of the head, soft tissue in any other CT; where values have no scale, all but the lowest
    and the highest hundredth of them.
    """
    center, width = (_first(source.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    if center is not None and width is not None and width >= 1:
        return Window(center, width)
    if volume.unit == "HU":
        return BRAIN if str(source.get("BodyPartExamined", "")).upper() in _HEAD else SOFT_TISSUE
    low, high = np.percentile(volume.voxels, _ONCE_IN_A_HUNDRED)
    return Window(float(low + high) / 2 + 0.5, float(high - low) + 1)


def _first(value: object) -> float | None:
    one = value[0] if isinstance(value, MultiValue) and len(value) else value
    return float(str(one)) if one not in (None, "") and not isinstance(one, MultiValue) else None
