"""Files of weights that hold nothing but zeros: as large as real ones, at no cost on disk."""

import json
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

WIDTHS = {"F16": 2, "F32": 4, "I64": 8}


def write_zeros(file: Path, shapes: Mapping[str, Sequence[int]], dtype: str = "F16") -> Path:
    """A safetensors file; counters of batches are integers."""
    header, end = {}, 0
    for key, shape in shapes.items():
        kind = "I64" if key.endswith("num_batches_tracked") else dtype
        start, end = end, end + prod(shape) * WIDTHS[kind]
        header[key] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as content:
        content.write(len(text).to_bytes(8, "little") + text)
        content.truncate(8 + len(text) + end)
    return file
