"""One registry process for the tests of this folder."""

from __future__ import annotations

import pytest

from tests._registry import serve


@pytest.fixture(scope="package")
def registry():
    """The real registry, over HTTP."""
    with serve() as running:
        yield running
