"""Entry point of ``mqvpn-helper``; says what is missing where jeepney is not there."""

import sys


def run() -> int:
    """Run ``mqvpn-helper`` with the arguments of the process."""
    try:
        from mqvpn_helper.service.main import main  # noqa: PLC0415 - to explain its absence
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package != "jeepney":
            raise
        sys.stderr.write(
            f"mqvpn-helper: the Python package {package} is missing\n"
            "  run: pip install 'mqvpn[helper]'\n"
        )
        return 1
    return main()


if __name__ == "__main__":
    sys.exit(run())
