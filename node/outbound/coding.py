"""Coded concepts: the triples of the science side as DICOM items, and whether a triple can be right.

No IOD validator looks at codes, so a mistyped one would go unseen into the archive.
"""

import re
from typing import Final

from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.sr.codedict import codes

from algorithms import terminology
from algorithms.protocol import Code
from algorithms.radiomics.codes import EXTENSIONS

BODY_STRUCTURE: Final = "123037004"
"""SNOMED "Body structure": not in CID 7150, but what dcmqi, Slicer and IDC write as the category."""

ANATOMICAL: Final = frozenset({"91723000", BODY_STRUCTURE})
"""Category codes of what is a part of the body, so that its type is also its site."""

PRIVATE_SCHEME: Final = "99AINODE"
"""Coding Scheme Designator of the few concepts that neither DICOM nor a registry has."""

_PRIVATE: Final = frozenset(
    each for each in vars(terminology).values() if isinstance(each, Code) and each.scheme == PRIVATE_SCHEME
)

_CATEGORIES = {c.value for c in codes.cid7150.concepts.values()} | {BODY_STRUCTURE}

_COMPLETE = {
    scheme: {c.value for c in getattr(codes, scheme).concepts.values()} for scheme in ("DCM", "IBSI")
}
"""Schemes of which pydicom's dictionary holds all that DICOM uses."""

_OPEN = frozenset({"LN", "UMLS", "NCIt", "FMA", "RADLEX", "NEU", "MSH", "RFC5646"})

_UCUM_TERM = r"(?:\[hnsf'U\]|\[arb'U\]|[mcdkun]?(?:m|g|s|l|L|Pa)|min|h|d|a|M?Bq|Gy|deg|rad|%|1|\{\w+\})-?\d*"
_UCUM = re.compile(rf"/?{_UCUM_TERM}(?:[./]{_UCUM_TERM})*")

_LONGEST_MEANING = 64

_VERHOEFF_PERMUTATION = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def concept(code: Code) -> CodedConcept:
    """The code as an item of a code sequence (PS3.3 section 8)."""
    return CodedConcept(value=code.value, scheme_designator=code.scheme, meaning=code.meaning)


def code_of(item: Dataset) -> Code:
    """The triple in an item of a code sequence; what is absent is empty.

    A value of more than 16 characters stands in Long Code Value (0008,0119).
    """
    value = item.get("CodeValue") or item.get("LongCodeValue", "")
    return Code(str(value), *(str(item.get(k, "")) for k in ("CodingSchemeDesignator", "CodeMeaning")))


def is_code(item: Dataset) -> bool:
    """Whether an item is one of a code sequence."""
    return "CodeValue" in item or "LongCodeValue" in item


def faults(code: Code) -> list[str]:
    """What is wrong with a code, in words; empty if nothing is.

    SNOMED CT identifiers have a check digit, DCM and IBSI codes are looked up, UCUM units are parsed.
    """
    named = f"code ({code.value}, {code.scheme}, {code.meaning!r})"
    found = []
    if not code.meaning or len(code.meaning) > _LONGEST_MEANING:
        found.append(f"{named} has no meaning of 1 to {_LONGEST_MEANING} characters")
    if code.scheme == "SCT":
        if not (code.value.isdecimal() and code.value.isascii() and verhoeff_sum(code.value) == 0):
            found.append(f"{named} fails the check digit of SNOMED CT")
    elif code.scheme == "UCUM":
        if not _UCUM.fullmatch(code.value):
            found.append(f"{named} is not a UCUM unit")
    elif code in EXTENSIONS:
        pass  # listed with its reason in docs/how-to/radiomics.md
    elif code in _PRIVATE:
        pass  # listed with its reason in docs/conformance-statement.md
    elif code.scheme in _COMPLETE:
        if code.value not in _COMPLETE[code.scheme]:
            found.append(f"{named} is not in DICOM's list of {code.scheme} codes")
    elif code.scheme not in _OPEN:
        found.append(f"{named} is of a coding scheme that is not known here")
    return found


def category_faults(code: Code) -> list[str]:
    """What is wrong with a Segmented Property Category (CID 7150)."""
    if code.scheme == "SCT" and code.value in _CATEGORIES:
        return []
    return [
        f"code ({code.value}, {code.scheme}, {code.meaning!r}) is no segmented property category (CID 7150)"
    ]


def verhoeff_sum(digits: str) -> int:
    """The Verhoeff checksum of a number with its check digit: 0 if it is right.

    Each digit, from the last to the first, is permuted as often as its place says and multiplied in
    the dihedral group of the pentagon: 0 to 4 are rotations, 5 to 9 reflections.
    """
    total = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        for _ in range(place % 8):
            digit = _VERHOEFF_PERMUTATION[digit]  # noqa: PLW2901 - the digit is what is permuted
        turn = total + digit if total < 5 else total - digit
        total = turn % 5 + (5 if (total < 5) != (digit < 5) else 0)
    return total
