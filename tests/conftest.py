"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images; tests that need it are skipped by name where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("AINODE_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set AINODE_TEST_DATA")
    return folder
