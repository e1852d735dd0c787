"""The guard of `conftest.py`: a test that forgets to record an answer fails, here and in child processes."""

import socket
import subprocess
import sys

import pytest

ELSEWHERE = "192.0.2.1"  # reserved for documentation, RFC 5737


@pytest.mark.parametrize("host", [ELSEWHERE, "catalogue.example.org"])
def test_another_machine_is_refused_by_address_and_by_name(host):
    with pytest.raises(Exception, match="only this machine is open"):
        socket.create_connection((host, 80), timeout=1)


def test_a_server_on_this_machine_is_reached():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address) as client:
            assert client.getpeername() == address


def test_a_child_process_is_sent_to_a_dead_proxy():
    fetch = f"import urllib.request; urllib.request.urlopen('http://{ELSEWHERE}/', timeout=5)"
    child = subprocess.run([sys.executable, "-c", fetch], capture_output=True, text=True, check=False)
    assert child.returncode == 1
    assert "Connection refused" in child.stderr
