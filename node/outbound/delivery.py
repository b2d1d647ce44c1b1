"""Results on their way out: stored at a destination, and confirmed there. The door to the network.

STOW-RS goes first where a destination has it; C-STORE is the fallback, or the only way. What counts is
what the answer says of each instance, never an HTTP code alone, and then what a query finds.
"""

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final, Protocol

import requests
import structlog
from dicomweb_client import DICOMwebClient
from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from algorithms.protocol import Progress, silent
from node.config import Destination
from node.errors import AINodeError, ConfigurationError, DestinationRefused, Transient
from node.outbound import answers
from node.outbound.sending import Instance, Multipart, Peer, SendReport, batches, parse_peer, survey

__all__ = ["Peer", "SendReport", "deliver", "echo", "parse_peer", "query_dicomweb", "reach", "send_folder"]

log = structlog.get_logger()

# Files go out as the bytes they are, never decoded and encoded anew.
_config.STORE_SEND_CHUNKED_DATASET = True

CONNECT_SECONDS: Final = 5.0
MAX_PDU_BYTES: Final = 1 << 17
MAX_CONTEXTS: Final = 128
CONFIRM_AFTER_SECONDS: Final = (0.0, 0.2, 0.5, 1.0, 2.0)
"""Waits before each look for what was stored: some archives answer before they have indexed."""

_VERIFICATION = UID("1.2.840.10008.1.1")
_STUDY_ROOT_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")

_PENDING = frozenset({0xFF00, 0xFF01})


class _Way(Protocol):
    """A protocol by which a destination stores and is asked."""

    def store(self, instance: Instance) -> None:
        """Raises Transient or DestinationRefused unless the destination says that it took it."""

    def missing(self, instances: Sequence[Instance]) -> list[Instance] | None:
        """Those that a query does not find; None where the destination cannot be asked."""


def deliver(files: Sequence[Path], destination: Destination, calling_ae_title: str) -> None:
    """Store the objects of a run at a destination, reports after what they refer to, and confirm them.

    What is there already is not sent again.

    Args:
        files: Part 10 files; they are sent as they are. Of a run that gave none, nobody is asked.
        destination: by DICOMweb, DICOM, or both.
        calling_ae_title: who sends.

    Raises:
        Transient: it cannot be reached, is out of resources, or does not show what it took.
        DestinationRefused: it will not take an object, by any way that it has.
    """
    instances = sorted(map(Instance.read, files), key=lambda i: i.modality in {"SR", "KO"})
    problems: list[AINodeError] = []
    if not instances:
        return
    for link in _ways(destination, instances, calling_ae_title):
        try:
            with link as way:
                _store_and_confirm(way, instances, destination.name)
        except (Transient, DestinationRefused) as error:
            log.warning("not delivered", destination=destination.name, why=str(error))
            problems.append(error)
        else:
            return
    final = all(isinstance(problem, DestinationRefused) for problem in problems)
    raise (DestinationRefused if final else Transient)("; ".join(map(str, problems)))


def send_folder(folder: Path, peer: Peer, calling_ae_title: str, progress: Progress = silent) -> SendReport:
    """Send every DICOM file below a folder by C-STORE, in the transfer syntax that it has.

    Raises:
        ConfigurationError: the folder is missing or holds no DICOM file.
        Transient: the peer cannot be reached or refuses the association.
    """
    instances, failed, skipped = survey(folder)
    if not instances and not failed:
        raise ConfigurationError(f"{folder} holds no DICOM file; give a folder with DICOM Part 10 files")
    sent = 0
    for batch in batches(instances, MAX_CONTEXTS):
        with _association(peer, _contexts(batch), calling_ae_title, timeout=60.0) as association:
            for instance in batch:
                progress((sent + len(failed)) / len(instances), instance.path.name)
                try:
                    _c_store(association, instance, str(peer))
                    sent += 1
                except (Transient, DestinationRefused) as error:
                    failed.append((str(instance.path), str(error)))
    return SendReport(sent, tuple(failed), tuple(skipped))


def echo(host: str, port: int, ae_title: str, calling_ae_title: str) -> None:
    """C-ECHO.

    Raises:
        Transient: there is no answer, or it is not Success.
    """
    peer = Peer(ae_title, host, port)
    with _association(peer, [build_context(_VERIFICATION)], calling_ae_title, CONNECT_SECONDS) as association:
        status = association.send_c_echo().get("Status")
    if status != 0:
        raise Transient(f"{peer} answers C-ECHO with {answers.spelled(status)}")


def query_dicomweb(url: str) -> None:
    """Ask for a single study by QIDO-RS.

    Raises:
        Transient: there is no answer, or none that can be read.
    """
    with _by_dicomweb(url, CONNECT_SECONDS) as way:
        way.search()


