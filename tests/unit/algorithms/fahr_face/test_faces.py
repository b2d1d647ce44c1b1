"""`face-age` and `face-survival` on a drawn face, with weights of a small network."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from algorithms import weights
from algorithms.fahr_face.face_age import FaceAge
from algorithms.fahr_face.face_survival import FaceSurvival, Reference
from algorithms.fahr_face.network import Architecture, FaceTransformer
from algorithms.phantoms.face import FacePhantom, face_phantom
from algorithms.protocol import ExplainsPhotograph, Photograph, silent
from algorithms.weights import BUNDLED, Store, WeightsFaulty, WeightsMissing

SMALL = Architecture(dimension=16, depth=1, hidden=16, patch=16, grid=7, outputs=1, heads=2)


@pytest.fixture(scope="module")
def phantom() -> FacePhantom:
    return face_phantom(seed=1)


def photograph(phantom: FacePhantom, age: float | None = None) -> Photograph:
    return Photograph(phantom.pixels, "1.2.3", age)


def store(folder: Path, name: str, bias: float = 0.0, **config: Any) -> Store:
    torch.manual_seed(0)
    network = FaceTransformer(replace(SMALL, **{k: config.pop(k) for k in ("patch", "grid") if k in config}))
    network.head.bias.data.fill_(bias)
    weights.save(folder, name, network.state_dict(), asdict(network.architecture) | config, {})
    return Store((folder,))


def values(found: Any) -> dict[str, float]:
    return {each.name: each.value for each in found.measurements}


def test_an_age_comes_with_its_difference_where_the_age_is_known(
    tmp_path: Path, phantom: FacePhantom
) -> None:
    algorithm = FaceAge.from_options({}, "cpu", store(tmp_path, "fahr-face-age", 60))
    found = values(algorithm.run(photograph(phantom, 50.0), silent))
    assert found["FaceAge"] == pytest.approx(60, abs=10)
    assert found["ChronologicalAge"] == 50
    assert found["FaceAgeDifference"] == pytest.approx(found["FaceAge"] - 50)


def test_an_age_stands_alone_where_none_is_known(tmp_path: Path, phantom: FacePhantom) -> None:
    algorithm = FaceAge.from_options({}, "cpu", store(tmp_path, "fahr-face-age", 60))
    assert values(algorithm.run(photograph(phantom), silent)).keys() == {"FaceAge"}


@pytest.mark.parametrize(("bias", "age"), [(500.0, 120.0), (-500.0, 0.0)])
def test_an_age_is_cut_to_what_people_reach(
    bias: float, age: float, tmp_path: Path, phantom: FacePhantom
) -> None:
    algorithm = FaceAge.from_options({}, "cpu", store(tmp_path, "fahr-face-age", bias))
    assert values(algorithm.run(photograph(phantom), silent)) == {"FaceAge": age}


def test_a_risk_without_reference_is_a_raw_score_alone(tmp_path: Path, phantom: FacePhantom) -> None:
    algorithm = FaceSurvival.from_options({}, "cpu", store(tmp_path, "fahr-face-survival"))
    found = algorithm.run(photograph(phantom), silent)
    assert values(found).keys() == {"RiskScore"}
    assert not found.scores


@pytest.mark.parametrize(("bias", "percentile", "quartile"), [(50.0, 100.0, 4.0), (-50.0, 0.0, 1.0)])
def test_a_risk_has_its_place_in_the_reference(
    bias: float, percentile: float, quartile: float, tmp_path: Path, phantom: FacePhantom
) -> None:
    there = store(tmp_path, "fahr-face-survival", bias, reference_scores=[-1.0, -0.5, 0.0, 0.5, 1.0])
    found = values(FaceSurvival.from_options({}, "cpu", there).run(photograph(phantom), silent))
    assert found["RiskPercentile"] == percentile
    assert found["RiskQuartile"] == quartile


def test_a_percentile_counts_half_of_those_with_the_same_score() -> None:
    reference = Reference.of({"reference_scores": [3, 1, 2, 2]})
    assert reference is not None
    assert [reference.percentile(score) for score in (0, 1, 2, 3, 4)] == [0, 12.5, 50, 87.5, 100]


@pytest.mark.parametrize("scores", [[1, 2, 3], "high", [1, 2, 3, float("nan")], ["a"] * 4])
def test_a_reference_of_too_few_or_no_numbers_is_refused(scores: object) -> None:
    with pytest.raises(WeightsFaulty, match="reference_scores"):
        Reference.of({"reference_scores": scores})


def test_highlights_lie_on_the_face(tmp_path: Path, phantom: FacePhantom) -> None:
    algorithm = FaceAge.from_options({}, "cpu", store(tmp_path, "fahr-face-age"))
    image = photograph(phantom)
    assert isinstance(algorithm, ExplainsPhotograph)
    found = algorithm.explain(image, algorithm.run(image, silent), silent)
    assert found is not None
    assert found.weight.shape == (512, 512)
    assert found.weight.max() == pytest.approx(1, abs=0.05)
    column, row = phantom.landmarks.mean(axis=0)
    reach = 2.2 * np.linalg.norm(phantom.landmarks[1] - phantom.landmarks[0])
    rows, columns = np.nonzero(found.weight)
    assert np.hypot(columns - column, rows - row).max() < 1.5 * reach


def test_nothing_is_highlighted_where_nobody_asked(tmp_path: Path, phantom: FacePhantom) -> None:
    there = store(tmp_path, "fahr-face-survival")
    algorithm = FaceSurvival.from_options({"saliency": "false"}, "cpu", there)
    image = photograph(phantom)
    assert algorithm.explain(image, algorithm.run(image, silent), silent) is None


@pytest.mark.parametrize("algorithm", [FaceAge, FaceSurvival])
def test_published_weights_are_the_usual_ones_and_do_not_come_with_the_program(
    algorithm: type[FaceAge] | type[FaceSurvival],
) -> None:
    with pytest.raises(WeightsMissing, match=f"fahr-{algorithm.name}'"):
        algorithm.from_options({}, "cpu", Store((BUNDLED,)))


def test_a_network_for_other_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsFaulty, match="112 x 112"):
        FaceAge.from_options({}, "cpu", store(tmp_path, "fahr-face-age", patch=16, grid=14))


@pytest.mark.parametrize("mean", [[0.5], "half", [0.5, 0.5, "x"]])
def test_a_normalisation_that_is_none_is_named(mean: object, tmp_path: Path) -> None:
    with pytest.raises(WeightsFaulty, match="mean and deviation"):
        FaceAge.from_options({}, "cpu", store(tmp_path, "fahr-face-age", mean=mean))


def test_normalisation_changes_the_answer(tmp_path: Path, phantom: FacePhantom) -> None:
    stores = (
        store(tmp_path / "a", "fahr-face-age", 60),
        store(
            tmp_path / "b", "fahr-face-age", 60, mean=[0.485, 0.456, 0.406], deviation=[0.229, 0.224, 0.225]
        ),
    )
    first, second = (
        values(FaceAge.from_options({}, "cpu", each).run(photograph(phantom), silent))["FaceAge"]
        for each in stores
    )
    assert first != second
