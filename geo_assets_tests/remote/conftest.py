"""What the tests of this room share: a server, and an environment that knows the test's credentials alone."""

from collections.abc import Iterator
from functools import partial

import pytest

from geo_assets.io.archives import access
from geo_assets.io.wire.exchange import Wire
from geo_assets_tests.scenery.fault_server import FaultServer

CREDENTIALS = ("PC_SDK_SUBSCRIPTION_KEY", "CDSE_USERNAME", "CDSE_PASSWORD", "CDSE_TOTP", "CDSE_S3_ACCESS_KEY",
               "CDSE_S3_SECRET_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")  # fmt: skip


@pytest.fixture(autouse=True)
def nobodys_credentials(monkeypatch) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


@pytest.fixture
def cdse_keys(monkeypatch, server) -> None:
    """S3 keys that the server's gate knows."""
    monkeypatch.setenv("CDSE_S3_ACCESS_KEY", server.presigned.access_key)
    monkeypatch.setenv("CDSE_S3_SECRET_KEY", "cdse-hush")


@pytest.fixture
def impatient(monkeypatch) -> None:
    """Archives that give up on a server after two seconds, and on a silent one after half a second."""
    monkeypatch.setattr(access, "Wire", partial(Wire, patience_s=2.0, read_s=0.5, connect_s=0.5))
