"""Measurements as CSV and Parquet, of one series and of many."""

import csv
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.protocol import Code, Measurement
from node.outbound import tables
from node.outbound.equipment import Provenance

PROVENANCE = Provenance("chest-ct-annotation", "0.2.0", (), {}, ("1.2.3",))
VOLUME = Measurement(
    "Left lung", "MeshVolume", Code("RNU0", "IBSI", "Volume of Mesh"), 1234567.891, Code("mm3", "UCUM", "mm3")
)
MEAN = Measurement(
    None,
    "Mean",
    Code("112031", "DCM", "Attenuation Coefficient"),
    -812.25,
    Code("[hnsf'U]", "UCUM", "Hounsfield unit"),
    Code("373098007", "SCT", "Mean"),
)


def rows(*measurements: Measurement, series: str = "1.2.4") -> list[tables.Row]:
    return tables.rows(
        measurements,
        review={"Left lung": "cut off"},
        study_instance_uid="1.2.3",
        series_instance_uid=series,
        provenance=PROVENANCE,
    )


def read_csv(folder: Path) -> list[dict[str, str]]:
    with (folder / tables.CSV).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_says_what_was_measured_by_whom_on_what() -> None:
    assert [asdict(row) for row in rows(VOLUME, MEAN)] == [
        {
            "StudyInstanceUID": "1.2.3",
            "SeriesInstanceUID": "1.2.4",
            "algorithm": "chest-ct-annotation",
            "version": "0.2.0",
            "segment": "Left lung",
            "review": "cut off",
            "feature": "MeshVolume",
            "code_value": "RNU0",
            "code_scheme": "IBSI",
            "code_meaning": "Volume of Mesh",
            "derivation_value": "",
            "derivation_scheme": "",
            "derivation_meaning": "",
            "value": 1234567.891,
            "unit": "mm3",
        },
        {
            "StudyInstanceUID": "1.2.3",
            "SeriesInstanceUID": "1.2.4",
            "algorithm": "chest-ct-annotation",
            "version": "0.2.0",
            "segment": "",
            "review": "",
            "feature": "Mean",
            "code_value": "112031",
            "code_scheme": "DCM",
            "code_meaning": "Attenuation Coefficient",
            "derivation_value": "373098007",
            "derivation_scheme": "SCT",
            "derivation_meaning": "Mean",
            "value": -812.25,
            "unit": "[hnsf'U]",
        },
    ]


def test_both_files_hold_the_same_rows_and_nothing_else_is_left_behind(tmp_path: Path) -> None:
    tables.write(rows(VOLUME, MEAN), tmp_path)
    assert pq.read_table(tmp_path / tables.PARQUET).to_pylist() == [asdict(row) for row in rows(VOLUME, MEAN)]
    as_text = read_csv(tmp_path)
    assert [tables.Row(**{**row, "value": float(row["value"])}) for row in as_text] == rows(VOLUME, MEAN)
    assert {path.name for path in tmp_path.iterdir()} == {tables.CSV, tables.PARQUET}


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(st.characters(exclude_categories=("C",))))
def test_numbers_and_names_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, value: float, name: str
) -> None:
    folder = tmp_path_factory.mktemp("table")
    measurement = Measurement(name, VOLUME.name, VOLUME.code, value, VOLUME.unit)
    tables.write(rows(measurement), folder)
    (row,) = read_csv(folder)
    assert (float(row["value"]), row["segment"]) == (value, name)
    (row,) = pq.read_table(folder / tables.PARQUET).to_pylist()
    assert (row["value"], row["segment"]) == (value, name)


def test_no_measurement_gives_empty_tables_with_the_columns(tmp_path: Path) -> None:
    tables.write([], tmp_path)
    assert pq.read_table(tmp_path / tables.PARQUET).schema.names == list(tables.COLUMNS)
    assert (tmp_path / tables.CSV).read_text().count("\n") == 1
    assert read_csv(tmp_path) == []


def test_tables_of_many_series_become_one_in_their_order(tmp_path: Path) -> None:
    sources = []
    for series in ("1.2.9", "1.2.5", "1.2.7"):
        folder = tmp_path / series
        folder.mkdir()
        tables.write(rows(VOLUME, MEAN, series=series), folder)
        sources.append(folder / tables.PARQUET)
    assert tables.concatenate(sources, tmp_path) == 6
    whole = pq.read_table(tmp_path / tables.PARQUET).to_pylist()
    assert [row["SeriesInstanceUID"] for row in whole[::2]] == ["1.2.9", "1.2.5", "1.2.7"]
    assert len(read_csv(tmp_path)) == 6


def test_a_stranger_among_the_tables_is_named_and_the_whole_stays_as_it_was(tmp_path: Path) -> None:
    tables.write(rows(VOLUME), tmp_path)
    stranger = tmp_path / "other.parquet"
    pq.write_table(pa.table({"name": ["x"]}), stranger)
    with pytest.raises(ValueError, match=r"other\.parquet is not a table of features.*name"):
        tables.concatenate([tmp_path / tables.PARQUET, stranger], tmp_path)
    assert pq.read_table(tmp_path / tables.PARQUET).num_rows == 1
    assert len(read_csv(tmp_path)) == 1
