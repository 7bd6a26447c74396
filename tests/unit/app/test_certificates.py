"""Self-signed certificates that stock TLS stacks verify, and files that cannot be used."""

import datetime as dt
import hashlib
import ssl
import stat
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest
from aioquic.tls import verify_certificate
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
)

from mqvpn_core.app.certificates import (
    CertificateFiles,
    check_client_files,
    check_server_files,
    make_self_signed,
    pin_of,
    write_certificate,
)
from mqvpn_core.config import ClientConfig, HostPort, ServerConfig
from mqvpn_core.errors import ConfigError, HostError

NOW = dt.datetime.now(dt.UTC)
NAMES = ["vpn.example.org", "192.0.2.1", "2001:db8::1"]


def write(directory: Path, *, overwrite: bool = False, days: int = 30) -> CertificateFiles:
    files = CertificateFiles(
        cert_file=directory / "s.crt", key_file=directory / "s.key", overwrite=overwrite
    )
    write_certificate(make_self_signed(NAMES, days, NOW), files)
    return files


def config_of(files: CertificateFiles, site: Path | None = None) -> ServerConfig:
    return ServerConfig(cert_file=files.cert_file, key_file=files.key_file, site=site)


def handshake(client: ssl.SSLObject, server: ssl.SSLObject, pipes: list[ssl.MemoryBIO]) -> None:
    """Run a TLS handshake in memory; raises what either side raises."""
    to_client, from_client, to_server, from_server = pipes
    done: set[ssl.SSLObject] = set()
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
            to_server.write(from_client.read())
            to_client.write(from_server.read())
        if len(done) == 2:
            return
    raise AssertionError("no end of the handshake")


@pytest.mark.parametrize("name", NAMES)
def test_stock_tls_verifies_it_as_its_own_authority(tmp_path: Path, name: str) -> None:
    files = write(tmp_path)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(files.cert_file, files.key_file)
    client_context = ssl.create_default_context(cafile=str(files.cert_file))
    pipes = [ssl.MemoryBIO() for _ in range(4)]
    client = client_context.wrap_bio(pipes[0], pipes[1], server_hostname=name)
    server = server_context.wrap_bio(pipes[2], pipes[3], server_side=True)
    handshake(client, server, pipes)
    assert client.version() == "TLSv1.3"


def test_stock_tls_refuses_another_name(tmp_path: Path) -> None:
    files = write(tmp_path)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(files.cert_file, files.key_file)
    client_context = ssl.create_default_context(cafile=str(files.cert_file))
    pipes = [ssl.MemoryBIO() for _ in range(4)]
    client = client_context.wrap_bio(pipes[0], pipes[1], server_hostname="other.example.org")
    server = server_context.wrap_bio(pipes[2], pipes[3], server_side=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client, server, pipes)


@pytest.mark.parametrize("name", NAMES)
def test_stock_aioquic_verifies_it_as_its_own_authority(tmp_path: Path, name: str) -> None:
    files = write(tmp_path)
    certificate = x509.load_pem_x509_certificate(files.cert_file.read_bytes())
    verify_certificate(certificate=certificate, server_name=name, cafile=str(files.cert_file))


def test_pin_is_the_hash_of_the_public_key_alone() -> None:
    made = make_self_signed(NAMES, 30, NOW)
    certificate = x509.load_pem_x509_certificate(made.cert_pem)
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert pin_of(certificate) == made.pin
    assert made.pin.sha256 == hashlib.sha256(key).digest()
    assert str(made.pin).startswith("sha256/")


def test_content_of_the_certificate() -> None:
    certificate = x509.load_pem_x509_certificate(make_self_signed(NAMES, 30, NOW).cert_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAMES[0]]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address(name) for name in NAMES[1:]]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_before_utc < NOW
    assert certificate.not_valid_after_utc == (NOW + dt.timedelta(days=30)).replace(microsecond=0)


