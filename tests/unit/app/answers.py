"""Control sockets that answer what a test wants."""

import socket
import threading
from pathlib import Path


def answering(path: Path, answer: bytes) -> threading.Thread:
    """Answer one connection on ``path`` with ``answer``, whatever it asks."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(1)

    def answer_once() -> None:
        with listening:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

    thread = threading.Thread(target=answer_once)
    thread.start()
    return thread
