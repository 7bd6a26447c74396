"""Entry point of ``mqvpn-gui``; says what is missing where Qt or what it needs is not there."""

import sys

_PACKAGES = frozenset({"PySide6", "shiboken6", "zxingcpp", "jeepney", "keyring", "segno"})
_LIBRARIES = "libegl1 libgl1 libxkbcommon0 libfontconfig1 libdbus-1-3"


def run() -> int:
    """Run ``mqvpn-gui`` with the arguments of the process."""
    try:
        from mqvpn_gui.app.main import main  # noqa: PLC0415 - to explain its absence
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _PACKAGES and ".so" not in str(error):
            raise
        if isinstance(error, ModuleNotFoundError):
            text = f"the Python package {package} is missing\n  run: pip install 'mqvpn[gui]'"
        else:  # a library of the system
            text = f"{error}\n  Qt needs it; on Debian: sudo apt install {_LIBRARIES}"
        sys.stderr.write(f"mqvpn-gui: {text}\n")
        return 1
    return main()


if __name__ == "__main__":
    sys.exit(run())
