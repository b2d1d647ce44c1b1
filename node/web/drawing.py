"""Slices and what was found on them, as pictures; everything is placed through patient space."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import Dataset
from skimage.color import lab2rgb

from algorithms.protocol import Voxels
from node.outbound.window import BRAIN, SOFT_TISSUE, Window

Picture = npt.NDArray[np.uint8]
Plane3 = npt.NDArray[np.float64]
"""3x3: (row, column, 1) to patient LPS mm."""

WINDOWS: Final[Mapping[str, Window]] = {
    "lung": Window(-600.0, 1500.0),
    "soft": SOFT_TISSUE,
    "brain": BRAIN,
    "bone": Window(400.0, 1800.0),
}
"""Usual windows of a CT."""

_FAINTEST: Final = 0.1
"""Share of the highest saliency below which nothing is shown."""


def grey(values: Voxels, window: Window) -> Picture:
    """Pixels (row, column) as 8 bits of grey."""
    return np.rint(window.grey(values) * 255).astype(np.uint8)


def colour_of(segment: Dataset) -> tuple[int, int, int]:
    """Recommended Display CIELab Value (0062,000D) as red, green and blue (PS3.3 C.10.7.1.1)."""
    lightness, a, b = (int(value) for value in segment.RecommendedDisplayCIELabValue)
    lab = np.array([lightness * 100 / 65535, a * 255 / 65535 - 128, b * 255 / 65535 - 128])
    red, green, blue = (int(value) for value in np.rint(lab2rgb(lab) * 255))
    return red, green, blue


def onto(
    pixels: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    frame: Plane3,
    plane: Plane3,
    size: tuple[int, int],
) -> npt.NDArray[np.bool_]:
    """The pixels of a slice that set pixels of a frame in its plane fall on, whichever way either is stored.

    Args:
        pixels: rows and columns of the frame's set pixels.
        frame: where the frame lies.
        plane: where the slice lies.
        size: rows and columns of the slice.
    """
    inverse = np.linalg.pinv(plane[:, :2])
    rows, columns = pixels
    there = frame[:, :2] @ np.stack([rows, columns]) + (frame[:, 2] - plane[:, 2])[:, None]
    index = np.rint(inverse @ there).astype(np.intp)
    inside = ((index >= 0) & (index < np.array(size)[:, None])).all(axis=0)
    mask = np.zeros(size, dtype=np.bool_)
    mask[tuple(index[:, inside])] = True
    return mask


def under(values: npt.NDArray[Any], frame: Plane3, plane: Plane3, size: tuple[int, int]) -> npt.NDArray[Any]:
    """Values of a frame at the pixels of a slice beside it, nearest; 0 where the frame does not reach."""
    rows, columns = np.indices(size).reshape(2, -1)
    there = plane[:, :2] @ np.stack([rows, columns]) + (plane[:, 2] - frame[:, 2])[:, None]
    index = np.rint(np.linalg.pinv(frame[:, :2]) @ there).astype(np.intp)
    inside = ((index >= 0) & (index < np.array(values.shape)[:, None])).all(axis=0)
    found = np.zeros(rows.size, dtype=values.dtype)
    found[inside] = values[tuple(index[:, inside])]
    return found.reshape(size)


def layer(size: tuple[int, int]) -> Picture:
    """An empty layer (row, column, RGBA)."""
    return np.zeros((*size, 4), dtype=np.uint8)


def heat(strength: npt.NDArray[np.float64]) -> Picture:
    """Saliency from 0 to 1 as a layer, from red to yellow, the stronger the less transparent."""
    strength = np.clip(strength, 0, 1)
    painted = layer((strength.shape[0], strength.shape[1]))
    painted[..., 0] = 255
    painted[..., 1] = np.rint(strength * 220)
    painted[..., 3] = np.where(strength < _FAINTEST, 0, np.rint(strength * 255))
    return painted


def png(picture: Picture) -> bytes:
    """A picture (row, column), or with a last axis of colours, as a PNG file."""
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=3)
    return file.getvalue()


def thumbnail(ground: Picture, over: Picture, aspect: float, width: int) -> bytes:
    """A small picture of a slice with a layer over it.

    Args:
        ground: grey (row, column).
        over: a layer of its size.
        aspect: height of a pixel by its width.
        width: pixels of the picture.
    """
    base = Image.fromarray(ground).convert("RGBA")
    half = over.copy()
    half[..., 3] = half[..., 3] // 2
    base.alpha_composite(Image.fromarray(half))
    height = max(1, round(width * aspect * ground.shape[0] / ground.shape[1]))
    return png(np.asarray(base.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)))