def test_long_name_fits_the_subject() -> None:
    name = ".".join(["label"] * 30)
    certificate = x509.load_pem_x509_certificate(make_self_signed([name], 1, NOW).cert_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [name]


def test_key_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    files = write(tmp_path)
    assert stat.S_IMODE(files.key_file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.crt", "s.key"]


def test_nothing_is_overwritten_unless_told(tmp_path: Path) -> None:
    files = write(tmp_path)
    before = files.key_file.read_bytes(), files.cert_file.read_bytes()
    with pytest.raises(HostError, match="exists already; --force overwrites it"):
        write(tmp_path)
    assert (files.key_file.read_bytes(), files.cert_file.read_bytes()) == before
    write(tmp_path, overwrite=True)
    assert files.key_file.read_bytes() != before[0]
    assert check_server_files(config_of(files), NOW) == ()


def test_no_lonely_key_is_left(tmp_path: Path) -> None:
    (tmp_path / "s.crt").write_text("somebody's")
    with pytest.raises(HostError, match="exists already"):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["s.crt"]


def test_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="No such file"):
        write(tmp_path / "gone")


def test_good_files_earn_no_warning(tmp_path: Path) -> None:
    assert check_server_files(config_of(write(tmp_path), site=tmp_path), NOW) == ()


def _other_key(files: CertificateFiles) -> None:
    files.key_file.write_bytes(make_self_signed(NAMES, 1, NOW).key_pem)


def _key_with_password(files: CertificateFiles) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    files.key_file.write_bytes(pem)


SPOILT: list[tuple[Callable[[CertificateFiles], object], str]] = [
    (lambda files: files.cert_file.unlink(), r"s.crt: No such file"),
    (lambda files: files.key_file.unlink(), r"s.key: No such file"),
    (lambda files: files.cert_file.write_text("x"), r"s.crt: holds no certificate"),
    (lambda files: files.key_file.write_text("x"), r"s.key: holds no usable private key"),
    (lambda files: files.cert_file.write_bytes(files.key_file.read_bytes()), r"no certificate"),
    (_other_key, r"s.key: is not the private key of the certificate .*s.crt"),
    (_key_with_password, r"s.key: the private key has a password"),
]


@pytest.mark.parametrize(("spoil", "says"), SPOILT)
def test_files_that_cannot_be_used(
    tmp_path: Path, spoil: Callable[[CertificateFiles], object], says: str
) -> None:
    files = write(tmp_path)
    spoil(files)
    with pytest.raises(ConfigError, match=says):
        check_server_files(config_of(files), NOW)


def test_site_must_be_a_directory(tmp_path: Path) -> None:
    files = write(tmp_path)
    with pytest.raises(ConfigError, match="site must be a directory"):
        check_server_files(config_of(files, site=files.cert_file), NOW)


@pytest.mark.parametrize(
    ("days", "says"), [(-2, "valid only from"), (31, "expired on"), (20, "expires on"), (1, "")]
)
def test_validity_is_warned_of(tmp_path: Path, days: int, says: str) -> None:
    warnings = check_server_files(config_of(write(tmp_path)), NOW + dt.timedelta(days=days))
    assert [says in warning for warning in warnings] == ([True] if says else [])


def test_readable_key_is_warned_of(tmp_path: Path) -> None:
    files = write(tmp_path)
    files.key_file.chmod(0o644)
    (warning,) = check_server_files(config_of(files), NOW)
    assert "chmod 600" in warning


def test_authorities_of_a_client(tmp_path: Path) -> None:
    files = write(tmp_path)
    server = HostPort(host="a")
    assert check_client_files(ClientConfig(server=server)) == ()
    assert check_client_files(ClientConfig(server=server, ca_file=files.cert_file)) == ()
    with pytest.raises(ConfigError, match="holds no certificate"):
        check_client_files(ClientConfig(server=server, ca_file=files.key_file))
    with pytest.raises(ConfigError, match=r"larger than .*; not a file of certificates"):
        check_client_files(ClientConfig(server=server, ca_file=Path("/dev/zero")))
