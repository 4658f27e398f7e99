"""The application through its own load balancer, as a user would reach it."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.parse
from typing import TYPE_CHECKING, Any

from pilotlight.model import Answer

if TYPE_CHECKING:
    from pilotlight.model import Json

_PATIENCE_SECONDS = 5


_WORDS = 200


def ask(
    method: str, base: str, path: str, payload: Json | None = None, host: str = "", patience: float = _PATIENCE_SECONDS
) -> tuple[int, Any]:
    """Send one request.

    Parameters
    ----------
    base
        ``http://name`` or ``https://name:port`` of the load balancer.
    host
        The application's own name. The load balancer's certificate is for it, not for the name AWS gives the load
        balancer, so it is what TLS checks and what goes into the Host header. Without one, a certificate is not
        checked: the check is of the service, not of the way to it.
    patience
        Seconds to wait for a connection, and for each part of the answer.

    Returns
    -------
    tuple
        Status and the decoded body (JSON, else text); status 0 and a reason when no answer came.
    """
    address = urllib.parse.urlsplit(base)
    connection: http.client.HTTPConnection
    if address.scheme == "https":
        context = ssl.create_default_context()
        if not host:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        connection = _NamedConnection(address.hostname or "", address.port or 443, host, context, patience)
    else:
        connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=patience)
    headers = {"Content-Type": "application/json"} | ({"Host": host} if host else {})
    try:
        connection.request(method, path, json.dumps(payload) if payload is not None else None, headers)
        answer = connection.getresponse()
        body = answer.read(65536).decode("utf-8", "replace")
        return answer.status, _decoded(body)
    except (OSError, http.client.HTTPException) as error:
        return 0, f"{type(error).__name__}: {error}"
    finally:
        connection.close()


def look(base: str, path: str, host: str = "", patience: float = _PATIENCE_SECONDS) -> Answer:
    """Ask for a path, and say how it was answered, in what time.

    What the body says is told only where the status is no success.
    """
    began = time.perf_counter()
    status, body = ask("GET", base, path, host=host, patience=patience)
    took = round((time.perf_counter() - began) * 1000)
    return Answer(status, took, "" if 200 <= status < 300 else str(body)[:_WORDS])


def _decoded(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body


class _NamedConnection(http.client.HTTPSConnection):
    """HTTPS to one address under another name."""

    def __init__(self, address: str, port: int, name: str, context: ssl.SSLContext, patience: float) -> None:
        super().__init__(address, port, timeout=patience, context=context)
        self._name = name
        self._tls = context

    def connect(self) -> None:
        """Connect, and present and check the other name."""
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name or self.host)
