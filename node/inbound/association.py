"""DICOM associations: Storage and Verification SCP (PS3.4 annexes B and A). The only door to pynetdicom.

What a C-STORE is answered (PS3.4 Table B.2-1; PS3.7 section 9.1.1); a refusal carries the reason in Error
Comment (0000,0902):

    0x0000  stored, and durable; or the same bytes were there already; or other bytes were, and these are
            kept beside them for a person
    0xA700  out of resources: the disk of the spool is full
    0xA701  out of resources: the disk of the spool fails
    0xA702  out of resources: larger than the node takes
    0xA900  dataset and request name different SOP classes or instances
    0xC001  cannot understand: a UID is missing or is no UID
    0xC210  cannot understand: the dataset ends too early, or is none
    0xC211  cannot understand: the node failed in a way nobody foresaw (pynetdicom's answer)

Datasets are received in memory, not in pynetdicom's chunks: these go to a second file outside the spool,
and where its disk is full the association breaks without a status.
"""

import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import cast
from uuid import uuid4

import structlog
from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import VerificationPresentationContexts
from pynetdicom.transport import ThreadedAssociationServer

from node.config import Dicom
from node.errors import ConfigurationError, NoSpace, Rejected, TooLarge
from node.inbound.instances import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    Outcome,
    Spool,
    Stored,
)

ACSE_TIMEOUT_SECONDS = 30
DIMSE_TIMEOUT_SECONDS = 60
NETWORK_TIMEOUT_SECONDS = 120

_DISK_FAILS = 0xA701
_REJECTIONS: dict[tuple[int | None, int | None], str] = {
    (1, 3): "calling AE title not allowed",
    (1, 7): "called AE title not ours",
    (3, 2): "too many associations",
}

_log = structlog.get_logger(__name__)


