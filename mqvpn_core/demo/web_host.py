"""A tiny web server for the far end: ``python -m mqvpn_core.demo.web_host PORT``.

``GET /bytes/N`` sends N bytes that anyone can compute, ``GET /you`` tells the caller its address,
``PUT /anything`` answers with the SHA-256 of what came.
"""

import hashlib
import socket
import sys
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from typing_extensions import override

MAX_PAYLOAD_BYTES = 1 << 30

_CHUNK_BYTES = 1 << 16


@cache
def payload(size: int) -> bytes:
    """The bytes of ``/bytes/SIZE``: incompressible, the same everywhere."""
    return hashlib.shake_256(b"mqvpn").digest(size)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind, _, rest = self.path.strip("/").partition("/")
        if kind == "you":
            self._answer(str(self.client_address[0]).removeprefix("::ffff:").encode())
        elif kind == "bytes" and rest.isdecimal() and int(rest) <= MAX_PAYLOAD_BYTES:
            self._answer(payload(int(rest)))
        else:
            self.send_error(404)

    def do_PUT(self) -> None:
        digest = hashlib.sha256()
        left = int(self.headers["Content-Length"])
        while left:
            chunk = self.rfile.read(min(left, _CHUNK_BYTES))
            if not chunk:
                return
            digest.update(chunk)
            left -= len(chunk)
        self._answer(digest.hexdigest().encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _DualStackServer(ThreadingHTTPServer):
    address_family: int = socket.AF_INET6
    daemon_threads = True

    @override
    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def main() -> None:
    """Serve until killed."""
    _DualStackServer(("::", int(sys.argv[1])), _Handler).serve_forever()


if __name__ == "__main__":
    main()
