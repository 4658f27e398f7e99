"""The lab's DNS server speaks RFC 1035: what a resolver library asks and understands, byte by byte."""

from __future__ import annotations

import socket
import struct

import pytest

from lab.dns import SRV, A, DnsServer, parse, reply
from lab.resolver import Answer

AAAA = 28
ANSWER = Answer("app.pilotlight.example", ("127.0.0.1",), 60, 0.0, "primary", "eu-west-1", 4610)


def _query(name: str, kind: int, *, identity: int = 0x1234, flags: int = 0x0100) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", identity, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)


def _known(name: str) -> Answer | None:
    return ANSWER if name == ANSWER.name else None


def _ask(name: str, kind: int) -> tuple[int, list[tuple[int, int, bytes]]]:
    """Return the answer's code and its records: type, TTL and data."""
    query = _query(name, kind)
    message = reply(parse(query), _known)
    identity, flags, questions, answers, authorities, additional = struct.unpack_from("!6H", message)
    assert (identity, questions, authorities, additional) == (0x1234, 1, 0, 0)
    assert flags & 0x8000
    assert message[12 : len(query)] == query[12:]
    records, at = [], len(query)
    for _ in range(answers):
        pointer, found, group, ttl, length = struct.unpack_from("!3HIH", message, at)
        assert (pointer, group) == (0xC00C, 1)
        at += 12
        records.append((found, ttl, message[at : at + length]))
        at += length
    assert at == len(message)
    return flags & 0xF, records


def test_an_address_is_answered_with_its_ttl() -> None:
    assert _ask("app.pilotlight.example", A) == (0, [(A, 60, b"\x7f\0\0\1")])


def test_names_are_the_same_in_any_case() -> None:
    assert _ask("App.PilotLight.Example", A)[1] != []


def test_a_service_is_answered_with_its_port() -> None:
    data = struct.pack("!3H", 0, 0, 4610) + b"\x03app\x0apilotlight\x07example\0"
    assert _ask("_http._tcp.app.pilotlight.example", SRV) == (0, [(SRV, 60, data)])


def test_a_name_that_exists_has_no_record_of_another_type() -> None:
    assert _ask("app.pilotlight.example", AAAA) == (0, [])
    assert _ask("_http._tcp.app.pilotlight.example", A) == (0, [])


def test_an_unknown_name_does_not_exist() -> None:
    assert _ask("nobody.pilotlight.example", A) == (3, [])


@pytest.mark.parametrize(
    "message",
    [b"", b"\0" * 11, _query("app", A)[:-3], _query("app", A, flags=0x8000), b"\0" * 4 + b"\0\2" + b"\0" * 20],
)
def test_what_is_no_query_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match="not a"):
        parse(message)


def test_the_server_answers_who_asks_and_survives_nonsense() -> None:
    server = DnsServer(0, _known)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.connect(server._socket.getsockname())
            client.send(b"nonsense that is long enough to be answered")
            assert client.recv(512)[:2] == b"no"
            client.send(_query("app.pilotlight.example", A))
            assert client.recv(512).endswith(b"\x7f\0\0\1")
    finally:
        server.close()
