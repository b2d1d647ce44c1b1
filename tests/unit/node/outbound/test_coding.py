import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.sr.codedict import codes

from algorithms.protocol import Code
from node.outbound.coding import category_faults, code_of, concept, faults, verhoeff_sum


@pytest.mark.parametrize(
    "code",
    [
        Code("39607008", "SCT", "Lung"),
        Code("RNU0", "IBSI", "Volume of Mesh"),
        Code("112031", "DCM", "Attenuation Coefficient"),
        Code("C1711260", "UMLS", "Variance"),
        Code("25045-6", "LN", "CT unspecified body region"),
    ],
)
def test_right_codes_have_no_fault(code: Code) -> None:
    assert faults(code) == []


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (Code("39607009", "SCT", "Lung"), "check digit"),
        (Code("T-28000", "SCT", "Lung"), "check digit"),
        (Code("T-28000", "SRT", "Lung"), "not known"),
        (Code("Q4LE", "IBSI", "Mean"), "not in DICOM's list of IBSI"),
        (Code("Newcode1", "DCM", "x"), "not in DICOM's list of DCM"),
        (Code("mm^3", "UCUM", "x"), "not a UCUM unit"),
        (Code("39607008", "SCT", ""), "meaning"),
        (Code("39607008", "SCT", "x" * 65), "meaning"),
    ],
)
def test_wrong_codes_are_told(code: Code, fault: str) -> None:
    (said,) = faults(code)
    assert fault in said


@pytest.mark.parametrize(
    "unit", ["mm", "mm2", "mm3", "/mm", "1", "[hnsf'U]", "[hnsf'U]2", "ml", "g/ml", "%", "{ratio}", "s-1"]
)
def test_units_of_measurements_are_ucum(unit: str) -> None:
    assert faults(Code(unit, "UCUM", "unit")) == []


def test_the_snomed_codes_of_dicom_have_their_check_digit_but_for_one_that_is_mistyped_there() -> None:
    values = [code.value for code in codes.SCT.concepts.values()]
    assert len(values) > 5000
    assert [v for v in values if verhoeff_sum(v) != 0] == ["115347700"]


@given(st.integers(min_value=10**5, max_value=10**12), st.data())
def test_a_changed_digit_is_always_noticed(number: int, data: st.DataObject) -> None:
    digits = next(f"{number}{check}" for check in range(10) if verhoeff_sum(f"{number}{check}") == 0)
    place = data.draw(st.integers(min_value=0, max_value=len(digits) - 1))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != digits[place]]))
    assert verhoeff_sum(digits[:place] + other + digits[place + 1 :]) != 0


def test_categories_are_those_of_cid_7150_and_the_one_everybody_writes() -> None:
    assert category_faults(Code("91723000", "SCT", "Anatomical Structure")) == []
    assert category_faults(Code("123037004", "SCT", "Anatomical Structure")) == []
    assert category_faults(Code("91772007", "SCT", "Organ"))


def test_a_code_survives_its_way_through_dicom() -> None:
    code = Code("39607008", "SCT", "Lung")
    assert code_of(concept(code)) == code