class Listener:
    """Receives instances into the spool, on threads of its own.

    Every storage SOP class and transfer syntax is accepted, private and unknown ones included. While it
    runs, this holds for every acceptor in the process: pynetdicom has one switch for it.

    Args:
        settings: address, AE titles and limits.
        spool: where instances go.
        on_stored: called with what was stored and the association's key, before the sender is answered;
            it must not raise.
        on_association_end: called with the key once for each accepted association, after the last
            `on_stored` of it, however it ended, and with whether it was whole: released, and nothing was
            refused for want of room.
    """

    def __init__(
        self,
        settings: Dicom,
        spool: Spool,
        on_stored: Callable[[Stored, str], None],
        on_association_end: Callable[[str, bool], None],
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._on_stored = on_stored
        self._on_association_end = on_association_end
        self._accepted: dict[Association, _Accepted] = {}
        self._watchers: set[threading.Thread] = set()
        self._server: ThreadedAssociationServer | None = None

    def start(self) -> None:
        """Listen, and return at once.

        Raises:
            ConfigurationError: the port or the address cannot be had.
        """
        _quiet_pynetdicom()
        _config.UNRESTRICTED_STORAGE_SERVICE = True
        host, port = self._settings.host, self._settings.port
        try:
            self._server = self._application_entity().start_server(
                (host, port),
                block=False,
                evt_handlers=[
                    (evt.EVT_CONN_OPEN, _set_socket_options),
                    (evt.EVT_CONN_CLOSE, self._closed),
                    (evt.EVT_REQUESTED, _prefer_public_transfer_syntaxes),
                    (evt.EVT_REJECTED, _log_rejection),
                    (evt.EVT_ESTABLISHED, self._established),
                    (evt.EVT_PDU_RECV, self._bound_memory),
                    (evt.EVT_C_STORE, self._store),
                ],
            )
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on DICOM port {port} of {host}: {error.strerror}; "
                "choose another with dicom.port (AINODE__DICOM__PORT)"
            ) from error
        _log.info("listener.started", host=host, port=port, ae_title=self._settings.ae_title)

    def stop(self) -> None:
        """Close the port, abort what is open, and return when every association has ended."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.shutdown()
        for association in server.active_associations:
            if association in self._accepted:
                # By itself it would wait for a sender that fell silent within a PDU.
                threading.Thread(target=association.abort, daemon=True).start()
            else:
                _stop_waiting(association)
            association.join()
        for watcher in tuple(self._watchers):
            watcher.join()
        _config.UNRESTRICTED_STORAGE_SERVICE = False
        _log.info("listener.stopped", port=self._settings.port)

    def _application_entity(self) -> AE:
        entity = AE(self._settings.ae_title)
        entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        entity.require_called_aet = True
        entity.require_calling_aet = list(self._settings.calling_ae_titles)
        entity.maximum_associations = self._settings.max_associations
        entity.maximum_pdu_size = self._settings.max_pdu_bytes
        entity.acse_timeout = ACSE_TIMEOUT_SECONDS
        entity.dimse_timeout = DIMSE_TIMEOUT_SECONDS
        entity.network_timeout = NETWORK_TIMEOUT_SECONDS
        entity.supported_contexts = VerificationPresentationContexts
        return entity

    def _closed(self, event: evt.Event) -> None:
        """Let go of a connection that closed without a request, as those of port checks do."""
        if event.assoc not in self._accepted:
            _stop_waiting(event.assoc)

    def _established(self, event: evt.Event) -> None:
        accepted = _Accepted(uuid4().hex, event.assoc.requestor.ae_title)
        self._accepted[event.assoc] = accepted
        _log.info(
            "association.accepted",
            association=accepted.key,
            calling_ae_title=accepted.calling_ae_title,
            address=event.assoc.requestor.address,
        )
        watcher = threading.Thread(target=self._watch, args=(event.assoc,), daemon=True)
        self._watchers.add(watcher)
        watcher.start()

    def _watch(self, association: Association) -> None:
        """Report the end of an association.

        Its thread ends after the last store, whether it was released, aborted, cut off or broken inside
        pynetdicom; the events of pynetdicom miss the last, and may come before a store is done.
        """
        association.join()
        accepted = self._accepted.pop(association)
        _log.info(
            "association.ended",
            association=accepted.key,
            calling_ae_title=accepted.calling_ae_title,
            released=association.is_released,
            **accepted.counts,
        )
        whole = association.is_released and not accepted.counts["no room"]
        self._on_association_end(accepted.key, whole)
        self._watchers.discard(threading.current_thread())

    def _bound_memory(self, event: evt.Event) -> None:
        """Let go of a dataset that has become too large, and of what still comes of it."""
        message = event.assoc.dimse.message
        received = message.data_set.tell() if message and message.data_set else 0
        if message and received > self._settings.max_instance_bytes:
            message.data_set = _Discarded()

    def _store(self, event: evt.Event) -> Dataset:
        accepted = self._accepted[event.assoc]
        request = cast(C_STORE, event.request)
        log = _log.bind(
            association=accepted.key,
            calling_ae_title=accepted.calling_ae_title,
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
        )
        try:
            if isinstance(request.DataSet, _Discarded):
                raise TooLarge(f"more than the {self._settings.max_instance_bytes} bytes taken")
            stored = self._spool.store(
                cast(BytesIO, request.DataSet).getvalue(),
                sop_class_uid=str(request.AffectedSOPClassUID),
                sop_instance_uid=str(request.AffectedSOPInstanceUID),
                transfer_syntax_uid=str(event.context.transfer_syntax),
                calling_ae_title=accepted.calling_ae_title,
            )
        except Rejected as error:
            accepted.counts["no room" if isinstance(error, NoSpace) else "refused"] += 1
            log.warning("instance.refused", status=f"{error.status:#06x}", reason=str(error))
            return _answer(error.status, str(error))
        except OSError as error:
            accepted.counts["no room"] += 1
            log.exception("instance.refused", status=f"{_DISK_FAILS:#06x}", reason=str(error))
            return _answer(_DISK_FAILS, "the disk of the spool fails")
        accepted.counts[stored.outcome.name.lower()] += 1
        if stored.outcome is Outcome.CONFLICT:
            log.warning("instance.conflict", kept=stored.instance.path)
        self._on_stored(stored, accepted.key)
        return _answer(0x0000)


@dataclass(frozen=True)
class _Accepted:
    """An accepted association, known by a key of its own: threads and addresses come again."""

    key: str
    calling_ae_title: str
    counts: Counter[str] = field(default_factory=Counter)


class _Discarded(BytesIO):
    """A dataset that is no longer kept, so that its sender can still be answered."""

    def write(self, fragment: bytes, /) -> int:  # type: ignore[override]
        return len(fragment)


def _quiet_pynetdicom() -> None:
    """Only warnings and errors; its ordinary messages show what is in requests."""
    _config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.WARNING)


def _stop_waiting(association: Association) -> None:
    """End the wait for an A-ASSOCIATE-RQ, which pynetdicom would go on with until its timer runs out."""
    association.dul.to_user_queue.put(None)


def _set_socket_options(event: evt.Event) -> None:
    """Answer at once, and do not wait forever within a PDU for a sender that is gone."""
    if connection := event.assoc.dul.socket and event.assoc.dul.socket.socket:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(NETWORK_TIMEOUT_SECONDS)


def _prefer_public_transfer_syntaxes(event: evt.Event) -> None:
    """The first one proposed is taken: let that be a private one only where there is no other."""
    request = cast(A_ASSOCIATE, event.assoc.requestor.primitive)
    for context in request.presentation_context_definition_list:
        context.transfer_syntax = sorted(
            context.transfer_syntax, key=lambda uid: not str(uid).startswith("1.2.840.10008.")
        )


def _log_rejection(event: evt.Event) -> None:
    request = cast(A_ASSOCIATE, event.assoc.requestor.primitive)
    answer = cast(A_ASSOCIATE, event.assoc.acceptor.primitive)
    _log.warning(
        "association.rejected",
        calling_ae_title=request.calling_ae_title,
        called_ae_title=request.called_ae_title,
        address=event.assoc.requestor.address,
        reason=_REJECTIONS.get((answer.result_source, answer.diagnostic), "not negotiable"),
    )


def _answer(status: int, comment: str = "") -> Dataset:
    """Status and, with a refusal, Error Comment (0000,0902): 64 characters of ASCII, one value."""
    answer = Dataset()
    answer.Status = status
    if comment:
        answer.ErrorComment = comment.encode("ascii", "replace").decode().replace("\\", "/")[:64]
    return answer
