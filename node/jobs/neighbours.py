"""Nearest vectors by an approximate index in memory (HNSW of float32 scalar products, by usearch).

A search among 100,000 vectors of 512 numbers takes half a millisecond; comparing with each of them takes ten.
To make such an index takes a minute, so that a copy is worth keeping on disk.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np
import numpy.typing as npt
import structlog

from node.jobs.production import write

if TYPE_CHECKING:
    from usearch.index import Index

log = structlog.get_logger()

Vector = npt.NDArray[np.float32]

_BREADTH: Final = 128
"""How many candidates a search looks at: more find more of what is nearest, and take longer."""


class Neighbours:
    """Vectors of unit length under ascending numbers; not for several threads at once."""

    def __init__(self, index: "Index | None" = None) -> None:
        self._index = index
        self.last = int(np.max(index.keys, initial=0)) if index is not None else 0

    def __len__(self) -> int:
        return len(self._index) if self._index is not None else 0

    def holds(self, number: int, vector: Vector) -> bool:
        """Whether this vector has this number."""
        return self._index is not None and np.array_equal(np.asarray(self._index.get(number)), vector)

    def extend(self, numbers: Sequence[int], vectors: Sequence[Vector]) -> None:
        """Add vectors; numbers ascend from call to call."""
        if not numbers:
            return
        from usearch.index import Index

        if self._index is None:
            self._index = Index(ndim=len(vectors[0]), metric="ip", dtype="f32", expansion_search=_BREADTH)
        self._index.add(np.asarray(numbers, dtype=np.uint64), np.stack(vectors))
        self.last = numbers[-1]

    def search(self, vector: Vector, count: int) -> list[tuple[int, float]]:
        """The numbers of the nearest vectors, each with its cosine similarity, the nearest first."""
        if self._index is None:
            return []
        found = self._index.search(vector, count)
        return [(int(n), 1.0 - float(d)) for n, d in zip(found.keys, found.distances, strict=True)]

    def save(self, file: Path) -> None:
        """Write a copy, its SHA-256 first."""
        if self._index is not None:
            content = bytes(self._index.save() or b"")
            file.parent.mkdir(parents=True, exist_ok=True)
            write(file, hashlib.sha256(content).digest() + content)

    @classmethod
    def restore(cls, file: Path) -> Self:
        """Read a copy; what is missing or damaged gives an empty index."""
        from usearch.index import Index

        try:
            content = memoryview(file.read_bytes())
        except FileNotFoundError:
            return cls()
        size = hashlib.sha256().digest_size
        if hashlib.sha256(content[size:]).digest() != content[:size]:
            log.warning("the index of embeddings is damaged, it is made again", file=file.name)
            return cls()
        return cls(Index.restore(bytes(content[size:]), expansion_search=_BREADTH))
