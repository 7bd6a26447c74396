"""What a server with several workers starts: ``python -m mqvpn_core.cli.server_worker CHANNEL``.

The argument is the number of an inherited descriptor. Not a command for people.
"""

import sys

from mqvpn_core.app import server_worker

if __name__ == "__main__":
    sys.exit(server_worker.run(int(sys.argv[1])))
