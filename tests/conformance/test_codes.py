"""Every code that results carry is in a context group of DICOM, or is listed as an extension."""

from pathlib import Path

import pytest
from pydicom.sr._concepts_dict import concepts

from algorithms import terminology
from algorithms.body_part.anatomy import LANDMARKS, REGIONS
from algorithms.protocol import Code
from algorithms.radiomics import codes as radiomics
from algorithms.terminology import SIMILARITY
from node.outbound import coding
from node.outbound.key_objects import TITLE
from node.outbound.parametric_map import BODY_PARTS, DERIVATION, VISUAL_EXPLANATION
from node.outbound.scores_sr import PRIORITIES, PRIORITY

DOCS = Path(__file__).resolve().parents[2] / "docs"
LISTED = "".join((DOCS / name).read_text() for name in ("conformance-statement.md", "how-to/radiomics.md"))

IN_A_GROUP = {
    (scheme, value)
    for scheme, by_keyword in concepts.items()
    for values in by_keyword.values()
    for value, (_meaning, groups) in values.items()
    if groups
}

SITES = {site.code for site in LANDMARKS.values()} | {region.code for region in REGIONS.values()}
MODIFIERS = {site.modifier for site in LANDMARKS.values() if site.modifier}
OTHERS = {value for value in vars(terminology).values() if isinstance(value, Code)}
REPORTED = {
    SIMILARITY,
    PRIORITY,
    *PRIORITIES.values(),
    VISUAL_EXPLANATION,
    DERIVATION,
    *BODY_PARTS.values(),
    TITLE,
}
USED = sorted(SITES | MODIFIERS | OTHERS | REPORTED | {row.code for row in radiomics.SHAPE.values()})


@pytest.mark.parametrize("code", USED, ids=lambda code: f"{code.scheme} {code.value}")
def test_a_code_is_in_a_context_group_or_listed_as_an_extension(code: Code) -> None:
    listed = f"({code.value}, {code.scheme})" in LISTED or f"`{code.value}`" in LISTED
    assert (code.scheme, code.value) in IN_A_GROUP or code.scheme == "UCUM" or listed
    assert coding.faults(code) == []


def test_regions_are_body_parts_of_cid_4031() -> None:
    body_parts = {
        value
        for values in concepts["SCT"].values()
        for value, (_meaning, groups) in values.items()
        if 4031 in groups
    }
    assert {region.code.value for region in REGIONS.values()} <= body_parts
