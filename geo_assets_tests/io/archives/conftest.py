"""What the tests of archives share."""

from collections.abc import Iterator

import pytest

from geo_assets_tests.scenery.fault_server import FaultServer


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server
