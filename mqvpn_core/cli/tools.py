"""``genkey``, ``gencert``, ``demo`` and ``recover``."""

import datetime as dt
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from mqvpn_core.app.exit_codes import ExitCode
from mqvpn_core.app.keys import hash_of, new_key
from mqvpn_core.app.new_files import write_new_file
from mqvpn_core.app.secret_sources import read_secret
from mqvpn_core.cli.parsing import Parser
from mqvpn_core.config import Secret
from mqvpn_core.config.parsing import host, integer, key
from mqvpn_core.errors import ConfigError

_NO_OTHERS: dict[str, str] = {}
_KEY_MODE = 0o600


def genkey(arguments: Sequence[str]) -> int:
    """``mqvpn-core genkey``."""
    parser = Parser("genkey", "[OPTIONS]")
    parser.add_argument("--json", action="store_true", help="print key and hash as JSON")
    parser.add_argument("--output", metavar="FILE", help="write the key to a new file of mode 600")
    parser.add_argument("--force", action="store_true", help="with --output: overwrite the file")
    parser.add_argument(
        "--hash-of", metavar="FILE", help="make no key; hash the one in FILE (or fd:N)"
    )
    namespace = parser.parse(arguments, _NO_OTHERS)
    if namespace.hash_of is not None:
        text, _exposure = read_secret(namespace.hash_of)
        return _print_key(None, key(text), as_json=namespace.json)
    secret = new_key()
    if namespace.output is None:
        return _print_key(secret, secret, as_json=namespace.json)
    write_new_file(
        Path(namespace.output),
        secret.reveal().encode() + b"\n",
        mode=_KEY_MODE,
        overwrite=namespace.force,
    )
    return _print_key(None, secret, as_json=namespace.json)


def _print_key(shown: Secret | None, secret: Secret, *, as_json: bool) -> int:
    """Print ``shown``, or without it the hash of ``secret``."""
    hashed = hash_of(secret).to_text()
    if as_json:
        report = {} if shown is None else {"key": shown.reveal()}
        sys.stdout.write(json.dumps({**report, "hash": hashed}) + "\n")
    else:
        sys.stdout.write((hashed if shown is None else shown.reveal()) + "\n")
    return ExitCode.OK


def gencert(arguments: Sequence[str]) -> int:
    """``mqvpn-core gencert``."""
    from mqvpn_core.app import certificates  # noqa: PLC0415 - loads the cryptography package

    parser = Parser("gencert", "[OPTIONS]")
    parser.add_argument(
        "--name",
        action="append",
        metavar="NAME",
        help="host name or IP address it is for; may be repeated (default: localhost; a client"
        " that pins does not look at names)",
    )
    parser.add_argument("--days", default="3650", metavar="N", help="validity (default: 3650)")
    parser.add_argument(
        "--cert", default="server.crt", metavar="FILE", help="(default: server.crt)"
    )
    parser.add_argument(
        "--key", default="server.key", metavar="FILE", help="and its key (default: server.key)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite files that are there")
    parser.add_argument("--json", action="store_true", help="print JSON")
    namespace = parser.parse(arguments, _NO_OTHERS)
    try:
        names = [host(name) for name in namespace.name or ["localhost"]]
        days = integer(1, certificates.MAX_DAYS)(namespace.days)
    except ConfigError as error:
        parser.error(str(error))
    made = certificates.make_self_signed(names, days, dt.datetime.now(dt.UTC))
    files = certificates.CertificateFiles(
        cert_file=Path(namespace.cert), key_file=Path(namespace.key), overwrite=namespace.force
    )
    certificates.write_certificate(made, files)
    report = {
        "cert": namespace.cert,
        "key": namespace.key,
        "pin": str(made.pin),
        "names": names,
        "not_after": made.not_after.isoformat(),
    }
    if namespace.json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        sys.stdout.write(
            f"certificate  {namespace.cert} (ECDSA P-256, for {', '.join(names)},"
            f" until {made.not_after:%Y-%m-%d})\n"
            f"private key  {namespace.key} (mode 600)\n"
            f"pin          {made.pin}\n"
        )
    return ExitCode.OK


def recover(arguments: Sequence[str]) -> int:
    """``mqvpn-core recover``."""
    from mqvpn_core.app import recover as recovery  # noqa: PLC0415 - keeps --help quick

    parser = Parser("recover", "[OPTIONS]")
    parser.add_argument(
        "--stop", action="store_true", help="first end what still runs: clients, servers, helper"
    )
    parser.add_argument(
        "--state-directory",
        metavar="DIR",
        help="look into this journal of changes alone (default: /run/mqvpn and /run/mqvpn-server)",
    )
    namespace = parser.parse(arguments, _NO_OTHERS)
    given = namespace.state_directory
    directories = recovery.STATE_DIRECTORIES if given is None else (Path(given),)

    def tell(line: str) -> None:
        sys.stdout.write(f"{line}\n")

    return recovery.run(tell, directories, stop=namespace.stop)


def demo(arguments: Sequence[str]) -> int:
    """``mqvpn-core demo``."""
    from mqvpn_core.demo.main import DemoOptions, run_demo  # noqa: PLC0415 - keeps --help quick

    parser = Parser("demo", "[OPTIONS]")
    parser.add_argument(
        "--download-bytes", metavar="N", help="how much to download through the tunnel"
    )
    parser.add_argument("--keep", action="store_true", help="leave everything up until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    namespace = parser.parse(arguments, _NO_OTHERS)
    size = DemoOptions().download_bytes
    if namespace.download_bytes is not None:
        try:
            size = integer(1, 999_999_999)(namespace.download_bytes)
        except ConfigError as error:
            parser.error(str(error))
    return run_demo(DemoOptions(download_bytes=size, as_json=namespace.json, keep=namespace.keep))
