"""When a study is complete: quiet time, and no open association that carries it.

Pure: it knows no clock, no thread and no DICOM. The caller tells what happened and asks what is due.
"""

from dataclasses import dataclass, field
from threading import Lock


@dataclass(frozen=True)
class Evidence:
    """Why a study was taken for complete.

    Attributes:
        quiet_seconds: observed between the last arrival and the completion.
        instances: that arrived in this round; after a restart, those since then.
        associations: that brought them.
        last_arrival: in the caller's monotonic seconds.
        interrupted: the last that was heard of it broke off, or the node was restarted.
    """

    quiet_seconds: float
    instances: int
    associations: int
    last_arrival: float
    interrupted: bool


@dataclass(frozen=True)
class CompleteStudy:
    """A study to which nothing more is coming, as far as anyone can tell."""

    study_instance_uid: str
    evidence: Evidence


@dataclass
class _Round:
    """What has arrived of a study since it was last complete."""

    last_arrival: float
    instances: int = 0
    associations: set[str] = field(default_factory=set)
    open_associations: set[str] = field(default_factory=set)
    interrupted: bool = False


class Completeness:
    """Follows the studies that are arriving; safe to use from several threads.

    A study is due when `quiet_seconds` have passed since its last new instance and every association that
    brought one has ended. Where the last of these was not whole, or after a restart, it takes
    `interrupted_seconds`, for the sender may try again. A study is returned once; a later arrival starts a
    new round. An association that only repeats instances holds nothing back, for it is never told of.

    Args:
        quiet_seconds: how long nothing new may arrive.
        interrupted_seconds: the same where something is likely to be missing.
    """

    def __init__(self, quiet_seconds: float, interrupted_seconds: float) -> None:
        self._quiet_seconds = quiet_seconds
        self._interrupted_seconds = interrupted_seconds
        self._rounds: dict[str, _Round] = {}
        self._lock = Lock()

    def arrived(self, study_instance_uid: str, association: str, at: float) -> None:
        """Count a new instance; not one that was there already.

        Args:
            study_instance_uid: its study.
            association: the key of the association that brought it, which must still be open.
            at: monotonic seconds.
        """
        with self._lock:
            round_ = self._rounds.setdefault(study_instance_uid, _Round(at))
            round_.last_arrival = max(round_.last_arrival, at)
            round_.instances += 1
            round_.associations.add(association)
            round_.open_associations.add(association)

    def association_ended(self, association: str, whole: bool) -> None:
        """Nothing more comes by this association.

        Args:
            association: its key.
            whole: it was released, and every instance was taken.
        """
        with self._lock:
            for round_ in self._rounds.values():
                if association in round_.open_associations:
                    round_.open_associations.discard(association)
                    round_.interrupted = not whole

    def restore(self, study_instance_uid: str, last_arrival: float) -> None:
        """Follow a study again that was arriving when the node stopped.

        Args:
            study_instance_uid: the study.
            last_arrival: in the monotonic seconds of now; below zero for what arrived before they began.
        """
        with self._lock:
            round_ = self._rounds.setdefault(study_instance_uid, _Round(last_arrival))
            round_.last_arrival = max(round_.last_arrival, last_arrival)
            round_.interrupted = True

    def due(self, now: float) -> tuple[CompleteStudy, ...]:
        """The studies that have become complete, the longest quiet first; each is then forgotten.

        Args:
            now: monotonic seconds.
        """
        with self._lock:
            ready = [
                (uid, round_)
                for uid, round_ in self._rounds.items()
                if not round_.open_associations and now - round_.last_arrival >= self._patience(round_)
            ]
            for uid, _ in ready:
                del self._rounds[uid]
        ready.sort(key=lambda study: study[1].last_arrival)
        return tuple(
            CompleteStudy(
                uid,
                Evidence(
                    quiet_seconds=now - round_.last_arrival,
                    instances=round_.instances,
                    associations=len(round_.associations),
                    last_arrival=round_.last_arrival,
                    interrupted=round_.interrupted,
                ),
            )
            for uid, round_ in ready
        )

    def _patience(self, round_: _Round) -> float:
        return (
            max(self._quiet_seconds, self._interrupted_seconds) if round_.interrupted else self._quiet_seconds
        )
