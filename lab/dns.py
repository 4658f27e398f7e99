"""A DNS server for the lab's hosted zones: what a resolver asks, on UDP, and nothing else.

It answers A with the address, and SRV of ``_http._tcp.<name>`` with the port too, since the lab's load balancers share
one address. The wire format is RFC 1035's, SRV is RFC 2782's.
"""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.resolver import Answer

A, SRV = 1, 33
_INTERNET: Final = 1
_ANSWERED, _FORMAT_ERROR, _NO_SUCH_NAME, _NOT_IMPLEMENTED = 0, 1, 3, 4
_SERVICE: Final = "_http._tcp."


class Query(NamedTuple):
    """One question."""

    identity: int
    name: str
    kind: int
    question: bytes
    """As it was asked, to be repeated in the answer."""
    recursion_desired: bool


def parse(message: bytes) -> Query:
    """Read a query.

    Parameters
    ----------
    message
        A datagram.

    Returns
    -------
    Query
        Its one question; the name is in lower case, without the dot at its end.

    Raises
    ------
    ValueError
        When it is no query with one question.
    """
    try:
        identity, flags, questions, *_ = struct.unpack_from("!6H", message)
        if flags & 0xF800 or questions != 1:
            raise ValueError("not a standard query with one question")
        labels, at = [], 12
        while length := message[at]:
            if length > 63:
                raise ValueError("a compressed or too long label in a question")
            labels.append(message[at + 1 : at + 1 + length].decode("ascii").lower())
            at += 1 + length
        kind, group = struct.unpack_from("!2H", message, at + 1)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError("not a DNS message") from error
    if group != _INTERNET:
        raise ValueError("not a question of the Internet class")
    return Query(identity, ".".join(labels), kind, message[12 : at + 5], bool(flags & 0x0100))


def reply(query: Query, resolve: Callable[[str], Answer | None]) -> bytes:
    """Answer a query.

    Parameters
    ----------
    query
        From :func:`parse`.
    resolve
        Says what a name resolves to.

    Returns
    -------
    bytes
        A datagram. A name that exists without what was asked for has an answer without records.
    """
    asked_for_service = query.name.startswith(_SERVICE)
    answer = resolve(query.name.removeprefix(_SERVICE))
    records: list[bytes] = []
    if answer is None:
        return _message(query, _NO_SUCH_NAME, records)
    if query.kind == A and not asked_for_service:
        records = [_record(query.kind, answer.ttl, socket.inet_aton(address)) for address in answer.addresses]
    elif query.kind == SRV and asked_for_service and answer.port is not None:
        target = _encoded(answer.name)
        records = [_record(query.kind, answer.ttl, struct.pack("!3H", 0, 0, answer.port) + target)]
    return _message(query, _ANSWERED, records)


def _message(query: Query, code: int, records: list[bytes]) -> bytes:
    flags = 0x8400 | (0x0100 if query.recursion_desired else 0) | code
    head = struct.pack("!6H", query.identity, flags, 1, len(records), 0, 0)
    return head + query.question + b"".join(records)


def _record(kind: int, ttl: int, data: bytes) -> bytes:
    # Its name is a pointer to the question's, which always stands at byte 12.
    return struct.pack("!3HIH", 0xC00C, kind, _INTERNET, ttl, len(data)) + data


def _encoded(name: str) -> bytes:
    labels = [label.encode("ascii") for label in name.rstrip(".").split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


class DnsServer:
    """Answers on a UDP port of the loopback address, from a thread of its own.

    Parameters
    ----------
    port
        The port.
    resolve
        Says what a name resolves to.

    Raises
    ------
    OSError
        When the port is taken.
    """

    def __init__(self, port: int, resolve: Callable[[str], Answer | None]) -> None:
        self._resolve = resolve
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind(("127.0.0.1", port))
        except OSError:
            self._socket.close()
            raise
        # Closing a socket does not wake who waits on it.
        self._socket.settimeout(0.2)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lab-dns", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port."""
        self._closed.set()
        self._thread.join(timeout=5)
        self._socket.close()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                message, sender = self._socket.recvfrom(512)
            except TimeoutError:
                continue
            except OSError:
                # On some systems an earlier answer that nobody took is told here.
                continue
            if answer := self._answer(message):
                self._socket.sendto(answer, sender)

    def _answer(self, message: bytes) -> bytes | None:
        try:
            query = parse(message)
        except ValueError:
            # A reply to a reply would go on for ever.
            if len(message) < 12 or message[2] & 0x80:
                return None
            opcode = (message[2] >> 3) & 0xF
            code = _NOT_IMPLEMENTED if opcode else _FORMAT_ERROR
            return message[:2] + struct.pack("!5H", 0x8000 | opcode << 11 | code, 0, 0, 0, 0)
        return reply(query, self._resolve)
