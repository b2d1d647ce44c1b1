"""The algorithm from an image to segments, with a small network of random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.inferers import SlidingWindowInferer

from algorithms.ct_fm.network_grid import NetworkGrid
from algorithms.ct_fm.structures import structures
from algorithms.ct_fm.whole_body import SPACING_MM, WholeBody
from algorithms.protocol import Volume, silent
from algorithms.weights import Store, WeightsFaulty, WeightsMissing
from tests.unit.algorithms.ct_fm.random_weights import SMALL, segmenter, stored

NAME = "ct-fm-wholebody"
CONFIG = {**SMALL, "out_channels": 118, "roi": [16, 32, 32]}


def image() -> Volume:
    """Noise around soft tissue, in oblique thick slices."""
    affine = np.array([[0.3, 0, 0.9, -40], [0, 0.9, 0, -50], [4.0, 0, -0.07, 20], [0, 0, 0, 1.0]])
    voxels = np.random.default_rng(1).normal(0, 400, (12, 60, 70)).astype(np.float32)
    return Volume(voxels, affine, "HU", "CT", tuple(map(str, range(12))))


def test_segments_are_the_labels_of_plain_monai_on_the_source_grid(tmp_path: Path) -> None:
    stored(tmp_path, NAME, CONFIG)
    volume = image()
    found = WholeBody.from_options({}, "cpu", Store((tmp_path,))).run(volume, silent)
    grid = NetworkGrid.of(volume, SPACING_MM)
    with torch.inference_mode():
        scores = SlidingWindowInferer((16, 32, 32), overlap=0.625, mode="gaussian")(
            torch.from_numpy(grid.scaled)[None, None], segmenter(CONFIG)
        )
    expected = grid.to_source(scores[0].argmax(0).numpy().astype(np.uint8))
    labels = np.zeros_like(expected)
    channels = {structure.name: structure.channel for structure in structures()}
    for segment in found.segments:
        labels[segment.box][segment.mask] = channels[segment.label]
    assert np.mean(labels == expected) >= 0.9999
    assert len(found.segments) == len(np.unique(expected[expected > 0])) > 30


def test_progress_tells_of_tiles_and_may_cancel(tmp_path: Path) -> None:
    stored(tmp_path, NAME, CONFIG)
    algorithm = WholeBody.from_options({}, "cpu", Store((tmp_path,)))
    told: list[tuple[float, str]] = []
    algorithm.run(image(), lambda fraction, stage: told.append((fraction, stage)))
    assert [fraction for fraction, _ in told] == sorted(fraction for fraction, _ in told)
    assert told[-1] == (1.0, "done")
    assert any(stage.startswith("tile 2 of") for _, stage in told)

    def cancel(_fraction: float, stage: str) -> None:
        if stage.startswith("tile 2"):
            raise InterruptedError(stage)

    with pytest.raises(InterruptedError):
        algorithm.run(image(), cancel)


def test_weights_must_be_there_and_of_117_structures(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=NAME):
        WholeBody.from_options({}, "cpu", Store((tmp_path,)))
    stored(tmp_path, NAME, {**SMALL, "out_channels": 105})
    with pytest.raises(WeightsFaulty, match=r"head\.weight has the shape \(105, .* instead of \(118, "):
        WholeBody.from_options({}, "cpu", Store((tmp_path,)))


def test_it_has_no_options(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ct-wholebody has no option 'overlap'"):
        WholeBody.from_options({"overlap": "0.5"}, "cpu", Store((tmp_path,)))
