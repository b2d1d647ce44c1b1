"""Texture by mirp: the IBSI's values, and those of pyradiomics where both count alike."""

import logging
import sys
from collections.abc import Callable

import numpy as np
import pytest

from algorithms.radiomics.measurement import measure
from algorithms.radiomics.texture import TextureUnavailable, texture_features
from algorithms.radiomics.texture_codes import TEXTURE_FEATURES
from tests.unit.algorithms.radiomics.conftest import Case


@pytest.fixture
def mirp() -> None:
    pytest.importorskip("mirp", reason="the extra `texture` is not installed")


@pytest.mark.usefixtures("mirp")
def test_all_76_features_are_within_the_tolerance_of_the_ibsi(
    ibsi_phantom: Case, ibsi_reference: dict[str, tuple[float, float]]
) -> None:
    found = texture_features(ibsi_phantom.voxels, ibsi_phantom.mask, bin_width=1.0)
    reference = ibsi_reference | {"5QRC": ibsi_reference["P001"]}  # DICOM's code, and the IBSI's today
    for feature in TEXTURE_FEATURES:
        expected, tolerance = reference[feature.code.value]
        assert found[feature.name] == pytest.approx(expected, abs=tolerance * 1.000001), feature


@pytest.mark.usefixtures("mirp")
@pytest.mark.parametrize("name", ["brain1", "breast1"])
@pytest.mark.parametrize("feature_class", ["glszm", "gldm", "ngtdm"])
def test_classes_with_one_matrix_have_the_values_of_the_baseline_of_pyradiomics(
    name: str,
    feature_class: str,
    pyradiomics_case: Callable[[str], Case],
    baseline: Callable[[str, str], dict[str, float]],
) -> None:
    case = pyradiomics_case(name)
    segment = case.segment()
    found = texture_features(case.voxels[segment.box], segment.mask)
    for feature, value in baseline(feature_class, name).items():
        own = found.get(feature, found.get(f"{feature_class}{feature}"))
        assert own == pytest.approx(value, rel=1e-6), feature


@pytest.mark.usefixtures("mirp")
def test_a_single_voxel_has_no_neighbours_and_only_what_is_defined_of_a_flat_segment_is_a_number() -> None:
    voxels = np.full((4, 5, 6), 40.0, dtype=np.float32)
    single = np.zeros_like(voxels, dtype=np.bool_)
    single[0, 0, 0] = True
    assert np.isnan(texture_features(voxels, single)["JointEntropy"])
    assert texture_features(voxels, ~np.zeros_like(single))["JointEntropy"] == 0.0


@pytest.mark.usefixtures("mirp")
def test_texture_is_measured_with_its_codes_and_says_nothing(
    ibsi_phantom: Case, capfd: pytest.CaptureFixture[str]
) -> None:
    handlers = list(logging.getLogger().handlers)
    found = measure(ibsi_phantom.volume(), [ibsi_phantom.segment()], frozenset({"texture"}))
    assert {m.code for m in found} <= {feature.code for feature in TEXTURE_FEATURES}
    assert {m.unit.value for m in found} == {"1"}
    assert capfd.readouterr().out == ""
    assert logging.getLogger().handlers == handlers


def test_without_mirp_the_message_says_what_to_install(
    ibsi_phantom: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mirp", None)
    with pytest.raises(TextureUnavailable, match=r"pip install 'ainode\[texture\]'"):
        measure(ibsi_phantom.volume(), [ibsi_phantom.segment()], frozenset({"texture"}))


@pytest.mark.usefixtures("mirp")
def test_values_in_a_unit_that_the_bins_do_not_fit_have_no_texture() -> None:
    voxels = np.linspace(0, 1e6, 120, dtype=np.float32).reshape(4, 5, 6)
    assert texture_features(voxels, np.ones_like(voxels, dtype=np.bool_)) == {}
