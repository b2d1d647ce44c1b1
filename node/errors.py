"""What can go wrong, sorted by who reacts.

    AINodeError
    ├── ConfigurationError   the operator mends a file or an argument; exit code 2
    ├── Rejected             the sender must know; nothing was kept
    │   ├── BadIdentifier        a UID that is no UID                       C-STORE 0xC001   HTTP 400
    │   ├── Undecodable          the dataset cannot be read                 C-STORE 0xC210   HTTP 400
    │   ├── MismatchedInstance   dataset and request name different objects C-STORE 0xA900   HTTP 409
    │   ├── TooLarge             larger than the node takes                 C-STORE 0xA702   HTTP 413
    │   └── NoSpace              the spool's disk is full                   C-STORE 0xA700   HTTP 507
    ├── Transient            try again later; the workitem gets another attempt        HTTP 503
    ├── Permanent            a person must look; CANCELED with the coded `reason`      HTTP 422
    │   ├── UnknownOption        the algorithm takes no such option, or not this value
    │   ├── UnsuitableImage      not what the algorithm is made for
    │   ├── NotCovered           the pixels do not show the part of the body that a route asks for
    │   ├── IrregularGeometry    the slices form no regular volume
    │   ├── IncompleteInput      instances are missing from the spool
    │   ├── ResourceInadequate   weights missing or changed, device too small
    │   ├── AttemptsExhausted    every attempt failed
    │   ├── Quarantined          the gate found a fault in a result             HTTP 409
    │   └── DestinationRefused   a destination will never take the object       HTTP 409
    ├── CancelRequested      the workitem is to stop; CANCELED with the coded `reason`
    └── LeaseLost            another attempt has the workitem now; this one leaves it alone

C-STORE statuses are those of PS3.4 Table B.2-1 (0xA7xx out of resources, 0xA9xx data set does not
match SOP class, 0xCxxx cannot understand).
"""

from dataclasses import dataclass
from typing import ClassVar


class AINodeError(Exception):
    """The root: every error a person or a peer is told about."""


class ConfigurationError(AINodeError):
    """A setting, a route or an argument is wrong; the message names it and the mend."""


class Rejected(AINodeError):
    """An instance was refused and nothing of it was kept."""

    status: ClassVar[int] = 0xC000
    http_status: ClassVar[int] = 400


class BadIdentifier(Rejected):
    """A UID that is not a UID (PS3.5 section 9.1)."""

    status = 0xC001


class Undecodable(Rejected):
    """The dataset could not be read, or ends too early."""

    status = 0xC210


class MismatchedInstance(Rejected):
    """The dataset names another SOP class or instance than the request."""

    status = 0xA900
    http_status = 409


class TooLarge(Rejected):
    """The instance is larger than the node takes."""

    status = 0xA702
    http_status = 413


class NoSpace(Rejected):
    """The disk of the spool is full."""

    status = 0xA700
    http_status = 507


class Transient(AINodeError):
    """A neighbour or a resource is away for now."""


@dataclass(frozen=True)
class Reason:
    """A coded reason why a workitem was discontinued: (0074,100E), CID 9300."""

    value: str
    scheme: str
    meaning: str


class Permanent(AINodeError):
    """Trying again will not help; a person must look.

    The reason becomes the Procedure Step Discontinuation Reason Code (0074,100E) of the workitem.
    """

    reason: ClassVar[Reason] = Reason("110513", "DCM", "Discontinued for unspecified reason")
    http_status: ClassVar[int] = 422


class UnknownOption(Permanent):
    """The algorithm takes no such option, or not with this value; exit code 2 on the command line."""


class UnsuitableImage(Permanent):
    """The image is not what the algorithm is made for, such as a head for a chest algorithm."""

    reason = Reason("110522", "DCM", "Object Types not supported")


class NotCovered(Permanent):
    """The pixels do not show the part of the body that the route asks for; the image is held."""

    reason = Reason("110522", "DCM", "Object Types not supported")


class IrregularGeometry(Permanent):
    """The slices do not form a regular volume; the message lists the positions."""

    reason = Reason("110521", "DCM", "Objects incorrectly formatted")


class IncompleteInput(Permanent):
    """Instances that the workitem names are not in the spool."""

    reason = Reason("110523", "DCM", "Object Set incomplete")


class ResourceInadequate(Permanent):
    """Weights are missing or changed, or the device is too small."""

    reason = Reason("110527", "DCM", "Resource inadequate")


class AttemptsExhausted(Permanent):
    """Every attempt ended in a transient error or a lost worker."""

    reason = Reason("110501", "DCM", "Equipment failure")


class Quarantined(Permanent):
    """The gate found a fault in an object; the object waits in quarantine."""

    http_status = 409


class DestinationRefused(Permanent):
    """A destination answered that it will never take the object."""

    http_status = 409


class CancelRequested(AINodeError):
    """The workitem is to stop: somebody asked for it, or late images made it useless."""

    def __init__(self, message: str, reason: Reason) -> None:
        super().__init__(message)
        self.reason = reason


class LeaseLost(AINodeError):
    """The workitem is final, or another attempt has taken it over."""
