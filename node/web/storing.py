"""Store a photograph by DICOMweb (STOW-RS, PS3.18 10.5): metadata, and a JPEG or PNG as its bulk data.

The request is `multipart/related; type="application/dicom+json"`. Its metadata says who the patient is, and
its Pixel Data (7FE0,0010) names the part with the picture by BulkDataURI. What comes of it goes to this
node's own listener, by the way of all other images.
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydicom import Dataset
from pydicom.multival import MultiValue

from node.config import Dicom
from node.errors import Transient, UnsuitableImage
from node.inbound import pictures
from node.inbound.visible_light import VL_PHOTOGRAPHIC
from node.inbound.volumes import UNDECODABLE
from node.outbound import delivery
from node.outbound.sending import Peer
from node.web.rooms import Entered

router = APIRouter(prefix="/dicom-web", tags=["DICOMweb"])

METADATA: Final = "application/dicom+json"

MOST_BYTES: Final = 1 << 26
"""Of a request; twice the largest JPEG of a camera of 100 megapixels."""

_PIXEL_DATA: Final = "7FE00010"
_CANNOT_UNDERSTAND: Final = 0xC000
"""Failure Reason (0008,1197), PS3.18 Annex I.2.2."""


@dataclass(frozen=True)
class Part:
    """A part of a multipart message."""

    content_type: str
    location: str
    content: bytes


@router.post("/studies")
async def store(rooms: Entered, request: Request) -> Response:
    """Photographs as metadata and bulk data; answers as PS3.18 10.5.3 asks."""
    return await _store(rooms.settings.dicom, request, None)


@router.post("/studies/{study_instance_uid}")
async def store_in_study(rooms: Entered, request: Request, study_instance_uid: str) -> Response:
    """The same, of one study."""
    return await _store(rooms.settings.dicom, request, study_instance_uid)


async def _store(dicom: Dicom, request: Request, study: str | None) -> Response:
    parts = parts_of(await _body(request), request.headers.get("content-type", ""))
    metadata, bulk = _sorted(parts)
    return await run_in_threadpool(_store_each, dicom, metadata, bulk, study)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the request has more than {MOST_BYTES} bytes"
            )
    return bytes(body)


def parts_of(body: bytes, content_type: str) -> list[Part]:
    """The parts of a message of metadata and bulk data (RFC 2387, PS3.18 8.6.1.2).

    Raises:
        HTTPException: 415 for another kind of message, 400 where there are no parts.
    """
    kind = _header("Content-Type", content_type)
    boundary = kind.get_param("boundary")
    if kind.get_content_type() != "multipart/related" or kind.get_param("type") != METADATA:
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f'photographs are stored as multipart/related; type="{METADATA}" with image/jpeg or image/png',
        )
    if not isinstance(boundary, str) or not boundary:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the message names no boundary")
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the message has no parts, or no end")
    return [_part(piece) for piece in pieces[1:-1]]


def _header(name: str, value: str) -> Message:
    message = Message()
    message[name] = value.replace("\r", " ").replace("\n", " ")
    return message


def _part(piece: bytes) -> Part:
    head, _, content = piece.partition(b"\r\n\r\n")
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head.decode("latin-1").split("\r\n"))
    }
    kind = _header("Content-Type", fields.get("content-type", "")).get_content_type()
    return Part(kind, fields.get("content-location", ""), content)


def _sorted(parts: list[Part]) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """The metadata of each photograph, and the pictures by their location."""
    metadata: list[dict[str, Any]] = []
    for part in parts:
        if part.content_type == METADATA:
            metadata += _objects(part.content)
    bulk = {part.location: part.content for part in parts if part.content_type != METADATA}
    if not metadata:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the message has no metadata")
    return metadata, bulk


def _objects(content: bytes) -> list[dict[str, Any]]:
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    listed = found if isinstance(found, list) else [found]
    if not all(isinstance(each, dict) for each in listed):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the metadata is not in the DICOM JSON model")
    return listed


def _store_each(
    dicom: Dicom, metadata: list[dict[str, Any]], bulk: Mapping[str, bytes], study: str | None
) -> Response:
    stored: list[Dataset] = []
    failed: list[str] = []
    for each in metadata:
        try:
            stored.append(_wrapped(each, bulk, study))
        except UnsuitableImage as error:
            failed.append(str(error))
    if stored:
        _hand_on(stored, dicom)
    answer = Dataset()
    answer.ReferencedSOPSequence = [_reference(instance) for instance in stored]
    if failed:
        answer.FailedSOPSequence = [_failure() for _ in failed]
    status = HTTPStatus.CONFLICT if not stored else HTTPStatus.ACCEPTED if failed else HTTPStatus.OK
    reasons = {"Warning": f'299 ainode "{"; ".join(failed)}"'} if failed else None
    return JSONResponse(answer.to_json_dict(), status, headers=reasons, media_type=METADATA)


def _wrapped(metadata: dict[str, Any], bulk: Mapping[str, bytes], study: str | None) -> Dataset:
    """A VL Photographic Image of the metadata and the picture that it names.

    Raises:
        UnsuitableImage: there is no such picture, or it cannot be wrapped.
    """
    pixels = metadata.get(_PIXEL_DATA)
    location = str(pixels.get("BulkDataURI")) if isinstance(pixels, dict) else ""
    if location not in bulk:
        raise UnsuitableImage("the Pixel Data of the metadata names no part of the message by BulkDataURI")
    said = _said({tag: element for tag, element in metadata.items() if tag != _PIXEL_DATA})
    if study and said.setdefault("StudyInstanceUID", study) != study:
        raise UnsuitableImage("the metadata is of another study than the address")
    return pictures.wrap(bulk[location], said)


def _said(metadata: dict[str, Any]) -> dict[str, str]:
    """What the metadata says of patient and study; what it says of the pixels, the picture shows itself."""
    try:
        described = Dataset.from_json(metadata)
        sop_class = str(described.get("SOPClassUID") or VL_PHOTOGRAPHIC)
        values = {keyword: described.get(keyword) for keyword in pictures.FROM_THE_REQUEST}
    except UNDECODABLE:
        raise UnsuitableImage("the metadata is not in the DICOM JSON model") from None
    if sop_class != VL_PHOTOGRAPHIC:
        raise UnsuitableImage(f"a photograph is stored as VL Photographic Image, {VL_PHOTOGRAPHIC}")
    if several := [keyword for keyword, value in values.items() if isinstance(value, MultiValue)]:
        raise UnsuitableImage(f"the {several[0]} of the request has several values")
    return {keyword: str(value) for keyword, value in values.items() if value not in (None, "")}


def _hand_on(stored: list[Dataset], dicom: Dicom) -> None:
    """Send to this node's listener.

    Raises:
        Transient: it does not take them.
    """
    with tempfile.TemporaryDirectory(prefix="ainode-photograph-") as folder:
        for number, instance in enumerate(stored):
            Path(folder, f"{number}.dcm").write_bytes(pictures.written(instance))
        report = delivery.send_folder(
            Path(folder), Peer(dicom.ae_title, dicom.host, dicom.port), dicom.ae_title
        )
    if report.failed:
        raise Transient(f"the listener did not take {len(report.failed)} of {len(stored)} photographs")


def _reference(instance: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = instance.SOPClassUID
    item.ReferencedSOPInstanceUID = instance.SOPInstanceUID
    return item


def _failure() -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = VL_PHOTOGRAPHIC
    item.FailureReason = _CANNOT_UNDERSTAND
    return item
