"""Arrivals and matches that no DICOM file stands behind."""

from datetime import UTC, datetime

from node.inbound.instances import Instance, Outcome, Stored
from node.jobs.routing import Match


def arrival(
    number: int,
    *,
    study: str = "1.2",
    series: str = "1.2.3",
    outcome: Outcome = Outcome.NEW,
    own: bool = False,
) -> Stored:
    sop = f"{series}.{number}"
    instance = Instance(
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=sop,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=f"{study}/{series}/{sop}.dcm",
        size=1000,
        sha256=f"{number:064}",
        calling_ae_title="SCANNER",
        received_at=datetime.now(UTC),
        own_result=own,
        attributes={"PatientID": "P", "Modality": "CT"},
    )
    return Stored(instance, outcome)


def wanted(*sop_instance_uids: str, route: str = "chest", series: str = "1.2.3") -> tuple[Match, str]:
    match = Match(
        route=route,
        series_instance_uid=series,
        sop_instance_uids=sop_instance_uids,
        algorithm="chest-ct-annotation",
        options={},
        priority="routine",
        destinations=("pacs",),
        reason="it is a chest CT",
        not_before=None,
    )
    return match, "0.1.0"