def reach(destination: Destination, calling_ae_title: str) -> str:
    """Try every way to a destination, and say which answered.

    Raises:
        Transient: one does not answer.
    """
    answered = []
    if destination.dicomweb_url:
        query_dicomweb(destination.dicomweb_url)
        answered.append(f"QIDO-RS at {destination.dicomweb_url}")
    if peer := _peer(destination):
        echo(peer.host, peer.port, peer.ae_title, calling_ae_title)
        answered.append(f"C-ECHO at {peer}")
    return f"{' and '.join(answered)} answered"


def _ways(
    destination: Destination, instances: Sequence[Instance], calling_ae_title: str
) -> Iterator[AbstractContextManager[_Way]]:
    if destination.dicomweb_url:
        yield _by_dicomweb(destination.dicomweb_url, destination.timeout_seconds)
    if peer := _peer(destination):
        yield _by_dicom(peer, instances, calling_ae_title, destination.timeout_seconds)


def _store_and_confirm(way: _Way, instances: Sequence[Instance], name: str) -> None:
    absent = way.missing(instances)
    for instance in instances if absent is None else absent:
        way.store(instance)
    for seconds in CONFIRM_AFTER_SECONDS:
        time.sleep(seconds)
        absent = way.missing(instances)
        if absent is None:
            log.warning("stored, but the destination cannot be asked", destination=name)
        if not absent:
            return
    raise Transient(f"{name} took {absent[0].sop_instance_uid if absent else ''} but does not show it")


# DICOMweb


@dataclass(frozen=True)
class _Dicomweb:
    url: str
    client: DICOMwebClient
    session: requests.Session
    timeout: float

    def store(self, instance: Instance) -> None:
        # DICOMwebClient.store_instances would decode the instance and encode it anew, three times in memory.
        with Multipart.of(instance.path) as body, _http_trouble(self.url):
            answer = self.session.post(
                f"{self.client.base_url}/studies",
                data=body,
                headers={"Content-Type": Multipart.CONTENT_TYPE},
                # The first of the two also limits the wait of every send, which a busy archive exceeds.
                timeout=(self.timeout, self.timeout),
            )
        said = answers.stow_body(answer.content)
        answers.judge_stow(said, answer.status_code, instance.sop_instance_uid, self.url)

    def search(self) -> None:
        """Ask for any one study."""
        try:
            with _http_trouble(self.url):
                self.client.search_for_studies(limit=1)
        except requests.HTTPError as error:
            raise Transient(f"{self.url} answers a query with HTTP {error.response.status_code}") from None

    def missing(self, instances: Sequence[Instance]) -> list[Instance] | None:
        try:
            with _http_trouble(self.url):
                return [i for i in instances if not self._shows(i)]
        except requests.HTTPError as error:
            if error.response.status_code in {405, 501}:
                return None
            raise Transient(f"{self.url} answers a query with HTTP {error.response.status_code}") from None

    def _shows(self, instance: Instance) -> bool:
        try:
            found = self.client.search_for_instances(
                instance.study_instance_uid,
                instance.series_instance_uid,
                search_filters={"SOPInstanceUID": instance.sop_instance_uid},
            )
        except requests.HTTPError as error:
            # How some archives say that they do not have the study.
            if error.response.status_code == HTTPStatus.NOT_FOUND:
                return False
            raise
        return any(Dataset.from_json(f).get("SOPInstanceUID") == instance.sop_instance_uid for f in found)


@contextmanager
def _by_dicomweb(url: str, timeout: float) -> Iterator[_Dicomweb]:
    with requests.Session() as session:
        # The archive is in the house; a proxy to the internet has no business with it.
        session.trust_env = False
        try:
            client = DICOMwebClient(
                url.rstrip("/"),
                session=session,
                headers={"Accept": "application/dicom+json"},
                permissive_uid=True,
                timeout=(CONNECT_SECONDS, timeout),
            )
        except ValueError:
            raise ConfigurationError(f"{url} is no DICOMweb URL") from None
        client.set_http_retry_params(retry=False)
        yield _Dicomweb(url, client, session, timeout)


@contextmanager
def _http_trouble(url: str) -> Iterator[None]:
    """Trouble on the way is transient; an HTTP error is an answer and passes."""
    try:
        yield
    except requests.HTTPError:
        raise
    except requests.ConnectionError as error:
        raise Transient(f"{url} cannot be reached: {_cause(error)}") from None
    except requests.Timeout:
        raise Transient(f"{url} does not answer in time") from None
    except (requests.RequestException, ValueError, KeyError, SyntaxError) as error:
        raise Transient(f"{url} answers what is not DICOMweb: {error}") from None


