"""What the web side needs of the rest of the node."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from algorithms.catalogue import CatalogueEntry
from node.config import Settings
from node.jobs.accounts import Accounts
from node.jobs.board import Board
from node.jobs.figures import Figures
from node.jobs.gallery import Gallery
from node.jobs.index import Index
from node.jobs.matching import Matching
from node.jobs.outbox import Outbox
from node.jobs.verdicts import Verdicts
from node.jobs.workitem import Workitem
from node.jobs.worklist import Worklist
from node.web.audit import Trail


@dataclass(frozen=True)
class Rooms:
    """The rooms that requests are answered from."""

    settings: Settings
    catalogue: Mapping[str, CatalogueEntry]
    index: Index
    board: Board
    worklist: Worklist
    outbox: Outbox
    verdicts: Verdicts
    gallery: Gallery
    matching: Matching
    accounts: Accounts
    trail: Trail
    figures: Callable[[], Figures]
    wake: Callable[[Sequence[Workitem]], None]


def _rooms(request: Request) -> Rooms:
    rooms: Rooms = request.app.state.rooms
    return rooms


Entered = Annotated[Rooms, Depends(_rooms)]
