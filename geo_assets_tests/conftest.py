"""What every test may rely on: the network shut, nobody's settings, compiled kernels kept between runs."""

import hashlib
import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
DEAD_PROXY = "http://127.0.0.1:9"  # the discard port: nobody listens


def compiled_kernels_folder() -> Path:
    """Where numba keeps its machine code, one folder for each state of the kernels.

    Numba recompiles a function when its own file changes, but not when another file's kernel that it inlined
    does. Processes that test side by side have one each: filling one together, they may read each other's halves.
    """
    digest = hashlib.sha256()
    for source in sorted((ROOT / "geo_assets").rglob("*.py")):
        text = source.read_bytes()
        if b"njit" in text:
            digest.update(text)
    return ROOT / ".cache" / "numba" / digest.hexdigest()[:16] / os.environ.get("PYTEST_XDIST_WORKER", "alone")


def pytest_configure() -> None:
    """Set the environment before any test module, and so numba, is imported; child processes inherit it."""
    for name in list(os.environ):
        if name.startswith(("GEO_ASSETS_", "DAGSTER_", "AWS_")):
            del os.environ[name]
    os.environ["NUMBA_CACHE_DIR"] = str(compiled_kernels_folder())
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    # Compiled clients (GDAL, obstore) and child processes never meet the guard on Python's sockets: for them
    # the way out is a dead end.
    for scheme in ("http", "https", "all"):
        os.environ[f"{scheme}_proxy"] = os.environ[f"{scheme}_proxy".upper()] = DEAD_PROXY
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "localhost,127.0.0.1,::1"
    # Compiling a kernel takes seconds, in whichever example comes first: no deadline.
    hypothesis.settings.register_profile("developer", deadline=None)
    hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
    hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "developer")


class NetworkIsShutError(Exception):
    """A test reached for another machine."""


def is_this_machine(host: object) -> bool:
    """Whether a socket address's host, a name or an IP address, stays on this machine."""
    if isinstance(host, bytes):
        host = host.decode()
    if host in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(str(host))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


@pytest.fixture(autouse=True, scope="session")
def network_shut() -> Iterator[None]:
    """Refuse Python's sockets every host but this machine, by name and by address."""
    look_up, connect, connect_ex = socket.getaddrinfo, socket.socket.connect, socket.socket.connect_ex

    def refuse_others(host: object) -> None:
        if not is_this_machine(host):
            raise NetworkIsShutError(
                f"A test wants to reach {host!r}, but only this machine is open. "
                "Serve a recorded answer from 127.0.0.1."
            )

    def guarded_look_up(host, *args, **kwargs):
        refuse_others(host)
        return look_up(host, *args, **kwargs)

    def guarded_connect(self, address):
        if isinstance(address, tuple):  # a Unix socket's address is a path
            refuse_others(address[0])
        return connect(self, address)

    def guarded_connect_ex(self, address):
        if isinstance(address, tuple):
            refuse_others(address[0])
        return connect_ex(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", guarded_look_up)
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real scenes beside the repository; a test that needs it is skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real scenes here: ../shared/data, beside the repository, is absent")
    return folder
