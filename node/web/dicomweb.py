"""Search for studies by DICOMweb (QIDO-RS, PS3.18 10.6), and by similarity as an extension of it."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from node.config import MANUFACTURER
from node.jobs.index import StudyRecord
from node.jobs.matching import KEYS, BadQuery
from node.web.rooms import Entered, Rooms

router = APIRouter(prefix="/dicom-web", tags=["DICOMweb"])

SIMILAR_TO: Final = "similar-to"
"""The extension parameter: a Study Instance UID; studies come back in the order of their similarity to it."""

_MOST: Final = 1000
"""Studies in one answer, and how many of the nearest series are looked at."""

_KNOWN: Final = (SIMILAR_TO, "limit", "offset", "includefield", "fuzzymatching")
_KEPT: Final = (
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDescription",
)

Element = dict[str, Any]


@router.get("/studies")
def studies(rooms: Entered, request: Request) -> Response:
    """Studies as PS3.18 10.6 asks for: attributes as keys, `limit`, `offset`; and `similar-to`, a UID.

    With `similar-to` the most similar study comes first, each with its similarity, the cosine of two
    embeddings, as (0009,xx01) of private creator "AI Node".
    """
    parameters = dict(request.query_params)
    keys, ignored = _keys(parameters)
    limit = _whole(parameters, "limit", _MOST) or _MOST
    offset = _whole(parameters, "offset", 0)
    if SIMILAR_TO in parameters:
        found = _similar(rooms, parameters[SIMILAR_TO], keys)[offset:][:limit]
    else:
        found = [(uid, None) for uid in rooms.matching.studies(keys, min(limit, _MOST), offset)]
    listed = [(rooms.index.study(uid), similarity) for uid, similarity in found]
    answer = [_study(study, similarity) for study, similarity in listed if study]
    headers = {}
    if ignored:
        headers["Warning"] = f'299 ainode "these parameters are not supported: {", ".join(ignored)}"'
    if not answer:
        return Response(status_code=204, headers=headers)
    return JSONResponse(answer, headers=headers, media_type="application/dicom+json")


def _similar(rooms: Rooms, uid: str, keys: Mapping[str, str]) -> list[tuple[str, float | None]]:
    """Studies by the most similar of their series, of those that match the keys."""
    nearest = rooms.gallery.nearest(rooms.gallery.embedding(uid), uid, _MOST)
    best: dict[str, float | None] = {}
    for series in nearest:
        best.setdefault(series.study_instance_uid, series.similarity)
    if keys:
        matching = set(rooms.matching.studies(keys, _MOST, among=best))
        best = {study: similarity for study, similarity in best.items() if study in matching}
    return list(best.items())


def _keys(parameters: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The matching keys by keyword, and what is ignored (PS3.18 8.3: unsupported parameters shall be)."""
    keys, ignored = {}, []
    for name, value in parameters.items():
        keyword = keyword_for_tag(f"0x{name}") if len(name) == 8 and _is_hexadecimal(name) else name
        if keyword in KEYS:
            keys[keyword] = value
        elif name not in _KNOWN or (name == "fuzzymatching" and value == "true"):
            ignored.append(name if name.isalnum() and name.isascii() else "?")
    return keys, ignored


def _is_hexadecimal(name: str) -> bool:
    return all(letter in "0123456789abcdefABCDEF" for letter in name)


def _whole(parameters: Mapping[str, str], name: str, usual: int) -> int:
    """A parameter that counts.

    Raises:
        BadQuery: it is no whole number, or below zero.
    """
    value = parameters.get(name, str(usual))
    if not (value.isascii() and value.isdigit()) or len(value) > 9:
        raise BadQuery(f"{name}={value} is no whole number")
    return int(value)


def _study(study: StudyRecord, similarity: float | None) -> dict[str, Element]:
    """A study in the DICOM JSON model (PS3.18 F): those attributes of Table 10.6.3-3 that are known."""
    held = {keyword: study.attributes[keyword] for keyword in _KEPT if study.attributes.get(keyword)}
    values: dict[str, list[Any]] = {
        **{keyword: [value] for keyword, value in held.items()},
        "StudyInstanceUID": [study.study_instance_uid],
        "InstanceAvailability": ["ONLINE"],
        "ModalitiesInStudy": list(study.modalities),
        "NumberOfStudyRelatedSeries": [study.series],
        "NumberOfStudyRelatedInstances": [study.instances],
    }
    elements = {_tag(keyword): _element(keyword, several) for keyword, several in values.items()}
    if similarity is not None:
        elements["00090010"] = {"vr": "LO", "Value": [MANUFACTURER]}
        elements["00091001"] = {"vr": "FD", "Value": [similarity]}
    return dict(sorted(elements.items()))


def _tag(keyword: str) -> str:
    return f"{tag_for_keyword(keyword):08X}"


def _element(keyword: str, values: list[Any]) -> Element:
    vr = dictionary_VR(keyword)
    if vr == "PN":
        groups = ("Alphabetic", "Ideographic", "Phonetic")
        values = [
            {group: part for group, part in zip(groups, value.split("="), strict=False) if part}
            for value in values
        ]
    return {"vr": vr, "Value": values}
