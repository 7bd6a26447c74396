"""A name server of a namespace that tells the same address for everything."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mqvpn_core.demo.namespaces import NetworkNamespace
from tests.e2e.topology import udp_socket
from tests.resolver.name_servers import answer


@contextmanager
def name_server(namespace: NetworkNamespace, at: str, told: str) -> Iterator[list[bytes]]:
    """Answer every question for an IPv4 address; what is yielded are the questions.

    Args:
        namespace: where it is.
        at: its own address.
        told: the address it tells.
    """
    asked: list[bytes] = []
    is_over = threading.Event()
    serving = udp_socket(namespace, at, 53)
    serving.settimeout(0.1)

    def serve() -> None:
        while not is_over.is_set():
            with suppress(TimeoutError):
                question, client = serving.recvfrom(4096)
                asked.append(question)
                serving.sendto(answer(question, told), client)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        is_over.set()
        thread.join()
        serving.close()
