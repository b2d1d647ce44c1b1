"""Landmarks and regions of the body as Comprehensive 3D SRs, TID 1500 (PS3.16), in series of their own.

One TID 1501 group for each slice that shows something, with the slice as the source image of the group,
as the published annotations of NLST and NSCLC-Radiomics have it (Krishnaswamy et al., Sci Data 2024,
11:25). A landmark is a Finding Site of its group with its topographical modifier, in the template's row
for it; a region is a qualitative evaluation "Target Region". Unlike the published ones, each group has a
Tracking UID of its own, and there is no group for a slice that shows nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from highdicom.sr import (
    AlgorithmIdentification,
    FindingSite,
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes

from algorithms.protocol import Code, Findings, Landmark, Region
from node.outbound.coding import concept
from node.outbound.equipment import Provenance, Role
from node.outbound.sr import document

TARGET_REGION: Final = Code("123014", "DCM", "Target Region")

_Shown = TypeVar("_Shown", Landmark, Region)


def encode_landmarks(findings: Findings, sources: Sequence[Dataset], provenance: Provenance) -> Dataset:
    """Encode the landmarks of the findings.

    Args:
        findings: with at least one landmark.
        sources: the headers of the image, in slice order.
        provenance: who found them.

    Raises:
        ValueError: there is no landmark, or one lies on a slice that is none of the image.
    """
    by_slice = landmarks_by_slice(findings)
    groups = [
        _group("landmarks", number, source, provenance, sites=[_site(mark) for mark in by_slice[uid]])
        for number, (uid, source) in enumerate(_shown(by_slice, sources), start=1)
    ]
    return document("landmarks", groups, sources, provenance, description="landmarks")


def encode_regions(findings: Findings, sources: Sequence[Dataset], provenance: Provenance) -> Dataset:
    """Encode the regions of the findings.

    Args:
        findings: with at least one region that a slice shows.
        sources: the headers of the image, in slice order.
        provenance: who found them.

    Raises:
        ValueError: no slice shows a region, or one that does is none of the image.
    """
    by_slice = regions_by_slice(findings)
    groups = [
        _group("regions", number, source, provenance, regions=[r.code for r in by_slice[uid]])
        for number, (uid, source) in enumerate(_shown(by_slice, sources), start=1)
    ]
    return document("regions", groups, sources, provenance, description="regions")


def landmarks_by_slice(findings: Findings) -> dict[str, list[Landmark]]:
    """The landmarks on each slice, by its SOP Instance UID."""
    found: dict[str, list[Landmark]] = {}
    for mark in findings.landmarks:
        found.setdefault(mark.sop_instance_uid, []).append(mark)
    return found


def regions_by_slice(findings: Findings) -> dict[str, list[Region]]:
    """The regions that each slice shows, by its SOP Instance UID."""
    found: dict[str, list[Region]] = {}
    for region in findings.regions:
        for uid in region.sop_instance_uids:
            found.setdefault(uid, []).append(region)
    return found


def tracking_identifier(role: Role, number: int) -> str:
    """The name of a group for people, `number` from 1 in slice order."""
    return f"Annotations group {role} {number}"


def tracking_uid(role: Role, sop_instance_uid: str, provenance: Provenance) -> str:
    """The Tracking UID of the group of a slice."""
    return provenance.uid(f"{role}/{sop_instance_uid}")


def _shown(by_slice: Mapping[str, list[_Shown]], sources: Sequence[Dataset]) -> list[tuple[str, Dataset]]:
    """The slices that show something, in slice order."""
    shown = [(str(s.SOPInstanceUID), s) for s in sources if str(s.SOPInstanceUID) in by_slice]
    if strangers := by_slice.keys() - {uid for uid, _ in shown}:
        raise ValueError(f"slice {min(strangers)} is none of the image")
    if not shown:
        raise ValueError("there is nothing to report")
    return shown


def _site(mark: Landmark) -> FindingSite:
    return FindingSite(
        anatomic_location=concept(mark.code),
        topographical_modifier=concept(mark.modifier) if mark.modifier else None,
    )


def _group(
    role: Role,
    number: int,
    source: Dataset,
    provenance: Provenance,
    *,
    sites: Sequence[FindingSite] = (),
    regions: Sequence[Code] = (),
) -> MeasurementsAndQualitativeEvaluations:
    uid = str(source.SOPInstanceUID)
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=tracking_uid(role, uid, provenance), identifier=tracking_identifier(role, number)
        ),
        finding_sites=list(sites) or None,
        algorithm_id=AlgorithmIdentification(
            name=provenance.algorithm,
            version=provenance.version,
            family=codes.DCM.ArtificialIntelligence,
        ),
        qualitative_evaluations=[
            QualitativeEvaluation(name=concept(TARGET_REGION), value=concept(code)) for code in regions
        ]
        or None,
        source_images=[SourceImageForMeasurementGroup(str(source.SOPClassUID), uid)],
    )
