"""Measurements as tables for statistics: `features.csv` and `features.parquet`, one row for each.

The same columns for one series and for a whole collection, so that tables can be put together.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from algorithms.protocol import Measurement
from node.outbound.equipment import Provenance

if TYPE_CHECKING:
    import pyarrow as pa

CSV: Final = "features.csv"
PARQUET: Final = "features.parquet"

COLUMNS: Final = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "algorithm",
    "version",
    "segment",
    "feature",
    "code_value",
    "code_scheme",
    "code_meaning",
    "derivation_value",
    "derivation_scheme",
    "derivation_meaning",
    "value",
    "unit",
)
"""All text but `value`; `unit` is UCUM. Without a segment or a derivation the text is empty."""

Row = dict[str, str | float]


def rows(
    measurements: Sequence[Measurement],
    *,
    study_instance_uid: str,
    series_instance_uid: str,
    provenance: Provenance,
) -> list[Row]:
    """The measurements of one series, in their order.

    Args:
        measurements: of the series.
        study_instance_uid: of the source.
        series_instance_uid: of the source.
        provenance: who measured.
    """
    of_run = (study_instance_uid, series_instance_uid, provenance.algorithm, provenance.version)
    return [
        dict(
            zip(
                COLUMNS,
                (
                    *of_run,
                    item.segment or "",
                    item.name,
                    *item.code,
                    *(item.derivation or ("", "", "")),
                    item.value,
                    item.unit.value,
                ),
                strict=True,
            )
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

    _write([pa.Table.from_pylist(list(table), schema=_schema())], folder)


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
    """Write table by table, so that memory holds one of them, and rename at the end."""
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    schema, count = _schema(), 0
    unfinished = {folder / name: folder / f"{name}.part" for name in (CSV, PARQUET)}
    with (
        pc.CSVWriter(unfinished[folder / CSV], schema) as as_csv,
        pq.ParquetWriter(unfinished[folder / PARQUET], schema) as as_parquet,
    ):
        for table in tables:
            as_csv.write_table(table)
            as_parquet.write_table(table)
            count += table.num_rows
    for path, part in unfinished.items():
        part.replace(path)
    return count


def _schema() -> "pa.Schema":
    import pyarrow as pa

    kinds = {name: pa.float64() if name == "value" else pa.string() for name in COLUMNS}
    return pa.schema(list(kinds.items()))
