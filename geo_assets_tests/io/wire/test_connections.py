"""Connections as production has them: encrypted, and through a proxy."""

import contextlib
import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from geo_assets.domain.errors import ArchiveRefusedError, ArchiveTransientError
from geo_assets.io.wire.meter import Meter
from geo_assets.io.wire.remote_file import RemoteFile

x509 = pytest.importorskip("cryptography.x509")

CONTENT = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """Key and self-signed certificate of 127.0.0.1 and archive.example, in one file."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "archive.example")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("archive.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    encoding, encryption = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, encryption)
    path.write_bytes(private + made.public_bytes(encoding))
    return path


class _Encrypted(http.server.ThreadingHTTPServer):
    daemon_threads = True
    connections = 0
    drips = False

    def get_request(self):
        connection, address = super().get_request()
        type(self).connections += 1
        return connection, address

    def handle_error(self, request, client_address):
        """Say nothing: clients that leave early are no failure."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/red.tif")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        first, last = (int(place) for place in self.headers["Range"].removeprefix("bytes=").split("-"))
        body = CONTENT[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            if not self.server.drips:
                self.wfile.write(body)
            for place in range(len(body) if self.server.drips else 0):
                self.wfile.write(body[place : place + 1])
                threading.Event().wait(0.02)

    def log_message(self, format, *args):
        """Say nothing."""


@pytest.fixture
def encrypted(certificate) -> Iterator[_Encrypted]:
    class Server(_Encrypted):
        pass

    server = Server(("127.0.0.1", 0), _Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def trusted(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


@pytest.fixture
def proxy(encrypted, monkeypatch) -> Iterator[list[bytes]]:
    """A proxy that leads every CONNECT to `encrypted`; yields what it was asked."""
    asked: list[bytes] = []
    connections: list[socket.socket] = []
    pumps: list[threading.Thread] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source, target):
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)

    def serve():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            asked.append(client.recv(65536))
            server = socket.create_connection(("127.0.0.1", encrypted.server_port))
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            connections.extend((client, server))
            for pair in ((client, server), (server, client)):
                pumps.append(threading.Thread(target=pump, args=pair, daemon=True))
                pumps[-1].start()

    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    monkeypatch.setenv("https_proxy", f"http://user:SECRET@127.0.0.1:{listener.getsockname()[1]}")
    monkeypatch.setenv("no_proxy", "")
    yield asked
    for one in (listener, *connections):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
    for thread in (serving, *pumps):
        thread.join()
    for one in (listener, *connections):
        one.close()


@pytest.mark.usefixtures("trusted")
def test_ranges_are_read_encrypted_over_one_connection(encrypted, wire):
    red = RemoteFile(f"https://127.0.0.1:{encrypted.server_port}/red.tif", wire=wire, where="red")
    assert red.head(1000) == CONTENT[:1000]
    assert bytes(red.read([(5, 900_000)])[0]) == CONTENT[5:900_000]
    assert encrypted.connections == 1


def test_a_certificate_that_is_not_trusted_is_refused_at_once(encrypted, wire):
    meter = Meter()
    url = f"https://127.0.0.1:{encrypted.server_port}/red.tif"
    with pytest.raises(ArchiveRefusedError, match=r"the certificate of https://127.0.0.1:.* is not trusted. Correct"):
        wire.request("GET", f"{url}?sig=SECRET", meter=meter)
    assert meter.requests == 1


@pytest.mark.usefixtures("trusted")
def test_an_encrypted_answer_that_drips_ends_in_time(encrypted, new_wire):
    encrypted.drips = True
    with pytest.raises(ArchiveTransientError, match="an answer that stalled"):
        new_wire(read_s=0.1, attempts=1).span(f"https://127.0.0.1:{encrypted.server_port}/red.tif", 0, 1000)


@pytest.mark.usefixtures("trusted")
def test_encryption_is_not_lost_by_a_redirect(encrypted, wire):
    with pytest.raises(ArchiveRefusedError, match="which is plain http"):
        wire.request("GET", f"https://127.0.0.1:{encrypted.server_port}/moved")


@pytest.mark.usefixtures("trusted")
def test_an_encrypted_host_is_reached_through_a_proxy_that_sees_only_its_name(encrypted, proxy, new_wire):
    wire = new_wire("archive.example")
    red = RemoteFile("https://archive.example/red.tif?sig=HUSH", wire=wire, where="red")
    assert red.head(1000) == CONTENT[:1000]
    assert red.head(2000) == CONTENT[:2000]
    assert len(proxy) == 1
    assert proxy[0].startswith(b"CONNECT archive.example:443 ")
    assert b"basic dxnlcjptrunsrvq=" in proxy[0].lower()
    assert b"HUSH" not in proxy[0]
