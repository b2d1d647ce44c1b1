"""The triage network with its weights, its calibration and its thresholds."""

from collections.abc import Mapping
from typing import Any, Final

import torch

from algorithms.ct_fm.calibration import Calibration
from algorithms.ct_fm.triage_network import TriageNetwork
from algorithms.ct_fm.triage_occlusion import occlusion_sensitivity
from algorithms.ct_fm.triage_preparation import PreparedHead, windowed
from algorithms.ct_fm.triage_rule import Thresholds
from algorithms.protocol import Progress, Voxels, Weights
from algorithms.weights import Checkpoint, WeightsFaulty, load_into

_UNCALIBRATED: Final = Calibration(1.0, 0.0, "")


class TriageClassifier:
    """Says how likely a prepared head is abnormal, and where that comes from.

    Attributes:
        weights: what it runs with.
        calibrated_on: the cases its probabilities hold for; None if they are not calibrated.
        thresholds: what its probabilities mean.
    """

    def __init__(self, checkpoint: Checkpoint, device: str) -> None:
        """Load the network.

        Args:
            checkpoint: weights with the keys of `TriageNetwork`; its configuration has the fields of
                `Architecture` and may have `calibration` (slope, intercept, population) and
                `thresholds` (normal_below, abnormal_from).
            device: "cpu", "cuda:0".

        Raises:
            WeightsFaulty: the tensors or the configuration do not fit.
        """
        self.weights: Final[Weights] = checkpoint.weights
        name = checkpoint.weights.name
        try:
            fitted: Mapping[str, Any] | None = checkpoint.config.get("calibration")
            self._calibration = Calibration.of(fitted) if fitted else _UNCALIBRATED
            self.thresholds: Final = Thresholds(**checkpoint.config.get("thresholds", {}))
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsFaulty(f"{name}: calibration or thresholds cannot be read: {error}") from None
        self.calibrated_on: Final = self._calibration.population or None
        network = TriageNetwork.from_config(checkpoint.config)
        load_into(network, checkpoint.tensors(), name)
        self._network = network.float().to(device).eval()
        self._network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self._device = torch.device(device)

    def probability(self, head: PreparedHead) -> float:
        """How likely the head is abnormal, 0 to 1."""
        with torch.inference_mode():
            stack = windowed(torch.from_numpy(head.hu)[None, None].to(self._device))
            logit = float(self._network(stack.contiguous(memory_format=torch.channels_last_3d)))
        return self._calibration.probability(logit)

    def saliency(self, head: PreparedHead, refine: bool, progress: Progress) -> Voxels:
        """How far the logit drops where the head is covered, on the grid of the prepared head.

        Args:
            head: what to cover.
            refine: look again, with smaller boxes, where it drops most.
            progress: told how far it is.
        """
        return occlusion_sensitivity(self._network, head.hu, refine, progress)
