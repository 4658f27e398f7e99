"""Who holds a server's certificate against authorities says which of the two is to be replaced."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import re
import socket
import ssl
import struct
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pilotlight.aws.secret import Credentials
from pilotlight.errors import PreconditionFailed, TransientError
from pilotlight.sql import server

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
SOMEBODY = Credentials("pilotlight", "of-the-master")
# Protocol 4.1, TLS, secure connection, authentication by a plugin.
CAPABILITIES = 0x0200 | 0x0800 | 0x8000 | 0x80000
GREETING = (
    b"\x0a8.4.0\x00" + struct.pack("<I", 1) + b"12345678\x00" + struct.pack("<H", CAPABILITIES & 0xFFFF) + b"\x2d"
    b"\x02\x00" + struct.pack("<H", CAPABILITIES >> 16) + b"\x15" + bytes(10) + b"123456789012\x00"
    b"mysql_native_password\x00"
)


def certificate(folder: Path, name: x509.GeneralName) -> Path:
    """Make a certificate that vouches for itself, with its key in the same file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    itself = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"authority {x509.random_serial_number()}")])
    made = (
        x509.CertificateBuilder(itself, itself, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    written = folder / f"{made.serial_number}.pem"
    written.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return written


HERE = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


@contextlib.contextmanager
def a_server(shown: Path) -> Iterator[int]:
    """Be a server that shows a certificate to whoever comes, and hangs up afterwards."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                with contextlib.suppress(OSError), client:
                    client.sendall(struct.pack("<I", len(GREETING)) + GREETING)
                    client.recv(36, socket.MSG_WAITALL)
                    context.wrap_socket(client, server_side=True).close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def test_a_certificate_of_nobody_known_names_the_bundle(tmp_path: Path) -> None:
    with (
        a_server(certificate(tmp_path, HERE)) as port,
        pytest.raises(PreconditionFailed, match=r"certificates/rds\.pem .*deploy both regions, then start again"),
    ):
        server.connect("127.0.0.1", port, SOMEBODY, certificate(tmp_path, HERE))


def test_one_for_another_name_will_be_replaced_and_is_waited_for(tmp_path: Path) -> None:
    """An instance that was just renamed may still show its old one."""
    shown = certificate(tmp_path, x509.DNSName("dev-db.example"))
    with a_server(shown) as port, pytest.raises(TransientError, match="Hostname mismatch"):
        server.connect("localhost", port, SOMEBODY, shown)


def test_a_server_that_hangs_up_does_not_answer(tmp_path: Path) -> None:
    shown = certificate(tmp_path, HERE)
    for authorities in (shown, tmp_path / "none.pem"):
        with a_server(shown) as port, pytest.raises(TransientError, match="does not answer"):
            server.connect("127.0.0.1", port, SOMEBODY, authorities)


def test_a_bundle_without_a_certificate_is_told(tmp_path: Path) -> None:
    """As where an error page was put there instead."""
    page = tmp_path / "rds.pem"
    page.write_text("<html>404</html>")
    with pytest.raises(PreconditionFailed, match="holds no certificates"):
        server.connect("127.0.0.1", 1, SOMEBODY, page)


def test_a_build_without_the_bundle_says_so() -> None:
    told = subprocess.run(["make", "--dry-run", "build"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    path = "layers/dependencies/certificates/rds.pem"
    assert re.search(rf"-s {re.escape(path)} \] \|\| echo .*{re.escape(path)}", told)
    assert "NOT AUTHENTICATED" in told
    assert path in (ROOT / "docs/deploy.md").read_text()
