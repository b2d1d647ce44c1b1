import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from algorithms.protocol import Findings, Highlights, Photograph
from node.outbound import photograph_overlay
from node.outbound.photograph_overlay import LONGEST_EDGE
from tests import synthetic_photograph


@pytest.fixture
def source(tmp_path):
    synthetic_photograph.instance(tmp_path / "photograph.dcm")
    return dcmread(tmp_path / "photograph.dcm", stop_before_pixels=True)


def overlay(source, weight, pixels):
    findings = Findings(highlights=Highlights("Occlusion sensitivity", weight))
    photograph = Photograph(pixels, source.SOPInstanceUID)
    made_by = synthetic_photograph.provenance(source.SOPInstanceUID)
    return photograph_overlay.encode_overlay(findings, photograph, source, made_by)


def test_where_nothing_is_highlighted_the_photograph_is_grey_and_elsewhere_in_colour(source):
    pixels = synthetic_photograph.pixels()
    weight = np.zeros((90, 70), dtype=np.float32)
    weight[:45] = 1.0
    picture = overlay(source, weight, pixels)
    shown = np.frombuffer(picture.PixelData, np.uint8).reshape(90, 70, 3).astype(int)
    assert np.ptp(shown[45:], axis=2).max() == 0
    assert np.abs(shown[45:, :, 0] - pixels[45:] @ [0.299, 0.587, 0.114]).max() <= 1
    assert np.ptp(shown[:45], axis=2).min() > 20


def test_it_says_that_somebody_can_be_recognised_on_it(source):
    picture = overlay(source, np.zeros((90, 70), dtype=np.float32), synthetic_photograph.pixels())
    assert (picture.RecognizableVisualFeatures, picture.BurnedInAnnotation) == ("YES", "NO")
    assert picture.PatientID == source.PatientID


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_it_is_no_larger_than_needed_to_see_where(rows, columns):
    factor = photograph_overlay.reduction((rows, columns))
    assert max(rows, columns) // factor <= LONGEST_EDGE
    assert factor == 1 or max(rows, columns) > LONGEST_EDGE * (factor - 1)


def test_highlights_of_another_size_are_refused(source):
    with pytest.raises(ValueError, match="on the grid of the photograph"):
        overlay(source, np.zeros((9, 7), dtype=np.float32), synthetic_photograph.pixels())


def test_a_lossy_past_stays_known(source):
    source.LossyImageCompression, source.LossyImageCompressionMethod = "01", "ISO_10918_1"
    picture = overlay(source, np.zeros((90, 70), dtype=np.float32), synthetic_photograph.pixels())
    assert (picture.LossyImageCompression, picture.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
