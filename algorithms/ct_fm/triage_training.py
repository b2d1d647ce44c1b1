"""The recipe of the bundled weights `ct-fm-head-triage-bundled`.

python -m algorithms.ct_fm.triage_training --out FOLDER

Renders synthetic heads into the folder, trains the network in two parts (`triage_levels`), fits the
calibration on heads that it has not seen, and writes the weights to `FOLDER/ct-fm-head-triage-bundled`. All
of it can be interrupted and started again.
"""

import argparse
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from algorithms import weights
from algorithms.ct_fm.calibration import Calibration, Values
from algorithms.ct_fm.triage_augmentation import Head, augment
from algorithms.ct_fm.triage_heads import StoredHead, render
from algorithms.ct_fm.triage_learning import Schedule, learn, settle
from algorithms.ct_fm.triage_levels import LowerLevels, UpperLevels, shares_of
from algorithms.ct_fm.triage_network import TriageNetwork
from algorithms.ct_fm.triage_preparation import SHAPE, windowed
from algorithms.spatial import Shape

NAME: Final = "ct-fm-head-triage-bundled"
CONFIG: Final[dict[str, Any]] = {"init_filters": 4, "blocks_down": [1, 2, 2, 4, 4]}
POPULATION: Final = "synthetic heads"
THRESHOLDS: Final = {"normal_below": 0.3, "abnormal_from": 0.7}
CARD: Final = {
    "source": "trained from nothing on synthetic heads by algorithms.ct_fm.triage_training",
    "licence": "Apache-2.0",
    "intended use": "Research use only: whether a head CT without contrast shows a fresh bleed",
}
FIRST_TRAINED, FIRST_CALIBRATED = 500_000, 600_000
LOWER, UPPER = Schedule(2500, 8, 1e-2), Schedule(900, 8, 3e-3)
_SEED = 20
_PIECE: Final[Shape] = (16, 32, 32)
_PIECES = 12  # of each head
_VIEWS = 2  # of each head, augmented in different ways
_SETTLING = 40  # batches whose statistics the batch norms keep

Tensors = tuple[torch.Tensor, ...]
"""The same axis of cases first in all of them."""


def train(heads: Sequence[StoredHead], folder: Path) -> TriageNetwork:
    """Train, going on from what is in the folder."""
    torch.manual_seed(_SEED)
    network = TriageNetwork.from_config(CONFIG)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    lower = LowerLevels(network)
    pieces = pieces_of(heads)
    learn(lower, lambda step: _batch(pieces, LOWER, step), LOWER, folder / "lower.pt")
    settle(lower, [_batch(pieces, LOWER, LOWER.steps + extra) for extra in range(_SETTLING)])
    lower.eval()
    upper = UpperLevels(network)
    seen = seen_by(lower, heads)
    learn(upper, lambda step: _batch(seen, UPPER, step), UPPER, folder / "upper.pt")
    settle(upper, [_batch(seen, UPPER, UPPER.steps + extra) for extra in range(_SETTLING)])
    upper.fold()
    return network.eval()


def pieces_of(heads: Sequence[StoredHead]) -> Tensors:
    """Pieces of augmented heads: Hounsfield units and blood, (piece, slice, row, column), float16."""
    drawn = []
    for number, stored in enumerate(heads):
        rng = np.random.default_rng((_SEED, number))
        head = augment(stored.read(), rng)
        drawn += [_piece(head, rng) for _ in range(_PIECES)]
    hu, bleed = zip(*drawn, strict=True)
    return torch.stack(hu), torch.stack(bleed)


def seen_by(lower: LowerLevels, heads: Sequence[StoredHead]) -> Tensors:
    """Whole heads as the lower levels see them, and where and whether they bleed."""
    below, shares, positive = [], [], []
    for view in range(1, _VIEWS + 1):
        for number, stored in enumerate(heads):
            head = augment(stored.read(), np.random.default_rng((_SEED, number, view)))
            with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
                below.append(lower.below(head.hu[None])[0].half().clone())
            shares.append(shares_of(head.bleed[None])[0])
            positive.append(float(stored.positive))
    return torch.stack(below), torch.stack(shares), torch.tensor(positive)


def make(folder: Path, network: TriageNetwork, others: Sequence[StoredHead]) -> None:
    """Calibrate on heads that were not trained on, and write the weights."""
    positive = np.array([head.positive for head in others])
    calibration = Calibration.fit(logits_of(network, (h.read() for h in others)), positive, POPULATION)
    fitted = {"calibration": calibration.as_config(), "thresholds": THRESHOLDS}
    weights.save(folder, NAME, network.state_dict(), CONFIG | fitted, CARD)


def logits_of(network: TriageNetwork, heads: Iterable[Head]) -> Values:
    """One logit for each head."""
    with torch.inference_mode():
        return np.array([float(network(windowed(head.hu[None, None]))) for head in heads])


def _piece(head: Head, rng: np.random.Generator) -> Tensors:
    """A part of a head: half of the time about blood, if there is any, else about any tissue."""
    blood = head.bleed > 0.5
    where = torch.nonzero(blood if rng.random() < 0.5 and blood.any() else head.hu > 0)
    middle = where[int(rng.integers(len(where)))].tolist()
    box = []
    for at, size, whole in zip(middle, _PIECE, SHAPE, strict=True):
        start = at - size // 2 + int(rng.integers(-(size // 4), size // 4 + 1))
        start = min(max(0, start), whole - size)
        box.append(slice(start, start + size))
    cut = tuple(box)
    return head.hu[cut].half(), head.bleed[cut].half()


def _batch(cases: Tensors, schedule: Schedule, step: int) -> Tensors:
    rng = np.random.default_rng((_SEED, step))
    chosen = torch.from_numpy(rng.integers(len(cases[0]), size=schedule.batch))
    return tuple(tensor[chosen].float() for tensor in cases)


def main() -> None:
    """Make the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--heads", type=int, default=640)
    parser.add_argument("--calibration-heads", type=int, default=120)
    arguments = parser.parse_args()
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // 2))
    folder = arguments.out / "heads"
    heads = render(folder, range(FIRST_TRAINED, FIRST_TRAINED + arguments.heads))
    others = render(folder, range(FIRST_CALIBRATED, FIRST_CALIBRATED + arguments.calibration_heads))
    make(arguments.out, train(heads, arguments.out), others)


if __name__ == "__main__":
    main()
