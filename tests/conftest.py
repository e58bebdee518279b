"""The promise: a test draws the same numbers whenever and in whatever order it is run."""

from __future__ import annotations

import zlib

import pytest
import torch


@pytest.fixture(autouse=True)
def _drawn_by_name(request: pytest.FixtureRequest) -> None:
    # pytest-randomly seeds Python's and NumPy's generators, not torch's.
    torch.manual_seed(zlib.crc32(request.node.nodeid.encode()))
