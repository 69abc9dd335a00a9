"""Fixtures that every test may ask for."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real scans with truth; a test that asks for them is skipped where there are none."""
    folder = Path(os.environ.get("DIASCOPE_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real scans: set DIASCOPE_TEST_DATA to the folder that holds them")
    return folder
