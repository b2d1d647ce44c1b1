"""Volume of hyperdense tissue on synthetic head CTs against the truth, by kind of bleed.

python -m benchmarks.head_ct [--first SEED] [--count 36] [--columns 512]

Every sixth head is without a bleed, each of the others has a bleed of another kind.
"""

import argparse
import time

import numpy as np

from algorithms.ct_fm.hyperdense import hyperdense
from algorithms.phantoms import Bleed, head_ct

_LEAST_ML = 5.0
_KINDS = (None, *Bleed)


def measure(seeds: range, columns: int) -> None:
    """Print each case, then the error of each kind over the bleeds of 5 ml or more."""
    errors: dict[Bleed, list[float]] = {kind: [] for kind in Bleed}
    false_ml: list[float] = []
    for seed in seeds:
        kind = _KINDS[seed % len(_KINDS)]
        phantom = head_ct(seed, bleed=kind, columns=columns)
        start = time.perf_counter()
        found = hyperdense(phantom.volume)
        seconds = time.perf_counter() - start
        print(f"{seed:4} {kind or '-':17} {phantom.bleed_ml:6.1f} ml, found {found.ml:6.1f}, {seconds:.1f} s")
        if kind is None:
            false_ml.append(found.ml)
        elif phantom.bleed_ml >= _LEAST_ML:
            errors[kind].append(100 * (found.ml / phantom.bleed_ml - 1))
    for kind, values in errors.items():
        if values:
            found_within = int(np.count_nonzero(np.abs(values) <= 10))
            worst = max(values, key=abs)
            print(
                f"{kind}: {len(values)} cases, median {np.median(values):+.0f} %, worst {worst:+.0f} %, "
                f"{found_within} within 10 %"
            )
    print(f"without a bleed: {len(false_ml)} cases, largest {max(false_ml, default=0.0):.1f} ml")


def main() -> None:
    """Measure the seeds that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=36)
    parser.add_argument("--columns", type=int, default=512)
    given = parser.parse_args()
    measure(range(given.first, given.first + given.count), given.columns)


if __name__ == "__main__":
    main()
