"""What an archive's answer means: stored, try again, or refused for good."""

import json
from http import HTTPStatus
from typing import Final

from pydicom import Dataset

from node.errors import DestinationRefused, Transient

_SUCCESS = 0x0000
_DUPLICATE = 0x0111
_WARNINGS = frozenset({0xB000, 0xB006, 0xB007})
_OUT_OF_RESOURCES = range(0xA700, 0xA800)

TRY_AGAIN: Final = frozenset({401, 403, 404, 408, 425, 429})
"""HTTP answers that end when somebody mends an account, a proxy or an address; so does every 5xx."""


def judge_status(status: int | None, name: str, comment: str = "") -> None:
    """Sort a storage status (PS3.4 Table B.2-1, PS3.7 Annex C); stored already is as good as stored.

    `comment` is the peer's Error Comment (0000,0902), which says more than the status.

    Raises:
        Transient: no answer, or out of resources (0xA7xx).
        DestinationRefused: any other failure.
    """
    if status is None:
        raise Transient(f"{name} does not answer")
    if status in {_SUCCESS, _DUPLICATE, *_WARNINGS}:
        return
    why = f"{spelled(status)}: {comment}" if comment else spelled(status)
    if status in _OUT_OF_RESOURCES:
        raise Transient(f"{name} is out of resources ({why})")
    raise DestinationRefused(f"{name} refuses the instance with status {why}")


def stow_body(content: bytes) -> Dataset:
    """The body of an answer to STOW-RS; an empty dataset if it is not DICOM JSON."""
    try:
        return Dataset.from_json(json.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Dataset()


def judge_stow(answer: Dataset, http_status: int, uid: str, name: str) -> None:
    """Believe what the body says of an instance (PS3.18 10.5.3), and the HTTP code if it says nothing.

    A server may answer 400 to what it stored, or 200 to what it lost.

    Raises:
        Transient: out of resources, or an HTTP error that ends by itself.
        DestinationRefused: any other failure.
    """
    if uid in {item.get("ReferencedSOPInstanceUID") for item in answer.get("ReferencedSOPSequence", ())}:
        return
    for item in answer.get("FailedSOPSequence", ()):
        if item.get("ReferencedSOPInstanceUID") == uid:
            judge_status(item.get("FailureReason"), name)
            return
    if http_status >= HTTPStatus.INTERNAL_SERVER_ERROR or http_status in TRY_AGAIN:
        raise Transient(f"{name} answers with HTTP {http_status}")
    if http_status >= HTTPStatus.BAD_REQUEST:
        raise DestinationRefused(f"{name} refuses {uid} with HTTP {http_status}")


def spelled(status: int | None) -> str:
    """A DIMSE status as the standard writes it."""
    return "nothing" if status is None else f"0x{status:04X}"
