"""The recipe of the synthetic weights: pre-trained, then fine-tuned for age and for survival, on drawn faces.

python -m algorithms.fahr_face.training --out FOLDER
"""

import argparse
import copy
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from algorithms import weights
from algorithms.fahr_face.cases import Cases, synthetic
from algorithms.fahr_face.detection import Pixels
from algorithms.fahr_face.fine_tuning import FineTuning, learn_age, learn_survival
from algorithms.fahr_face.network import Architecture, FaceTransformer
from algorithms.fahr_face.options import AGE, SURVIVAL
from algorithms.fahr_face.pretraining import Pretraining, pretrain
from algorithms.fahr_face.reader import DEVIATION, MEAN, normalised
from algorithms.optimisation import Report, Schedule

SMALL: Final = Architecture(dimension=96, depth=4, hidden=384, patch=16, grid=7, outputs=1, heads=3)
TRAINING_SEEDS: Final = range(100_000, 110_000)
REFERENCE_SEEDS: Final = range(200_000, 200_200)

PRETRAINING: Final = Pretraining(SMALL, Schedule(200, 1e-3, weight_decay=0.05), batch=48)
AGE_LEARNING: Final = FineTuning(Schedule(5000, 1e-3, weight_decay=0.02), batch=48)
SURVIVAL_LEARNING: Final = FineTuning(Schedule(600, 1e-3, weight_decay=0.05), batch=96)

_CARD: Final = {
    "source": "trained from nothing on drawn faces by algorithms.fahr_face.training",
    "licence": "Apache-2.0",
    "intended use": "Research use only: tests and demonstrations on drawn faces; says nothing about people",
}


def train(cases: Cases, reference: Cases, out: Path, states: Path, report: Report) -> None:
    """Train both networks and write their weights; an interrupted training goes on where it was.

    Args:
        cases: what is learnt from.
        reference: faces whose risks become the reference distribution.
        out: folder of a store.
        states: folder for unfinished trainings.
        report: called with each saved state.

    Raises:
        WeightsFaulty: a saved state is damaged, or of another recipe.
    """
    states.mkdir(parents=True, exist_ok=True)
    encoder = pretrain(cases, PRETRAINING, states / "pretraining", report)
    age = learn_age(copy.deepcopy(encoder), cases, AGE_LEARNING, states / "age", report)
    _save(out, AGE["synthetic"], age, {})
    survival = learn_survival(copy.deepcopy(encoder), cases, SURVIVAL_LEARNING, states / "survival", report)
    scores = [round(float(score), 4) for score in np.sort(said(survival, reference.faces))]
    _save(out, SURVIVAL["synthetic"], survival, {"reference_scores": scores})


def said(network: FaceTransformer, faces: Pixels) -> np.ndarray[Any, np.dtype[np.float32]]:
    """What a network says of aligned faces, float32 (face,).

    Args:
        network: in evaluation mode.
        faces: uint8 (face, row, column, RGB).
    """
    with torch.inference_mode():
        pictures = normalised(faces, torch.tensor(MEAN), torch.tensor(DEVIATION))
        return np.concatenate([network(part).numpy() for part in torch.split(pictures, 64)])


def _save(out: Path, name: str, network: FaceTransformer, more: Mapping[str, Any]) -> None:
    config = {**asdict(network.architecture), "mean": MEAN, "deviation": DEVIATION, **more}
    weights.save(out, name, network.state_dict(), config, _CARD)


def main() -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of a store of weights")
    out: Path = parser.parse_args().out
    torch.set_num_threads(1)
    train(
        synthetic(TRAINING_SEEDS),
        synthetic(REFERENCE_SEEDS),
        out,
        out / "unfinished",
        lambda _step, _loss: None,
    )


if __name__ == "__main__":
    main()
