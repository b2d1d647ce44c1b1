"""A network that reads one number in an aligned face, and what in the face it rests on."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from algorithms.fahr_face.alignment import SIDE, AlignedFace
from algorithms.fahr_face.detection import Pixels
from algorithms.fahr_face.network import Architecture, FaceTransformer
from algorithms.protocol import Highlights, Photograph, Progress
from algorithms.saliency import Box, Drops, boxes_over, drops_over
from algorithms.weights import Checkpoint, WeightsFaulty, load_into

MEAN: Final = (0.5, 0.5, 0.5)
DEVIATION: Final = (0.5, 0.5, 0.5)
"""What is taken from the channels, as shares of 255, and what they are divided by, where nothing is said."""

_COVER: Final = (1, 24, 24)
_OVERLAP: Final = 0.5


class FaceReader:
    """The network of a checkpoint, ready to be asked."""

    def __init__(self, checkpoint: Checkpoint, device: str) -> None:
        """Load it.

        Raises:
            WeightsFaulty: tensors or configuration do not fit.
        """
        name = checkpoint.weights.name
        architecture = Architecture.of(checkpoint.config)
        if architecture.outputs is None or architecture.side != SIDE:
            raise WeightsFaulty(f"{name}: the network must have a head and see {SIDE} x {SIDE} pixels")
        self._network = FaceTransformer(architecture)
        load_into(self._network, checkpoint.tensors(), name)
        self._network.to(device).eval()
        self._device = device
        self._mean, self._deviation = normalisation(checkpoint.config)

    def value(self, face: Pixels) -> float:
        """The number read in an aligned face, uint8 (112, 112, RGB).

        Raises:
            WeightsFaulty: it is not a number: the weights are damaged.
        """
        value = self._read(normalised(face[None], self._mean, self._deviation))
        if not np.isfinite(value):
            raise WeightsFaulty("the network gives no number; its weights are damaged")
        return value

    def highlights(self, photograph: Photograph, face: AlignedFace, progress: Progress) -> Highlights:
        """What in a photograph the number rests on."""
        rows, columns = photograph.pixels.shape[:2]
        weight = self.influence(face.pixels, progress)
        return Highlights("Occlusion sensitivity", face.on_photograph(weight, (rows, columns)))

    def influence(self, face: Pixels, progress: Progress) -> npt.NDArray[np.float32]:
        """How far the number changes while parts of a face are covered with its mean colour.

        Args:
            face: uint8 (112, 112, RGB).
            progress: told after each part.

        Returns:
            float32 (112, 112), 0 to 1.
        """
        picture = normalised(face[None], self._mean, self._deviation)
        cover = picture.mean(dim=(2, 3))[0, :, None, None]

        def covered(box: Box) -> float:
            changed = picture.clone()
            changed[0, :, box[1], box[2]] = cover
            return self._read(changed)

        boxes = boxes_over(np.ones((1, SIDE, SIDE), dtype=np.bool_), _COVER, _OVERLAP, 0.0)
        drops = drops_over(boxes, covered, self._read(picture), progress)
        changes = Drops(drops.boxes, tuple(abs(value) for value in drops.values)).on_grid((1, SIDE, SIDE))[0]
        return np.asarray(changes / max(float(changes.max()), 1e-12), dtype=np.float32)

    def _read(self, pictures: torch.Tensor) -> float:
        with torch.inference_mode():
            return float(self._network(pictures.to(self._device))[0])


def normalised(faces: Pixels, mean: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
    """Faces as the network sees them.

    Args:
        faces: uint8 (face, row, column, RGB).
        mean: of the channels, as shares of 255.
        deviation: of the channels, likewise.

    Returns:
        float32 (face, RGB, row, column).
    """
    shares = torch.from_numpy(faces.astype(np.float32) / 255).permute(0, 3, 1, 2)
    return (shares - mean[:, None, None]) / deviation[:, None, None]


def normalisation(config: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of the channels by a configuration.

    Raises:
        WeightsFaulty: not three numbers, or deviations that are not above 0.
    """
    try:
        mean = torch.tensor([float(v) for v in config.get("mean", MEAN)])
        deviation = torch.tensor([float(v) for v in config.get("deviation", DEVIATION)])
    except (TypeError, ValueError):
        raise WeightsFaulty("its configuration: mean and deviation are three numbers each") from None
    if mean.shape != (3,) or deviation.shape != (3,) or not bool((deviation > 0).all()):
        raise WeightsFaulty("its configuration: mean and deviation are three numbers each, deviation above 0")
    return mean, deviation
