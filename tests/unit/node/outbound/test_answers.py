import pytest
from pydicom import Dataset

from node.errors import DestinationRefused, Transient
from node.outbound.answers import judge_status, judge_stow, spelled, stow_body


@pytest.mark.parametrize("status", [0x0000, 0x0111, 0xB000, 0xB006, 0xB007])
def test_stored_is_stored(status: int) -> None:
    judge_status(status, "pacs")


@pytest.mark.parametrize("status", [None, 0xA700, 0xA701, 0xA7FF])
def test_trouble_that_ends_is_transient(status: int | None) -> None:
    with pytest.raises(Transient, match="pacs"):
        judge_status(status, "pacs")


@pytest.mark.parametrize("status", [0x0110, 0x0117, 0x0122, 0x0124, 0xA900, 0xC000, 0xFE00])
def test_a_refusal_is_for_good(status: int) -> None:
    with pytest.raises(DestinationRefused, match=spelled(status)):
        judge_status(status, "pacs")


def test_the_body_speaks_for_each_instance() -> None:
    stored, failed = Dataset(), Dataset()
    stored.ReferencedSOPInstanceUID, failed.ReferencedSOPInstanceUID = "1.1", "1.2"
    failed.FailureReason = 0xA900
    answer = Dataset()
    answer.ReferencedSOPSequence, answer.FailedSOPSequence = [stored], [failed]
    judge_stow(answer, 409, "1.1", "pacs")
    with pytest.raises(DestinationRefused):
        judge_stow(answer, 200, "1.2", "pacs")


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"a": 1}', b"null", b"\xff"])
def test_a_body_that_is_not_dicom_says_nothing(content: bytes) -> None:
    assert len(stow_body(content)) == 0
