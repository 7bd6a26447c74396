"""aioquic is pinned; this test says what to review when the pin moves.

We override or call the private names below. Each is pinned by a hash of its source tree without
docstrings and annotations, so that a release that only moves or documents code passes.
"""

import ast
import hashlib
import inspect
import json
from pathlib import Path

import aioquic
from aioquic import tls
from aioquic.h3 import connection as h3
from aioquic.quic import connection, crypto, packet, packet_builder, recovery, retry, stream

PINNED_VERSION = "1.7.2"
TABLE = Path(__file__).with_name("aioquic_canary.json")

ENGINE_OVERRIDES = (
    "_initialize",
    "_connect",
    "_parse_transport_parameters",
    "_idle_timeout",
    "_close_begin",
    "_replenish_connection_ids",
    "_send_probing_frames",
    "_probe_preferred_address",
    "_write_connection_limits",
    "_write_stream_limits",
)
ENGINE_CALLS = (
    "__init__",
    "_alpn_handler",
    "_close_end",
    "_confirm_handshake",
    "_discard_epoch",
    "_find_network_path",
    "_flush_builder",
    "_get_or_create_stream",
    "_get_or_create_stream_for_send",
    "_handle_connection_close_frame",
    "_handle_crypto_frame",
    "_handle_data_blocked_frame",
    "_handle_handshake_done_frame",
    "_handle_max_data_frame",
    "_handle_max_stream_data_frame",
    "_handle_max_streams_bidi_frame",
    "_handle_max_streams_uni_frame",
    "_handle_new_token_frame",
    "_handle_ping_frame",
    "_handle_reset_stream_frame",
    "_handle_stop_sending_frame",
    "_handle_stream_data_blocked_frame",
    "_handle_stream_frame",
    "_handle_streams_blocked_frame",
    "_on_connection_limit_delivery",
    "_on_max_stream_data_delivery",
    "_payload_received",
    "_receive_retry_packet",
    "_receive_version_negotiation_packet",
    "_serialize_transport_parameters",
    "_stream_limit",
    "_update_traffic_key",
    "_write_application",
    "_write_connection_close_frame",
    "_write_crypto_frame",
    "_write_handshake",
    "_write_handshake_done_frame",
    "_write_ping_frame",
    "_write_reset_stream_frame",
    "_write_stop_sending_frame",
    "_write_stream_frame",
    "close",
    "connect",
    "datagrams_to_send",
    "get_timer",
    "handle_timer",
    "receive_datagram",
    "reset_stream",
    "stop_stream",
)
H3_NAMES = (
    "__init__",
    "_get_local_settings",
    "_init_connection",
    "_receive_stop_sending",
    "_receive_stream_data",
    "_receive_stream_reset",
    "send_data",
    "send_headers",
)


def _pinned() -> dict[str, object]:
    names: dict[str, object] = {
        f"QuicConnection.{name}": getattr(connection.QuicConnection, name)
        for name in ENGINE_OVERRIDES + ENGINE_CALLS
    }
    names |= {f"H3Connection.{name}": getattr(h3.H3Connection, name) for name in H3_NAMES}
    names |= {
        "QuicNetworkPath": connection.QuicNetworkPath,
        "QuicReceiveContext": connection.QuicReceiveContext,
        "Limit": connection.Limit,
        "QuicPacketBuilder.start_frame": packet_builder.QuicPacketBuilder.start_frame,
        "QuicPacketBuilder.start_packet": packet_builder.QuicPacketBuilder.start_packet,
        "QuicStreamSender": stream.QuicStreamSender,
        "QuicStreamReceiver": stream.QuicStreamReceiver,
        "CryptoContext.setup": crypto.CryptoContext.setup,
        "pull_quic_header": packet.pull_quic_header,
        "QuicPacketRecovery.__init__": recovery.QuicPacketRecovery.__init__,
        "QuicRetryTokenHandler": retry.QuicRetryTokenHandler,
        "CryptoPair.setup_initial": crypto.CryptoPair.setup_initial,
        "tls.Context.__init__": tls.Context.__init__,
        "tls.Context._client_send_hello": tls.Context._client_send_hello,
        "tls.Context._client_handle_certificate": tls.Context._client_handle_certificate,
    }
    return names


def _fingerprint(subject: object) -> str:
    assert inspect.isfunction(subject) or inspect.isclass(subject)
    tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(subject)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
            if isinstance(node, ast.FunctionDef):
                node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def fingerprints() -> dict[str, str]:
    """Hash everything; `python -m tests.meta.test_aioquic_canary` writes the table anew."""
    return {name: _fingerprint(subject) for name, subject in sorted(_pinned().items())}


def test_aioquic_is_the_reviewed_version() -> None:
    assert aioquic.__version__ == PINNED_VERSION


def test_private_names_of_aioquic_are_as_reviewed() -> None:
    known = json.loads(TABLE.read_text())
    changed = [name for name, value in fingerprints().items() if known.get(name) != value]
    assert not changed, f"review what the bridge relies on in: {', '.join(changed)}"
    assert set(known) == set(_pinned())


if __name__ == "__main__":
    TABLE.write_text(json.dumps(fingerprints(), indent=2) + "\n")
