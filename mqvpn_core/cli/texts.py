"""What ``--help`` teaches besides the options: examples first."""

from collections.abc import Mapping

PROGRAM = "mqvpn-core"
"""Name of the program."""

COMMANDS: Mapping[str, str] = {
    "client": "open a tunnel to a server",
    "server": "accept tunnels",
    "demo": "show a whole VPN on this machine, in network namespaces of its own (root)",
    "user": "invite users to a server with a link each, list them, remove them",
    "genkey": "make a key",
    "gencert": "make a self-signed certificate and print its pin",
    "status": "show what the running client or server does",
    "events": "show what has happened to it, such as failovers and their gaps",
    "path": "change role, cap or rate of a running client's interfaces",
    "scheduler": "change how a running client or server spreads packets over paths",
    "portal": "let an interface past the kill switch for a while, to log in to its network",
    "recover": "take back whatever is left on this machine, a kill switch included (root)",
    "check-config": "check a configuration and print what is in effect",
}
"""The commands with one line each."""

SUB_COMMANDS: Mapping[str, Mapping[str, str]] = {
    "server": {
        "init": "make all that a new server needs, and a link for its first user",
        "check": "say what may be wrong with a server of this machine",
    },
}
"""Commands below a command that does something by itself as well."""

EXIT_CODES = """\
exit codes:
  0  done, or stopped on request
  1  something failed
  2  a wrong option, key or value; nothing was changed
  3  the server refused the key
  4  the server does not answer, or its certificate is not trusted
  5  this machine cannot carry a tunnel: a privilege is missing (root, or CAP_NET_ADMIN and
     /dev/net/tun), or its network refused a change
"""
"""The exit codes, as `mqvpn_core.app.exit_codes` defines them."""


def command_lines(commands: Mapping[str, str]) -> str:
    """Return commands with a line each, below a heading.

    Args:
        commands: names with what they do.
    """
    width = max(map(len, commands))
    lines = (f"  {name:<{width}}  {text}\n" for name, text in commands.items())
    return "commands, each with its own --help:\n" + "".join(lines)


def overview() -> str:
    """Return the text of ``mqvpn-core --help``."""
    return f"""\
mqvpn-core: a VPN over HTTP/3 (MASQUE CONNECT-IP, RFC 9484) and multipath QUIC

try it, as root; it touches nothing outside its own network namespaces:
  mqvpn-core demo

a server; the first command makes what it needs and prints a link for a laptop:
  mqvpn-core server init
  mqvpn-core server --config /etc/mqvpn/server.toml

a server by hand, with a key and a certificate of its own:
  mqvpn-core genkey --output auth.key
  mqvpn-core gencert --cert server.crt --key server.key     (prints the pin)
  mqvpn-core server --cert server.crt --key server.key --auth-key-file auth.key

a client of that one:
  mqvpn-core client vpn.example.org --auth-key-file auth.key --pin sha256/...

look at either:
  mqvpn-core status --watch
  mqvpn-core events --follow

{command_lines(COMMANDS)}
instead of options, a file; TOML, or INI and JSON of the C program of the same name:
  mqvpn-core --config client.toml
  mqvpn-core check-config client.toml

the options of that program are accepted, too:
  mqvpn-core --mode client --server vpn.example.org:443 --auth-key-file auth.key

other options:
  --help, -h   this text
  --version    version, kernel, Python and aioquic

{EXIT_CODES}"""


EXAMPLES: Mapping[str, str] = {
    "client": """\
  mqvpn-core client vpn.example.org --auth-key-file auth.key
  mqvpn-core client 192.0.2.1:443 --pin sha256/... --auth-key-file auth.key
  mqvpn-core client vpn.example.org --auth-key-file fd:3 --routes advertised 3<auth.key
  mqvpn-core client --config client.toml""",
    "server": """\
  mqvpn-core server --config server.toml
  mqvpn-core server --cert server.crt --key server.key --auth-key-file auth.key
  mqvpn-core server --cert c.pem --key k.pem --auth-key-file auth.key --subnet6 fd00:1::/64

signals of a running server:
  SIGHUP            read the file again; tunnels stay
  SIGUSR2           stop for a restart: connections of clients survive until the next server is up
  SIGTERM, SIGINT   stop and take back every change of this machine""",
    "server init": """\
  mqvpn-core server init                         asks for what is not said
  mqvpn-core server init --yes --name vpn.example.org --user alice
  mqvpn-core server init --yes --name vpn.example.org --cert fullchain.pem --key privkey.pem""",
    "server check": """\
  mqvpn-core server check
  mqvpn-core server check --config server.toml --json
  mqvpn-core server check --reach vpn.example.org     from another machine: is the port open?""",
    "user": """\
  mqvpn-core user add alice                      prints a link for alice's device, once
  mqvpn-core user add alice --server vpn.example.org --title Office
  mqvpn-core user add bob --users-file users --cert server.crt --server 192.0.2.1
  mqvpn-core user add alice --replace            a new key; the old one is worth nothing then
  mqvpn-core user list
  mqvpn-core user rm alice

the server's configuration needs users_file = "users"; a running server is told to read it again""",
    "genkey": """\
  mqvpn-core genkey                              print a key
  mqvpn-core genkey --output auth.key            write it to a new file of mode 600
  mqvpn-core genkey --json                       key and hash, for programs
  mqvpn-core genkey --hash-of auth.key           the hash, for the server's file""",
    "gencert": """\
  mqvpn-core gencert
  mqvpn-core gencert --name vpn.example.org --name 192.0.2.1 --days 365
  mqvpn-core gencert --cert server.crt --key server.key --json""",
    "status": """\
  mqvpn-core status
  mqvpn-core status --watch
  mqvpn-core status --tun-name mqvpn1 --json
  mqvpn-core status --watch 5 --json >> status.jsonl""",
    "path": """\
  mqvpn-core path set wlan0 --role backup
  mqvpn-core path set 'wwan*' --cap '5 GB' --rate-limit '10 Mbit/s'
  mqvpn-core path set wwan0 --role default --cap none

holds at once and after a restart, until it is set again or the configuration of links changes""",
    "scheduler": """\
  mqvpn-core scheduler                           print the one in use
  mqvpn-core scheduler minrtt
  mqvpn-core scheduler redundant --tun-name mqvpn1

a client's scheduler chooses for what it sends, the server's for what all its clients receive""",
    "events": """\
  mqvpn-core events
  mqvpn-core events --follow
  mqvpn-core events --follow --json | jq 'select(.kind == "failover").details.gap_ms'
  mqvpn-core events --since 120 --debug""",
    "portal": """\
  mqvpn-core portal wlan0
  mqvpn-core portal wlan0 --minutes 15
  mqvpn-core portal wlan0 --end""",
    "recover": """\
  mqvpn-core recover                             after a crash, or to end a kill switch
  mqvpn-core recover --stop                      before mqvpn is taken off the machine""",
    "check-config": """\
  mqvpn-core check-config server.toml
  mqvpn-core check-config /etc/mqvpn/client.conf --json
  mqvpn-core check-config --mode client client.conf --mtu 1400
  mqvpn-core check-config --reference            all keys, as Markdown""",
    "demo": """\
  mqvpn-core demo
  mqvpn-core demo --keep                         leave everything up until Ctrl-C
  mqvpn-core demo --json""",
}
"""Examples of each command."""
