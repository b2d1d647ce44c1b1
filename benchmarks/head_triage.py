"""How well the bundled triage tells synthetic heads that bleed from those that do not, and how fast it is.

python benchmarks/head_triage.py [--first 700000] [--count 220] [--heads FOLDER] [--data ../shared/data]

The heads have seeds that neither training nor calibration used. Nothing is said about patients: the real
head CT is run too, but nobody has read it.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from algorithms.ct_fm.calibration import area_under_curve, calibration_error
from algorithms.ct_fm.head_triage import HeadTriage
from algorithms.ct_fm.triage_heads import StoredHead, render
from algorithms.ct_fm.triage_preparation import PreparedHead
from algorithms.phantoms import head_ct
from algorithms.protocol import Volume, silent
from algorithms.weights import BUNDLED, Store
from node.inbound import volumes

VOLUMES_ML = (0.0, 2.0, 5.0, 15.0, 40.0, np.inf)


def discrimination(triage: HeadTriage, heads: Sequence[StoredHead]) -> None:
    """Area under the curve, calibration, and what is found by kind and volume."""
    probabilities, millilitres, kinds = [], [], []
    for stored in heads:
        head = stored.read()
        probabilities.append(triage.classifier.probability(PreparedHead(head.hu.numpy(), np.eye(4))))
        millilitres.append(head.bleed_ml)
        kinds.append(stored.kind)
    chance, positive = np.array(probabilities), np.array([head.positive for head in heads])
    area = area_under_curve(chance, positive)
    print(f"{len(heads)} heads, {np.count_nonzero(positive)} with a bleed")
    print(f"AUC {area.value:.3f} (95 % CI {area.low:.3f} to {area.high:.3f})")
    print(f"expected calibration error {calibration_error(chance, positive):.3f}, ", end="")
    print(f"Brier score {np.mean((chance - positive) ** 2):.3f}")
    cut = triage.classifier.thresholds
    for name, chosen in (("with a bleed", positive), ("without", ~positive)):
        low, high = chance[chosen] < cut.normal_below, chance[chosen] >= cut.abnormal_from
        print(f"{name}: {low.sum()} normal, {(~low & ~high).sum()} undetermined, {high.sum()} abnormal")
    found = defaultdict(list)
    for p, ml, kind in zip(chance, millilitres, kinds, strict=True):
        if kind:
            found[kind].append(p)
            index = int(np.searchsorted(VOLUMES_ML, ml, "right"))
            found[f"{VOLUMES_ML[index - 1]:.0f} to {VOLUMES_ML[index]:.0f} ml"].append(p)
    for name, values in sorted(found.items()):
        print(f"  {name}: {np.mean(np.array(values) >= 0.5):.2f} found at 0.5 (n = {len(values)})")


def whole(triage: HeadTriage, name: str, volume: Volume) -> None:
    """One run of the algorithm."""
    start = time.perf_counter()
    findings = triage.run(volume, silent)
    found = time.perf_counter()
    triage.explain(volume, findings, silent)
    explained = time.perf_counter()
    (score,) = findings.scores
    ml = findings.measurements[0].value
    verdict = score.verdict.meaning if score.verdict else ""
    shape = " x ".join(map(str, volume.voxels.shape))
    print(
        f"{name}, {shape}: {found - start:.1f} s, saliency {explained - found:.1f} s, "
        f"probability {score.value:.3f}, {verdict}, {ml:.1f} ml, {score.urgency}"
    )


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--first", type=int, default=700_000)
    parser.add_argument("--count", type=int, default=220)
    parser.add_argument("--heads", type=Path, required=True, help="where prepared heads are kept")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--store", type=Path, default=BUNDLED)
    arguments = parser.parse_args()
    triage = HeadTriage.from_options({}, "cpu", Store((arguments.store,)))
    discrimination(triage, render(arguments.heads, range(arguments.first, arguments.first + arguments.count)))
    whole(triage, "phantom", head_ct(arguments.first + arguments.count + 1).volume)
    folder = arguments.data / "ct-head" / "ge-hispeed-tilted"
    if folder.is_dir():
        tilted, _headers = volumes.read(sorted(folder.glob("*.dcm")), any_stack=True)
        whole(triage, "tilted head", tilted)


if __name__ == "__main__":
    main()
