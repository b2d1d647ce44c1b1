from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread

from algorithms.protocol import Findings, Region
from node.outbound import equipment, slices_sr, sr_reading
from node.outbound.equipment import Role
from node.outbound.sr_reading import Group, Site
from tests.synthetic_findings import ABDOMEN, CENTER, CHEST, KIDNEY, L1, LIVER, TOP, findings
from tests.synthetic_series import provenance, series


def report(role: Role) -> Dataset:
    volume, sources = series()
    encode = {"landmarks": slices_sr.encode_landmarks, "regions": slices_sr.encode_regions}[role]
    dataset = encode(findings(volume), sources, provenance(volume))
    return dcmread(BytesIO(equipment.encoded(role, dataset).content))


def groups(role: Role) -> list[Group]:
    return sr_reading.groups(report(role))


def test_each_slice_that_shows_something_has_one_group_that_names_it() -> None:
    volume, _ = series()
    uids = volume.sop_instance_uids
    assert [group.images for group in groups("landmarks")] == [(uids[1],), (uids[3],)]
    assert [group.images for group in groups("regions")] == [(uid,) for uid in uids[:4]]


def test_landmarks_are_finding_sites_with_their_topographical_modifier() -> None:
    upper, lower = groups("landmarks")
    assert upper.sites == (Site(LIVER, None, TOP),)
    assert lower.sites == (Site(L1, None, CENTER), Site(KIDNEY))
    assert upper.evaluations == lower.evaluations == ()


def test_regions_are_all_target_regions_of_the_slice() -> None:
    target = slices_sr.TARGET_REGION
    assert [group.evaluations for group in groups("regions")] == [
        ((target, ABDOMEN),),
        ((target, ABDOMEN),),
        ((target, ABDOMEN), (target, CHEST)),
        ((target, CHEST),),
    ]


@pytest.mark.parametrize("role", ["landmarks", "regions"])
def test_no_two_groups_are_tracked_as_one(role: Role) -> None:
    tracking = [group.tracking_uid for group in groups(role)]
    assert len(set(tracking)) == len(tracking)


def test_the_series_are_told_apart() -> None:
    landmarks, regions = report("landmarks"), report("regions")
    assert (landmarks.SeriesNumber, regions.SeriesNumber) == (9004, 9003)
    assert landmarks.SeriesDescription == "AI chest-ct-annotation landmarks"
    assert regions.SeriesDescription == "AI chest-ct-annotation regions"
    assert landmarks.SeriesInstanceUID != regions.SeriesInstanceUID


def test_every_slice_is_evidence() -> None:
    volume, _ = series()
    (study,) = report("regions").CurrentRequestedProcedureEvidenceSequence
    (listed,) = study.ReferencedSeriesSequence
    images = [item.ReferencedSOPInstanceUID for item in listed.ReferencedSOPSequence]
    assert images == list(volume.sop_instance_uids)


def test_a_slice_that_is_none_of_the_image_is_refused() -> None:
    volume, sources = series()
    found = replace(findings(volume), regions=(Region("chest", CHEST, ("2.25.9",)),))
    with pytest.raises(ValueError, match=r"slice 2\.25\.9 is none of the image"):
        slices_sr.encode_regions(found, sources, provenance(volume))


def test_nothing_found_is_no_report() -> None:
    volume, sources = series()
    with pytest.raises(ValueError, match="nothing to report"):
        slices_sr.encode_landmarks(Findings(), sources, provenance(volume))
