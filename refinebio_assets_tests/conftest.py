"""Where the tests find real data."""

from __future__ import annotations

from pathlib import Path

import pytest


def shared_data(relative: str) -> Path:
    """A file or folder of the shared data; skips the test where the data are absent."""
    path = Path(__file__).parents[1].parent / "shared" / "data" / relative
    if not path.exists():
        pytest.skip(f"shared data are not here: {path}")
    return path
