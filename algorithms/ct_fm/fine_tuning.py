"""Supervised fine-tuning of a pre-trained encoder for segmentation.

The segmentation network of the paper (arXiv:2501.09001; Auto3DSeg's SegResNet there) starts from the
encoder and learns from labelled CTs: patches of which most hold a labelled voxel, Dice and cross entropy at
every level of the decoder that has a head, AdamW. Patches are made brighter or darker;
nothing is mirrored, for left and right have names of their own. No ensemble, no search for settings.
Classification is fine-tuned in `triage_training`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import torch
from monai.losses.dice import DiceCELoss
from monai.losses.ds_loss import DeepSupervisionLoss
from monai.networks.nets.segresnet_ds import SegResNetDS

from algorithms import weights
from algorithms.ct_fm.network import Architecture
from algorithms.ct_fm.patches import Grid
from algorithms.optimisation import Report, Schedule, optimise
from algorithms.protocol import Volume
from algorithms.spatial import Labels, Orientation, Shape, Spacing, resample

_CARD: Final = {
    "source": "trained by this project's recipe: ainode finetune",
    "licence": "Apache-2.0",
    "intended use": "Research use only. Not for diagnosis.",
}
_USUAL: Final = Schedule(steps=10_000, learning_rate=2e-4, weight_decay=1e-5)
_ON_A_LABEL = 0.67  # of the patches
_BRIGHTER, _CONTRAST = 0.03, (0.9, 1.1)  # of the scaled range


@dataclass(frozen=True, eq=False)
class LabelledCase:
    """A CT and its labels, made ready.

    Attributes:
        voxels: float16, axes to head, back and left, scaled to 0 to 1, padded to the size of a patch.
        labels: uint8, same axes; 0 is background.
        places: (place, 3), voxels with a label; empty where there is none.
    """

    voxels: npt.NDArray[np.float16]
    labels: Labels
    places: npt.NDArray[np.int32]

    @classmethod
    def of(cls, volume: Volume, labels: Labels, recipe: "FineTuning") -> Self:
        """Make a CT ready.

        Args:
            volume: in Hounsfield units.
            labels: on its grid.
            recipe: names spacing and patch.

        Raises:
            Unsuitable: the values are not in Hounsfield units.
        """
        grid = Grid.of(volume, recipe.spacing_mm).padded(recipe.patch)
        orientation = Orientation.closest(volume.affine_mm)
        a, b, c = labels.shape
        affine = orientation.affine(volume.affine_mm, (a, b, c))
        d, e, f = grid.voxels.shape
        on_grid = resample(orientation.apply(labels), affine, (d, e, f), grid.affine_mm, order=0, outside=0)
        return cls(grid.voxels.astype(np.float16), on_grid, np.argwhere(on_grid).astype(np.int32))


@dataclass(frozen=True)
class FineTuning:
    """What is trained, and for how long.

    Attributes:
        architecture: of the encoder and the decoder, with the number of classes.
        spacing_mm: towards head, back and left.
        patch: voxels along these axes; multiples of 16.
        schedule: how long and how fast.
        patches: in each step.
        seed: everything random follows from it.
    """

    architecture: Architecture
    spacing_mm: Spacing = (1.5, 1.5, 1.5)
    patch: Shape = (96, 160, 160)
    schedule: Schedule = _USUAL
    patches: int = 2
    seed: int = 0

    @classmethod
    def sized(
        cls,
        encoder: Architecture,
        classes: int,
        spacing_mm: float,
        patch: int,
        steps: int,
        learning_rate: float,
        seed: int,
    ) -> Self:
        """Over an encoder, with a head at every level of the decoder; cubes as patches."""
        levels = len(encoder.blocks_down) - 1
        return cls(
            replace(encoder, out_channels=classes, dsdepth=levels),
            (spacing_mm,) * 3,
            (patch,) * 3,
            replace(cls.schedule, steps=steps, learning_rate=learning_rate),
            seed=seed,
        )


def finetune(
    cases: Sequence[LabelledCase],
    recipe: FineTuning,
    encoder: Mapping[str, torch.Tensor] | None,
    state: Path,
    report: Report,
    device: str,
) -> SegResNetDS:
    """Train, or go on from a saved state.

    The same cases, recipe and encoder give the same network on the same machine, interrupted or not.

    Args:
        cases: labelled CTs.
        recipe: what to do.
        encoder: tensors of a pre-trained encoder; None starts from nothing.
        state: file of the unfinished training, read if it is there and rewritten now and then.
        report: called with each saved state.
        device: "cpu", "cuda:0".

    Raises:
        WeightsFaulty: the encoder is another network.
    """
    torch.manual_seed(recipe.seed)
    network = recipe.architecture.segmenter()
    if encoder is not None:
        weights.load_into(network.encoder, encoder, "the encoder")
    network.to(device)
    dice_and_entropy = DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True, batch=True)
    loss = DeepSupervisionLoss(dice_and_entropy)

    def loss_of(step: int) -> torch.Tensor:
        images, labels = draw(cases, recipe, np.random.default_rng((recipe.seed, step)))
        predicted = network(images.to(device))
        found: torch.Tensor = loss(predicted, labels.to(device))
        return found

    optimise(network, recipe.schedule, loss_of, state, report)
    return network.eval()


def draw(
    cases: Sequence[LabelledCase], recipe: FineTuning, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Patches (patch, 1, head, back, left) of random cases, changed at random, and their labels."""
    drawn = [_patch(cases[int(rng.integers(len(cases)))], recipe, rng) for _ in range(recipe.patches)]
    images, labels = zip(*drawn, strict=True)
    return torch.stack(images)[:, None], torch.stack(labels)[:, None]


def _patch(
    case: LabelledCase, recipe: FineTuning, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    size = np.array(recipe.patch, dtype=np.intp)
    last = np.array(case.voxels.shape, dtype=np.intp) - size
    if len(case.places) and rng.random() < _ON_A_LABEL:
        on = case.places[int(rng.integers(len(case.places)))]
        first = np.clip(on - rng.integers(0, size), 0, last)
    else:
        first = rng.integers(0, last + 1)
    box = tuple(slice(low, low + n) for low, n in zip(first, size, strict=True))
    image, labels = case.voxels[box].astype(np.float32), case.labels[box]
    bright = image * rng.uniform(*_CONTRAST) + rng.uniform(-_BRIGHTER, _BRIGHTER)
    return torch.from_numpy(np.clip(bright, 0, 1).astype(np.float32)), torch.from_numpy(labels.copy())


def save(
    folder: Path, name: str, network: SegResNetDS, recipe: FineTuning, classes: Sequence[str], cases: str
) -> weights.Checkpoint:
    """Write a network into a folder of a store.

    Args:
        folder: of the store.
        name: of the weights.
        network: what `finetune` returned.
        recipe: that it was trained by.
        classes: names of the labels, from 1.
        cases: what it was trained on, for people.
    """
    config = asdict(recipe.architecture) | {
        "spacing_mm": recipe.spacing_mm,
        "roi": recipe.patch,
        "classes": ["background", *classes],
    }
    card = _CARD | {"training": f"{cases}; {json.dumps(asdict(recipe))}"}
    return weights.save(folder, name, network.cpu().state_dict(), config, card)
