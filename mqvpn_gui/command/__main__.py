"""Entry point of ``mqvpn``; says what is missing where the packages of the desktop are."""

import io
import sys

# What a terminal of another alphabet cannot show is no reason to fail.
_ERRORS = "replace"
_PACKAGES = frozenset({"jeepney", "keyring", "segno"})


def run() -> int:
    """Run ``mqvpn`` with the arguments of the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)
    try:
        from mqvpn_gui.command.main import main  # noqa: PLC0415 - to explain its absence

        return main()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _PACKAGES:
            raise
        sys.stderr.write(
            f"mqvpn: the Python package {package} is missing\n  run: pip install 'mqvpn[desktop]'\n"
        )
        return 1


if __name__ == "__main__":
    sys.exit(run())
