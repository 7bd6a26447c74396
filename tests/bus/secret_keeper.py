"""A program that keeps a secret as the helper does, and says what it has got from the one before.

python secret_keeper.py LOG
"""

import os
import signal
import sys
from pathlib import Path

from mqvpn_helper.host.wish_files import WishFiles
from mqvpn_helper.interface.service_notices import kept_descriptors, service_orders
from mqvpn_helper.session.secret_shelf import SECRET_NAME, ManagerShelf


def main(log: Path) -> None:
    """Say what was kept, keep this process's number, and wait."""
    orders = service_orders(os.environ, os.getpid())
    kept = kept_descriptors(os.environ, os.getpid())
    shelf = ManagerShelf(orders.address, kept.get(SECRET_NAME))
    files = WishFiles(log.parent, "mqvpn0", 1)
    found = shelf.take(files)
    told = "" if found is None else os.pread(found, 100, 0).decode()
    memory = os.memfd_create("secret")
    os.write(memory, str(os.getpid()).encode())
    shelf.put(files, memory)
    with log.open("a", encoding="ascii") as file:
        file.write(f"{os.getpid()} {told}\n")
    signal.pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
