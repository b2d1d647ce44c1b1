"""The table of 117 structures, and label maps as segments."""

import csv
from pathlib import Path

import numpy as np
from pydicom.sr._concepts_dict import concepts

from algorithms.ct_fm.structures import segments, structures
from algorithms.terminology import LEFT, RIGHT
from node.outbound import coding

CARD = Path(__file__).resolve().parents[4] / "docs" / "model-cards" / "ct-fm-wholebody.md"
IN_A_GROUP = {
    value for values in concepts["SCT"].values() for value, (_meaning, groups) in values.items() if groups
}


def test_each_channel_has_a_structure_of_its_own() -> None:
    known = structures()
    assert [structure.channel for structure in known] == list(range(1, 118))
    assert len({structure.name for structure in known}) == 117
    assert len({(s.type.value, s.laterality, s.site) for s in known}) == 117


def test_names_and_channels_are_those_of_the_authors_of_the_labels(shared_data: Path) -> None:
    table = shared_data / "ct-labelled-totalsegmentator" / "labels_total.csv"
    with table.open() as rows:
        theirs = [tuple(row.values()) for row in csv.DictReader(rows)]
    assert [(int(number), name) for number, name, *_ in theirs] == [(s.channel, s.name) for s in structures()]


def test_codes_are_valid_and_what_is_in_no_context_group_is_listed() -> None:
    card = CARD.read_text()
    for structure in structures():
        for code in filter(None, (structure.type, structure.site, structure.laterality)):
            assert coding.faults(code) == []
            assert code.value in IN_A_GROUP or f"({code.value}, SCT)" in card
        assert coding.category_faults(structure.category) == []
        assert all(0 <= value <= 255 for value in structure.rgb)


def test_sides_are_those_of_the_names() -> None:
    for structure in structures():
        sides = {side for side in ("left", "right") if side in structure.name.split("_")}
        if structure.type.value == "72481006":  # the middle lobe, whose type says so
            continue
        assert structure.laterality == {"left": LEFT, "right": RIGHT}.get(next(iter(sides), ""))


def test_a_cyst_is_in_a_kidney_and_no_part_of_the_body() -> None:
    cysts = [structure for structure in structures() if structure.site]
    assert [(c.name, c.site and c.site.meaning) for c in cysts] == [
        ("kidney_cyst_left", "Kidney"),
        ("kidney_cyst_right", "Kidney"),
    ]
    assert {cyst.category.meaning for cyst in cysts} == {"Morphologically Abnormal Structure"}


def test_segments_cover_the_labels_and_nothing_else() -> None:
    labels = np.zeros((6, 9, 11), dtype=np.uint8)
    labels[1:3, 2:5, 4], labels[4, 0, 0], labels[5, 8, 10] = 5, 117, 5
    found = segments(labels, structures())
    assert [segment.label for segment in found] == ["liver", "costal_cartilages"]
    for segment, channel in zip(found, (5, 117), strict=True):
        assert np.array_equal(segment.on_grid(labels.shape), labels == channel)
