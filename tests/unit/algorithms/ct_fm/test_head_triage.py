"""Head CTs are judged, measured, ordered by urgency and explained; what is no head CT is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydicom.sr._concepts_dict import concepts

from algorithms.ct_fm import head_triage, triage_rule
from algorithms.ct_fm.head_triage import HYPERDENSE, SALIENCY, HeadTriage
from algorithms.ct_fm.triage_network import TriageNetwork
from algorithms.phantoms import Bleed, HeadPhantom, chest_ct, head_ct
from algorithms.protocol import Code, Findings, Unsuitable, silent
from algorithms.weights import BUNDLED, Store, WeightsFaulty, WeightsMissing, save
from node.inbound import volumes

OWN = "ct-fm-head-triage"
TINY = {"init_filters": 2, "blocks_down": [1, 1, 1, 1, 1]}
FITTED = {
    "calibration": {"slope": 1.0, "intercept": 0.0, "population": "nobody"},
    "thresholds": {"normal_below": 0.3, "abnormal_from": 0.7},
}


@pytest.fixture(scope="module")
def bleeding() -> HeadPhantom:
    return head_ct(101, bleed=Bleed.EPIDURAL, columns=256)


@pytest.fixture(scope="module")
def healthy() -> HeadPhantom:
    return head_ct(101, bleed=None, columns=256)


@pytest.fixture(scope="module")
def bundled() -> HeadTriage:
    return HeadTriage.from_options({}, "cpu", Store((BUNDLED,)))


@pytest.fixture(scope="module")
def found(bundled: HeadTriage, bleeding: HeadPhantom) -> Findings:
    return bundled.run(bleeding.volume, silent)


def own(folder: Path, config: dict[str, object], logit: float) -> HeadTriage:
    """Weights that give every head the same logit."""
    network = TriageNetwork.from_config(config)
    with torch.no_grad():
        network.head[4].weight.zero_()
        network.head[4].bias.fill_(logit)
    save(folder, OWN, network.state_dict(), config, {"licence": "none"})
    return HeadTriage.from_options({"weights": "own", "saliency": "false"}, "cpu", Store((folder,)))


def test_a_bleeding_head_is_abnormal_and_urgent(found: Findings) -> None:
    (score,) = found.scores
    assert score.verdict == triage_rule.ABNORMAL
    assert score.finding == triage_rule.NORMALITY
    assert score.urgency == "HIGH"
    assert score.value > 0.7


def test_a_healthy_head_is_normal_and_can_wait(bundled: HeadTriage, healthy: HeadPhantom) -> None:
    (score,) = bundled.run(healthy.volume, silent).scores
    assert score.verdict == triage_rule.NORMAL
    assert score.urgency == "LOW"


def test_bundled_probability_says_for_whom_it_is_calibrated(found: Findings) -> None:
    (score,) = found.scores
    assert score.calibrated
    assert "synthetic heads only" in score.name


def test_hyperdense_tissue_is_outlined_and_measured(found: Findings, bleeding: HeadPhantom) -> None:
    (segment,), (measurement,) = found.segments, found.measurements
    assert segment.label == measurement.segment == HYPERDENSE
    assert measurement.value == pytest.approx(bleeding.volume.volume_ml(segment), rel=0.02)
    truth = bleeding.truth["Bleed"]
    assert (segment.on_grid(truth.shape) & truth).sum() / truth.sum() > 0.6


def test_no_hyperdense_tissue_is_a_finding_of_0_ml(tmp_path: Path, healthy: HeadPhantom) -> None:
    findings = own(tmp_path, TINY, -3.0).run(healthy.volume, silent)
    assert findings.segments == ()
    (measurement,) = findings.measurements
    assert (measurement.segment, measurement.value) == (None, 0.0)


def test_saliency_is_highest_at_the_bleed(
    bundled: HeadTriage, found: Findings, bleeding: HeadPhantom
) -> None:
    saliency = bundled.explain(bleeding.volume, found, silent)
    assert saliency is not None
    blood = np.argwhere(bleeding.truth["Bleed"])
    blood_mm = (blood @ bleeding.volume.affine_mm[:3, :3].T) + bleeding.volume.affine_mm[:3, 3]
    peak = np.argwhere(saliency.voxels > 0.9 * saliency.voxels.max()).mean(axis=0)
    peak_mm = (saliency.affine_mm @ [*peak, 1.0])[:3]
    assert np.linalg.norm(blood_mm - peak_mm, axis=1).min() < 20.0


def test_weights_of_ones_own_are_cut_at_one_half_and_give_no_probability(
    tmp_path: Path, healthy: HeadPhantom
) -> None:
    (score,) = own(tmp_path, TINY, 0.1).run(healthy.volume, silent).scores
    assert not score.calibrated
    assert score.verdict == triage_rule.ABNORMAL
    assert score.value == pytest.approx(1 / (1 + np.exp(-0.1)), rel=1e-5)
    assert "calibrated" not in score.name


def test_the_measurement_overrules_a_network_that_says_normal(tmp_path: Path, bleeding: HeadPhantom) -> None:
    (score,) = own(tmp_path, TINY | FITTED, -3.0).run(bleeding.volume, silent).scores
    assert score.calibrated
    assert score.verdict == triage_rule.UNDETERMINED
    assert score.urgency == "HIGH"


def test_without_saliency_there_is_none(tmp_path: Path, healthy: HeadPhantom) -> None:
    triage = own(tmp_path, TINY, 0.0)
    assert triage.explain(healthy.volume, triage.run(healthy.volume, silent), silent) is None


def test_the_tilted_uneven_head_of_a_person_is_no_false_alarm(shared_data: Path, bundled: HeadTriage) -> None:
    folder = shared_data / "ct-head" / "ge-hispeed-tilted"
    volume, _headers = volumes.read(sorted(folder.glob("*.dcm")), any_stack=True)
    findings = bundled.run(volume, silent)
    assert findings.scores[0].urgency != "HIGH"
    assert findings.measurements[0].value < 2.0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"modality": "MR", "unit": "arbitrary"}, "MR in arbitrary"),
        ({"unit": "arbitrary"}, "Hounsfield"),
    ],
)
def test_what_is_no_ct_in_hounsfield_units_is_refused(tmp_path, healthy, change, reason) -> None:
    with pytest.raises(Unsuitable, match=reason):
        own(tmp_path, TINY, 0.0).run(replace(healthy.volume, **change), silent)


def test_a_chest_is_refused(tmp_path: Path) -> None:
    chest = chest_ct(seed=4, slices=44, columns=192, slice_spacing_mm=7.0).volume
    with pytest.raises(Unsuitable, match="skull"):
        own(tmp_path, TINY, 0.0).run(chest, silent)


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    tensors = dict(TriageNetwork.from_config(TINY).state_dict())
    tensors["head.5.weight"] = tensors.pop("head.4.weight")
    save(tmp_path, OWN, tensors, TINY, {})
    with pytest.raises(WeightsFaulty, match=r"head\.4\.weight"):
        HeadTriage.from_options({"weights": "own"}, "cpu", Store((tmp_path,)))


def test_a_broken_calibration_is_named(tmp_path: Path) -> None:
    tensors = TriageNetwork.from_config(TINY).state_dict()
    save(tmp_path, OWN, tensors, TINY | {"calibration": {"slope": 1.0}}, {})
    with pytest.raises(WeightsFaulty, match="intercept"):
        HeadTriage.from_options({"weights": "own"}, "cpu", Store((tmp_path,)))


def test_missing_weights_and_unknown_options_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=OWN):
        HeadTriage.from_options({"weights": "own"}, "cpu", Store((tmp_path,)))
    with pytest.raises(ValueError, match="threshold"):
        HeadTriage.from_options({"threshold": "0.1"}, "cpu", Store((BUNDLED,)))


@pytest.mark.parametrize(
    "code",
    [
        triage_rule.PROBABILITY,
        triage_rule.NORMALITY,
        triage_rule.NORMAL,
        triage_rule.ABNORMAL,
        triage_rule.UNDETERMINED,
        SALIENCY,
        *(value for value in vars(head_triage).values() if isinstance(value, Code) and value.scheme == "SCT"),
    ],
    ids=lambda code: code.meaning,
)
def test_codes_have_the_meaning_that_dicom_gives_them(code: Code) -> None:
    assert code.meaning in {
        entry[code.value][0] for entry in concepts[code.scheme].values() if code.value in entry
    }
