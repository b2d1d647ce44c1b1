"""Measurements as tables for statistics: `features.csv` and `features.parquet`, one row for each.

The same columns for one series and for a whole collection, so that tables can be put together.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from algorithms.protocol import Measurement
from node.outbound.equipment import Provenance

if TYPE_CHECKING:
    import pyarrow as pa

CSV: Final = "features.csv"
PARQUET: Final = "features.parquet"


@dataclass(frozen=True)
class Row:
    """A measurement, and who measured it on what; the names of the fields are those of the columns.

    Without a segment or a derivation the text is empty.

    Attributes:
        value: in `unit`.
        unit: UCUM.
    """

    StudyInstanceUID: str
    SeriesInstanceUID: str
    algorithm: str
    version: str
    segment: str
    review: str
    feature: str
    code_value: str
    code_scheme: str
    code_meaning: str
    derivation_value: str
    derivation_scheme: str
    derivation_meaning: str
    value: float
    unit: str


COLUMNS: Final = tuple(field.name for field in fields(Row))


def rows(
    measurements: Sequence[Measurement],
    *,
    review: Mapping[str, str],
    study_instance_uid: str,
    series_instance_uid: str,
    provenance: Provenance,
) -> list[Row]:
    """The measurements of one series, in their order.

    Args:
        measurements: of the series.
        review: why a person should look at a segment first, by its label.
        study_instance_uid: of the source.
        series_instance_uid: of the source.
        provenance: who measured.
    """
    return [
        Row(
            StudyInstanceUID=study_instance_uid,
            SeriesInstanceUID=series_instance_uid,
            algorithm=provenance.algorithm,
            version=provenance.version,
            segment=item.segment or "",
            review=review.get(item.segment or "", ""),
            feature=item.name,
            code_value=item.code.value,
            code_scheme=item.code.scheme,
            code_meaning=item.code.meaning,
            derivation_value=item.derivation.value if item.derivation else "",
            derivation_scheme=item.derivation.scheme if item.derivation else "",
            derivation_meaning=item.derivation.meaning if item.derivation else "",
            value=item.value,
            unit=item.unit.value,
        )
        for item in measurements
    ]


def write(table: Sequence[Row], folder: Path) -> None:
    """Write both files into a folder that exists; what was there of the same name is replaced whole.

    Args:
        table: from `rows`; may be empty.
        folder: of the results.
    """
    import pyarrow as pa

    _write([pa.Table.from_pylist([asdict(row) for row in table], schema=_schema())], folder)


def concatenate(sources: Iterable[Path], folder: Path) -> int:
    """Put the Parquet tables of many series together, one after another, in both forms.

    Args:
        sources: Parquet files written by `write`, in the order wanted.
        folder: where the whole goes; it exists, and is the folder of none of the sources.

    Returns:
        How many rows there are.

    Raises:
        ValueError: a file has other columns; it is named.
    """
    return _write((_read(path) for path in sources), folder)


def _read(path: Path) -> "pa.Table":
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    if table.schema.names != list(COLUMNS):
        raise ValueError(
            f"{path} is not a table of features: it has the columns {', '.join(table.schema.names)}"
        )
    return table.cast(_schema())


def _write(tables: "Iterable[pa.Table]", folder: Path) -> int:
    """Write table by table, so that memory holds one of them; whole and durable, or not at all."""
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    schema, count = _schema(), 0
    unfinished = {folder / name: folder / f"{name}.part" for name in (CSV, PARQUET)}
    try:
        with (
            pc.CSVWriter(unfinished[folder / CSV], schema) as as_csv,
            pq.ParquetWriter(unfinished[folder / PARQUET], schema) as as_parquet,
        ):
            for table in tables:
                as_csv.write_table(table)
                as_parquet.write_table(table)
                count += table.num_rows
        for path, part in unfinished.items():
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
    finally:
        for part in unfinished.values():
            part.unlink(missing_ok=True)
    return count


def _schema() -> "pa.Schema":
    import pyarrow as pa

    kinds = [pa.float64() if field.type is float else pa.string() for field in fields(Row)]
    return pa.schema(list(zip(COLUMNS, kinds, strict=True)))
