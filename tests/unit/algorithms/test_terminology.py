"""Every code is in DICOM's own dictionaries, with the meaning the standard gives it."""

import pytest
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts

from algorithms import terminology
from algorithms.protocol import Code

IN_CONTEXT_GROUP = [
    (7150, terminology.ANATOMICAL_STRUCTURE),
    (7151, terminology.ENTIRE_BODY),
    (7151, terminology.LUNG),
    (7151, terminology.TRACHEA_AND_BRONCHUS),
    (244, terminology.LEFT),
    (244, terminology.RIGHT),
    *[(7464, code) for code in terminology.DERIVATIONS.values()],
    *[(7477, code) for code, _ in terminology.SHAPE_FEATURES.values()],
    (7181, terminology.HOUNSFIELD_UNIT),
    (7181, terminology.MILLIMETER),
    (7181, terminology.SQUARE_MILLIMETER),
    (7181, terminology.CUBIC_MILLIMETER),
    (7181, terminology.NO_UNITS),
]
SNOMED = [code for _, code in IN_CONTEXT_GROUP if code.scheme == "SCT"]

DIHEDRAL = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
    [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
    [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
    [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
    [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
    [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
    [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
    [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
]
FIRST_PERMUTATION = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def permuted(digit, times):
    for _ in range(times):
        digit = FIRST_PERMUTATION[digit]
    return digit


def check_digit_is_right(identifier):
    check = 0
    for place, digit in enumerate(reversed(identifier)):
        check = DIHEDRAL[check][permuted(int(digit), place % 8)]
    return check == 0


def groups_and_meanings(code):
    entries = [entry[code.value] for entry in concepts[code.scheme].values() if code.value in entry]
    return {group for _, groups in entries for group in groups}, {meaning for meaning, _ in entries}


@pytest.mark.parametrize(("group", "code"), IN_CONTEXT_GROUP)
def test_code_is_in_its_context_group_under_its_meaning(group: int, code: Code):
    assert group in cid_concepts
    groups, meanings = groups_and_meanings(code)
    assert group in groups
    assert code.meaning in meanings


def test_attenuation_coefficient_is_a_dicom_concept():
    assert (
        terminology.ATTENUATION_COEFFICIENT.meaning
        in groups_and_meanings(terminology.ATTENUATION_COEFFICIENT)[1]
    )


@pytest.mark.parametrize("code", SNOMED)
def test_snomed_identifier_has_a_right_check_digit(code: Code):
    assert check_digit_is_right(code.value)


def test_the_check_finds_a_mistyped_identifier():
    assert not check_digit_is_right("39607080")


def test_there_are_14_shape_features():
    assert len(terminology.SHAPE_FEATURES) == 14
