"""Fetch a URL and report in one line of JSON: ``python -m mqvpn_core.demo.download URL``."""

import hashlib
import json
import sys
import time
from http.client import HTTPConnection
from urllib.parse import urlsplit

TIMEOUT = 20.0
"""Seconds without a byte after which the download has failed."""

_CHUNK_BYTES = 1 << 16
_SHOWN_BYTES = 100


def main() -> None:
    """Fetch, hash, report."""
    url = urlsplit(sys.argv[1])
    connection = HTTPConnection(url.hostname or "", url.port or 80, timeout=TIMEOUT)
    started = time.perf_counter()
    connection.request("GET", url.path)
    response = connection.getresponse()
    digest = hashlib.sha256()
    size = 0
    beginning = b""
    while chunk := response.read(_CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        beginning = beginning or chunk[:_SHOWN_BYTES]
    report = {
        "status": response.status,
        "bytes": size,
        "sha256": digest.hexdigest(),
        "seconds": time.perf_counter() - started,
        "beginning": beginning.decode("ascii", errors="replace"),
    }
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
