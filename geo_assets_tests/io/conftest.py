"""Stores to test with: a folder, and a real S3 protocol served from this machine."""

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from geo_assets.io.products import Products
from geo_assets.io.stores.store import S3Access, Store, open_store

_bucket_numbers = itertools.count()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Address of an S3 server in a thread."""
    server_module = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def s3_session() -> boto3.session.Session:
    return boto3.session.Session("key-id", "hush-hush", region_name="us-east-1")


@pytest.fixture(scope="session")
def s3_client(s3_session: boto3.session.Session, s3_endpoint: str) -> Any:
    return s3_session.client("s3", endpoint_url=s3_endpoint)


@pytest.fixture
def s3_access(s3_session: boto3.session.Session, s3_endpoint: str, tmp_path: Path) -> S3Access:
    return S3Access(s3_session, endpoint_url=s3_endpoint, allow_http=True, cache=tmp_path / "cache")


@pytest.fixture
def bucket(s3_client: Any) -> str:
    name = f"bucket-{next(_bucket_numbers)}"
    s3_client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def s3_store(s3_access: S3Access, bucket: str) -> Store:
    return open_store(f"s3://{bucket}/some/prefix", s3=s3_access)


@pytest.fixture
def local_store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest) -> Store:
    """Either kind: what is promised holds for both."""
    return request.getfixturevalue(f"{request.param}_store")


@pytest.fixture
def products(store: Store) -> Products:
    return Products(store, "valley")
