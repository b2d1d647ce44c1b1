"""The bundled encoder: is the same patient found again, and the same place in another patient?

python benchmarks/retrieval.py [--weights FOLDER] [--data ../shared/data] [--phantoms 100] [--pairs 5]
    [--pooling minimum mean]

Retrieval: the gallery are phantoms whose seeds were in no training, and the shared CTs; the queries are the
same volumes changed. Search: landmarks of one phantom looked for in another.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from body_part import nifti, regular
from scipy.stats import binomtest

from algorithms.ct_fm.anatomical_search import Query, Search
from algorithms.ct_fm.embedding import Encoder
from algorithms.ct_fm.retrieval import Retrieval
from algorithms.perturbations import cropped, noisy, other_kernel, resampled, shifted
from algorithms.phantoms import chest_ct, torso
from algorithms.phantoms.labels import Label
from algorithms.protocol import Volume, silent
from algorithms.weights import BUNDLED, Store
from node.inbound.volumes import headers, read

FIRST_HELD_OUT_SEED = 1000
WEIGHTS = "ct-fm-encoder-bundled"
RANGES_MM = ((-360, 580), (-60, 300), (-300, 40), (-150, 260), (250, 580))
PERTURBATIONS: Mapping[str, Callable[[Volume], Volume]] = {
    "noise 30 HU": lambda v: noisy(v, 30.0, 1),
    "shift 0.4 voxel": lambda v: shifted(v, (0.4, -0.4, 0.4)),
    "shift 3 voxels": lambda v: shifted(v, (0.0, 3.0, -3.0)),
    "crop 5 % at both ends": lambda v: cropped(v, len(v.voxels) // 20, len(v.voxels) // 20),
    "crop 20 % at the head": lambda v: cropped(v, 0, len(v.voxels) // 5),
    "soft kernel": lambda v: other_kernel(v, -1.5),
    "sharp kernel": lambda v: other_kernel(v, 0.8),
    "slices 1.5 times as thick": lambda v: resampled(v, (1.5 * v.spacing_mm[0], *v.spacing_mm[1:])),
}
ORGANS = {
    "trachea": Label.AIRWAY,
    "heart": Label.HEART,
    "liver": Label.LIVER,
    "spleen": Label.SPLEEN,
    "stomach": Label.STOMACH,
    "left lung": Label.LEFT_LUNG,
    "right lung": Label.RIGHT_LUNG,
    "brain": Label.BRAIN,
}
CUT = ("spleen", "liver", "stomach")
VERTEBRAE = ("L5", "L4", "L3", "L2", "L1")
IN_ABDOMEN = dict(zip((*CUT, *VERTEBRAE), (1, 5, 6, 27, 28, 29, 30, 31), strict=True))
LEVELS = ("L4", "L2", "Th12", "Th10", "Th8", "Th6", "Th4", "Th2", "C7", "C4")


def phantoms(count: int) -> Iterator[Volume]:
    """Bodies and parts of bodies, four of five at 4 mm; every fifth a chest CT of 5 mm slices."""
    for number in range(count):
        seed = FIRST_HELD_OUT_SEED + number
        if number % 5 == 4:
            yield chest_ct(seed, columns=192).volume
        else:
            low, high = RANGES_MM[number % len(RANGES_MM)]
            body = torso(seed, spacing_mm=4.0, bottom_mm=low, top_mm=high)
            yield Volume(body.hu, body.affine_mm, "HU", "CT", tuple(map(str, range(len(body.hu)))))


def real(data: Path) -> dict[str, Volume]:
    """The shared CTs that show enough of a body."""
    abdomen, affine_mm = nifti(data / "ct-labelled-totalsegmentator/nifti/example_ct.nii.gz")
    thigh = [
        h for h in headers(sorted((data / "ct-pet-mr-rtstruct-sts").rglob("*.dcm"))) if h.Modality == "CT"
    ]
    return {
        "chest (in training)": read(sorted((data / "ct-thorax-lungdx").rglob("series3/*.dcm")))[0],
        "abdomen (in training)": Volume(abdomen, affine_mm, "HU", "CT", tuple(map(str, range(len(abdomen))))),
        "thigh (in training)": read([Path(h.filename) for h in thigh])[0],
        "head, made regular": regular(data / "ct-head/ge-hispeed-tilted"),
    }


def recall(gallery: Mapping[str, Volume], encoder: Encoder, pooling: str) -> None:
    """Print how often the nearest of the gallery is the volume that was changed."""
    retrieval = Retrieval(encoder, pooling)
    start = time.perf_counter()
    points = np.stack([retrieval.embed(volume, silent).vector for volume in gallery.values()])
    seconds = (time.perf_counter() - start) / len(gallery)
    print(f"{pooling}: {len(gallery)} volumes, {seconds:.2f} s each")
    hits, total = 0, 0
    for name, change in PERTURBATIONS.items():
        queries = np.stack([retrieval.embed(change(volume), silent).vector for volume in gallery.values()])
        similarity = queries @ points.T
        right = similarity.argmax(axis=1) == np.arange(len(points))
        own = np.diag(similarity)
        others = np.where(np.eye(len(points), dtype=bool), -1, similarity).max(axis=1)
        wrong = [key for key, found in zip(gallery, right, strict=True) if not found]
        line(name, int(right.sum()), len(right))
        print(f"    own {own.mean():.4f}, best other {others.mean():.4f}; missed: {', '.join(wrong)}")
        hits, total = hits + int(right.sum()), total + len(right)
    line("all", hits, total)


def line(name: str, hits: int, total: int) -> None:
    """Print a share with its 95 % confidence interval (Wilson)."""
    interval = binomtest(hits, total).proportion_ci(method="wilson")
    print(
        f"  {name:28s} recall@1 {hits / total:.3f} ({interval.low:.3f} to {interval.high:.3f}), n = {total}"
    )


def landmarks(seed: int, levels: Sequence[str] = LEVELS) -> tuple[Volume, dict[str, np.ndarray]]:
    """A body, its frame moved at random, and where its organs and vertebrae are."""
    body = torso(seed, spacing_mm=4.0)
    offset = np.random.default_rng(seed).uniform(-200, 200, 3)
    affine = body.affine_mm.copy()
    affine[:3, 3] += offset
    found = {name: np.argwhere(body.labels == label).mean(axis=0) for name, label in ORGANS.items()}
    for name in levels:
        level = round((body.levels_mm[name] - body.affine_mm[2, 3]) / body.affine_mm[2, 0])
        found[name] = np.array([level, *np.argwhere(body.labels[level] == Label.VERTEBRA).mean(axis=0)])
    uids = tuple(map(str, range(len(body.hu))))
    places = {name: affine[:3, :3] @ index + affine[:3, 3] for name, index in found.items()}
    return Volume(body.hu, affine, "HU", "CT", uids), places


def search(pairs: int, encoder: Encoder) -> None:
    """Print how far the places that are found lie from the landmarks."""
    errors: dict[str, list[float]] = {}
    start = time.perf_counter()
    for pair in range(pairs):
        (source, known), (target, wanted) = (
            landmarks(FIRST_HELD_OUT_SEED + 500 + 2 * pair + side) for side in range(2)
        )
        looked = Search(source, target, encoder, silent)
        for name, point in known.items():
            error = distance(looked, source, point, wanted[name], encoder)
            errors.setdefault(name, []).append(error)
    every = np.concatenate(list(errors.values()))
    seconds = (time.perf_counter() - start) / len(every)
    print(
        f"search: {len(every)} landmarks in {pairs} pairs: median {np.median(every):.1f} mm, 90th percentile "
        f"{np.percentile(every, 90):.1f} mm, over 50 mm {np.mean(every > 50):.3f}; {seconds:.1f} s each"
    )
    for name, values in errors.items():
        print(
            f"  {name:12s} median {np.median(values):6.1f} mm, worst {max(values):6.1f} mm, n = {len(values)}"
        )


def distance(
    looked: Search, source: Volume, point: np.ndarray, wanted: np.ndarray, encoder: Encoder
) -> float:
    """Millimetres from where a point is found to where it should be."""
    x, y, z = map(float, point)
    found = looked.match(Query.of(source, (x, y, z), encoder), silent).position_mm
    return float(np.linalg.norm(found - wanted))


def search_labelled(data: Path, bodies: int, encoder: Encoder) -> None:
    """Print how far the places of phantoms, found in the labelled CT, lie from those of its labels."""
    folder = data / "ct-labelled-totalsegmentator/nifti"
    voxels, affine = nifti(folder / "example_ct.nii.gz")
    labels, _ = nifti(folder / "example_seg_fast_force_split.nii.gz")
    abdomen = Volume(voxels, affine, "HU", "CT", tuple(map(str, range(len(voxels)))))
    wanted = {
        name: affine[:3, :3] @ np.argwhere(labels == number).mean(axis=0) + affine[:3, 3]
        for name, number in IN_ABDOMEN.items()
    }
    errors: dict[str, list[float]] = {name: [] for name in wanted}
    for seed in range(bodies):
        source, known = landmarks(FIRST_HELD_OUT_SEED + 500 + seed, VERTEBRAE)
        looked = Search(source, abdomen, encoder, silent)
        for name, place in wanted.items():
            errors[name].append(distance(looked, source, known[name], place, encoder))
    for what, names in (("cut by the field of view", CUT), ("in view", VERTEBRAE)):
        every = np.concatenate([errors[name] for name in names])
        print(f"labelled abdomen, {what}: n = {len(every)}, median {np.median(every):.0f} mm")
    for name, values in errors.items():
        print(f"  {name:12s} {', '.join(f'{value:.0f}' for value in values)} mm")


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights", type=Path, default=BUNDLED)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--phantoms", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--pooling", nargs="*", default=["minimum", "mean"])
    chosen = parser.parse_args()
    encoder = Encoder(Store((chosen.weights,)).get(WEIGHTS), "cpu")
    if chosen.pairs:
        search(chosen.pairs, encoder)
        search_labelled(chosen.data, 4, encoder)
    gallery = real(chosen.data) | {f"phantom {i}": v for i, v in enumerate(phantoms(chosen.phantoms))}
    for pooling in chosen.pooling:
        recall(gallery, encoder, pooling)


if __name__ == "__main__":
    main()
