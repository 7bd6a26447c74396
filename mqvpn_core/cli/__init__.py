"""The ``mqvpn-core`` command line."""

from mqvpn_core.cli.main import main

__all__ = ["main"]