def _cause(error: BaseException) -> str:
    """The innermost reason of a chain of errors, such as "Connection refused"."""
    while error.__context__ is not None:
        error = error.__context__
    return getattr(error, "strerror", None) or str(error)


# DICOM


@dataclass(frozen=True)
class _Dicom:
    peer: Peer
    association: Association

    def store(self, instance: Instance) -> None:
        _c_store(self.association, instance, str(self.peer))

    def missing(self, instances: Sequence[Instance]) -> list[Instance] | None:
        accepted = {str(context.abstract_syntax) for context in self.association.accepted_contexts}
        if _STUDY_ROOT_FIND not in accepted:
            return None
        shown = [self._shows(instance) for instance in instances]
        return None if None in shown else [i for i, s in zip(instances, shown, strict=True) if not s]

    def _shows(self, instance: Instance) -> bool | None:
        query = Dataset()
        query.QueryRetrieveLevel = "IMAGE"
        query.StudyInstanceUID = instance.study_instance_uid
        query.SeriesInstanceUID = instance.series_instance_uid
        query.SOPInstanceUID = instance.sop_instance_uid
        if not self.association.is_established:
            raise Transient(f"{self.peer} closed the association")
        shown = False
        status: int | None = None
        for answer, found in self.association.send_c_find(query, _STUDY_ROOT_FIND):
            status = answer.get("Status")
            if status in _PENDING and found is not None:
                shown |= found.get("SOPInstanceUID") == instance.sop_instance_uid
        if status is None:
            raise Transient(f"{self.peer} does not answer a query")
        return shown if status == 0 else None


@contextmanager
def _by_dicom(
    peer: Peer, instances: Sequence[Instance], calling_ae_title: str, timeout: float
) -> Iterator[_Dicom]:
    contexts = [*_contexts(instances), build_context(_STUDY_ROOT_FIND)]
    with _association(peer, contexts, calling_ae_title, timeout) as association:
        yield _Dicom(peer, association)


def _peer(destination: Destination) -> Peer | None:
    if destination.ae_title and destination.host and destination.port:
        return Peer(destination.ae_title, destination.host, destination.port)
    return None


@contextmanager
def _association(
    peer: Peer, contexts: Sequence[PresentationContext], calling_ae_title: str, timeout: float
) -> Iterator[Association]:
    """An association with a peer, released at the end.

    Raises:
        Transient: it is not reached, or does not want it.
        DestinationRefused: it accepts none of the presentation contexts.
    """
    entity = AE(ae_title=calling_ae_title)
    entity.connection_timeout = CONNECT_SECONDS
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = timeout
    try:
        association = entity.associate(
            peer.host,
            peer.port,
            contexts=list(contexts),
            ae_title=peer.ae_title,
            max_pdu=MAX_PDU_BYTES,
            evt_handlers=[(evt.EVT_CONN_OPEN, _send_at_once)],
        )
    except OSError as error:
        raise Transient(f"{peer} cannot be reached: {error.strerror}") from None
    if not association.is_established:
        if association.rejected_contexts:
            raise DestinationRefused(f"{peer} accepts none of the SOP classes that are to be sent")
        if association.is_rejected:
            raise Transient(f"{peer} rejects the association: is {calling_ae_title} known to it?")
        raise Transient(f"{peer} cannot be reached: {_why_not(peer)}")
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def _why_not(peer: Peer) -> str:
    """Pynetdicom does not say why a connection failed; a plain one does."""
    try:
        with socket.create_connection((peer.host, peer.port), CONNECT_SECONDS):
            return "it does not answer as a DICOM peer"
    except OSError as error:
        return error.strerror or str(error)


def _send_at_once(event: evt.Event) -> None:
    # Nagle's algorithm would hold back the end of every instance for 40 ms.
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _contexts(instances: Sequence[Instance]) -> list[PresentationContext]:
    """A context for each pair of SOP class and transfer syntax, so that nothing is transcoded."""
    pairs = dict.fromkeys((i.sop_class_uid, i.transfer_syntax_uid) for i in instances)
    return [build_context(sop_class, syntax) for sop_class, syntax in pairs]


def _c_store(association: Association, instance: Instance, name: str) -> None:
    if not association.is_established:
        raise Transient(f"{name} closed the association")
    try:
        answer = association.send_c_store(instance.path)
    except ValueError:
        sop_class = UID(instance.sop_class_uid).name
        syntax = UID(instance.transfer_syntax_uid).name
        raise DestinationRefused(f"{name} does not accept {sop_class} in {syntax}") from None
    answers.judge_status(answer.get("Status"), name, answer.get("ErrorComment", ""))
