"""A volume becomes slice scores."""

from typing import Final

import numpy as np
import torch

from algorithms.body_part.network import VGG16, build, shrink
from algorithms.body_part.preprocessing import DENSEST_AIR, prepare, rises, spacing_mm
from algorithms.body_part.scores import Reference, ScoreCurve, Scores, assess
from algorithms.protocol import Progress, Volume, Weights
from algorithms.weights import Checkpoint, load_into


class BodyPartRegressor:
    """A body part regression network with its weights.

    Attributes:
        weights: what it runs with.
        reference: how its scores are read.
    """

    def __init__(self, checkpoint: Checkpoint, device: str) -> None:
        """Load the network.

        Args:
            checkpoint: tensors with the published keys; its configuration may give the widths of a
                narrower network (`network`) and must give the `reference`.
            device: "cpu", "cuda:0".

        Raises:
            WeightsFaulty: the tensors or the configuration do not fit.
        """
        self.weights: Final[Weights] = checkpoint.weights
        self.reference: Final[Reference] = Reference.from_config(checkpoint.config, checkpoint.weights.name)
        self._device = torch.device(device)
        self._shrink: int = checkpoint.config.get("network", VGG16)["shrink"]
        network = build(checkpoint.config)
        load_into(network, checkpoint.tensors(), checkpoint.weights.name)
        self._network = network.to(self._device).eval()

    def scores(self, volume: Volume, progress: Progress) -> Scores:
        """Raw scores.

        Returns:
            float64 (slice,), in the order of the volume's slices; NaN where nothing is in a slice.

        Raises:
            Unsuitable: the slices are not axial.
        """
        scores = np.empty(len(volume.voxels))
        done = 0
        progress(0.0, "scoring slices")
        for slices in prepare(volume):
            with torch.inference_mode():
                seen = shrink(torch.from_numpy(slices).to(self._device), self._shrink)
                batch = self._network(seen[:, None])
            has_body = slices.max(axis=(1, 2)) > DENSEST_AIR
            scores[done : done + len(slices)] = np.where(has_body, batch.cpu().numpy(), np.nan)
            done += len(slices)
            progress(done / len(scores), "scoring slices")
        return scores

    def curve(self, volume: Volume, progress: Progress) -> ScoreCurve:
        """Clean scores and the verdict on them, from the lowest slice to the highest.

        Raises:
            Unsuitable: the slices are not axial.
        """
        raw = self.scores(volume, progress)
        return assess(raw if rises(volume) else raw[::-1], spacing_mm(volume), self.reference)
