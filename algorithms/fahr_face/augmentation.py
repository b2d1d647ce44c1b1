"""Faces as a network in training sees them: mirrored, a little shifted, brighter or darker."""

from typing import Final

import numpy as np
import torch

from algorithms.fahr_face.detection import Pixels
from algorithms.fahr_face.reader import DEVIATION, MEAN, normalised

_SHIFT: Final = 4  # pixels
_GAIN: Final = 0.1
_LIFT: Final = 0.1


def batch_of(faces: Pixels, rng: np.random.Generator) -> torch.Tensor:
    """Draw changes and normalise.

    Args:
        faces: uint8 (face, row, column, RGB).
        rng: what the changes follow from.

    Returns:
        float32 (face, RGB, row, column).
    """
    moved = np.stack([_moved(face, rng) for face in faces])
    pictures = normalised(moved, torch.tensor(MEAN), torch.tensor(DEVIATION))
    gain = torch.from_numpy(rng.normal(1, _GAIN, (len(faces), 1, 1, 1)).astype(np.float32))
    lift = torch.from_numpy(rng.normal(0, _LIFT, (len(faces), 1, 1, 1)).astype(np.float32))
    return pictures * gain + lift


def _moved(face: Pixels, rng: np.random.Generator) -> Pixels:
    if rng.random() < 0.5:
        face = face[:, ::-1]
    row, column = rng.integers(2 * _SHIFT + 1, size=2)
    wide = np.pad(face, ((_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0)), mode="edge")
    return wide[row : row + len(face), column : column + face.shape[1]]
