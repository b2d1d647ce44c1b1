"""The gallery of embeddings: seconds to fill, begin and ask, memory, and recall against comparing with all.

Run: python benchmarks/gallery.py [NUMBER] [LEDGER_URL]
NUMBER of embeddings (default 100000) of 512 numbers, in clusters as those of similar studies are. Without a
LEDGER_URL, a new SQLite ledger; the ledger of a URL must be empty.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from usearch.index import MetricKind, search

from algorithms.protocol import Embedding
from node.jobs import schema
from node.jobs.gallery import Gallery

SIZE = 512
CLUSTERS = 2000
QUERIES = 200
K = 10
SPACE = "benchmark"

Vectors = npt.NDArray[np.float32]


def clustered(number: int) -> Vectors:
    """Unit vectors around common centres, shape (number, SIZE)."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLUSTERS, SIZE)).astype(np.float32)
    vectors = centres[rng.integers(0, CLUSTERS, number)]
    vectors += 0.7 * rng.standard_normal((number, SIZE), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def queries(vectors: Vectors) -> Vectors:
    """Members of the gallery, slightly changed."""
    rng = np.random.default_rng(1)
    chosen = vectors[rng.integers(0, len(vectors), QUERIES)]
    chosen = chosen + 0.02 * rng.standard_normal(chosen.shape, dtype=np.float32)
    return chosen / np.linalg.norm(chosen, axis=1, keepdims=True)


def fill(url: str, vectors: Vectors) -> None:
    """Rows of the ledger, without the studies they would belong to."""
    engine = schema.connect(url)
    schema.migrate(engine)
    now = datetime.now(UTC)
    for start in range(0, len(vectors), 5000):
        rows = [
            {
                "run_uid": f"2.25.{n}",
                "study_instance_uid": f"1.{n}",
                "series_instance_uid": f"1.{n}.1",
                "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
                "sop_instance_uid": f"1.{n}.1.1",
                "space": SPACE,
                "vector": vector,
                "superseded": False,
                "created_at": now,
            }
            for n, vector in enumerate(vectors[start : start + 5000], start)
        ]
        with engine.begin() as connection:
            connection.execute(schema.embeddings.insert(), rows)
    engine.dispose()


def milliseconds(ask: Callable[[Vectors], object], asked: Vectors) -> str:
    """Median and 95th percentile."""
    taken = []
    for query in asked:
        start = time.perf_counter()
        ask(query)
        taken.append(1e3 * (time.perf_counter() - start))
    return f"{statistics.median(taken):.2f} ms (95 %: {np.percentile(taken, 95):.2f})"


def peak_mb() -> float:
    """Of this process, so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(url: str, folder: Path, vectors: Vectors, asked: Vectors) -> None:
    """Begin from the ledger, ask, and compare with the truth."""
    engine = schema.connect(url)
    gallery = Gallery(engine, folder)
    before = peak_mb()
    start = time.perf_counter()
    gallery.nearest(Embedding(asked[0], SPACE), "")
    print(f"first query, index made from the ledger: {time.perf_counter() - start:.1f} s")
    print(f"memory for it: {peak_mb() - before:.0f} MB")
    found = [gallery.nearest(Embedding(query, SPACE), "", K) for query in asked]
    truth = [set(np.argpartition(-(vectors @ query), K)[:K].tolist()) for query in asked]
    hits = [
        len({int(s.study_instance_uid[2:]) for s in mine} & exact) / K
        for mine, exact in zip(found, truth, strict=True)
    ]
    print(f"recall@{K} against comparing with all: {statistics.mean(hits):.4f}")
    print("query:", milliseconds(lambda q: gallery.nearest(Embedding(q, SPACE), "", K), asked))
    again = Gallery(engine, folder)
    start = time.perf_counter()
    again.nearest(Embedding(asked[0], SPACE), "")
    print(f"first query of another process, from the copy on disk: {time.perf_counter() - start:.2f} s")
    engine.dispose()


def main(number: int, url: str) -> None:
    """Measure all."""
    vectors = clustered(number)
    asked = queries(vectors)
    with tempfile.TemporaryDirectory() as folder:
        ledger = url or f"sqlite:///{folder}/ledger.sqlite"
        start = time.perf_counter()
        fill(ledger, vectors)
        print(f"{number} embeddings into the ledger: {time.perf_counter() - start:.1f} s")
        measure(ledger, Path(folder) / "gallery", vectors, asked)
        size = subprocess.run(["du", "-sm", folder], capture_output=True, text=True, check=True).stdout
        print(f"state folder: {size.split()[0]} MB")
    exact = {
        "numpy, float32": lambda q: np.argpartition(-(vectors @ q), K)[:K],
        "usearch, float32": lambda q: search(vectors, q, K, MetricKind.IP, exact=True),
    }
    for name, ask in exact.items():
        print(f"comparing with all, {name}:", milliseconds(ask, asked[:50]))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, sys.argv[2] if len(sys.argv) > 2 else "")
