"""docs/configuration.md, made from the table of keys."""

from mqvpn_core.config.setting import Form, Group, Role, Setting
from mqvpn_core.config.table import TABLE, settings_of

_INTRODUCTION = """\
# Configuration

This page is made from the program's own table of keys by `mqvpn-core check-config --reference`;
a test keeps the two in step.

Every key may stand in a TOML or JSON file under its name, and on the command line as an option:
`tun_name` is `--tun-name`. Options win over the environment variable `MQVPN_AUTH_KEY`, that over
the file, and the file over the defaults. Unknown keys and values out of range are errors;
`mqvpn-core check-config FILE` prints what is in effect, with secrets hidden. File names in a file
are relative to its directory.

A client (`mqvpn-core --config client.toml`):

```toml
mode = "client"
server = "vpn.example.org:443"
auth_key_file = "auth.key"

[roles]                  # --role wlan0=primary --role 'wwan*=backup'
wlan0 = "primary"
"wwan*" = "backup"

[caps]                   # --cap 'wwan*=5 GB'
"wwan*" = "5 GB"
```

A server (`mqvpn-core --config server.toml`; `mqvpn-core genkey --hash-of FILE` makes the hashes):

```toml
mode = "server"
cert_file = "server.crt"
key_file = "server.key"
subnet = "10.0.0.0/24"

[users]
alice = "sha256:0123456789abcdef0123456789abcdef:SIXTY-FOUR-HEX-DIGITS"
bob = "a-key-in-plain-of-at-least-16-characters"
```

## Secrets

A client shows its key, and the key alone says who it is. A key may come from

* a file: `auth_key_file = "FILE"`; a warning tells when other users can read it;
* an inherited descriptor: `auth_key_file = "fd:3"`, read once;
* the environment variable `MQVPN_AUTH_KEY`, which is removed before anything else is started;
* the configuration file itself (`auth_key`), or the command line (`--auth-key`, `--user`), which
  works but earns a warning, and is blotted out of the process list.

A server keeps only salted SHA-256 hashes in memory, and takes hashes in its file. A key of
`mqvpn-core genkey` has 256 random bits, so its hash is of no use to whoever reads it. Keys that
people invent are another matter: a server refuses those of fewer than 16 characters.

## Keys
"""

_COMPATIBILITY = """\
## Files and options of the C program

A file with a section such as `[Interface]` is read as its INI file, one that begins with `{` as its
JSON file (our own names work there as well). Keys of the other role are skipped with a warning.
A setting that is not supported is accepted with a warning, or refused where ignoring it would be
unsafe. Without a sub-command, `--mode client` or `--mode server` chooses
the role.

| INI | JSON | our key | options |
|---|---|---|---|
"""


def render_reference() -> str:
    """Return the documentation of all keys as Markdown."""
    parts = [_INTRODUCTION]
    for group in Group:
        rows = [_row(setting) for setting in TABLE if setting.group is group]
        parts.append(
            f"### {group.value}\n\n"
            "| key | for | form | allowed | default | meaning |\n|---|---|---|---|---|---|\n"
            + "".join(rows)
        )
    rows = [_compatibility_row(setting) for setting in TABLE if setting.ini]
    parts.append(_COMPATIBILITY + "".join(rows))
    return "\n".join(parts)


def _row(setting: Setting[object]) -> str:
    cells = (
        f"`{setting.name}`",
        _roles(setting),
        setting.form.value,
        setting.allowed,
        _default(setting),
        setting.doc,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _roles(setting: Setting[object]) -> str:
    return ", ".join(role.value for role in Role if setting in settings_of(role))


def _default(setting: Setting[object]) -> str:
    if setting.default is None:
        return "required"
    if setting.default in {(), ("",)}:
        return "none"
    if setting.form is Form.LIST:
        return "`[" + ", ".join(f'"{text}"' for text in setting.default) + "]`"
    return f"`{', '.join(setting.default)}`"


def _compatibility_row(setting: Setting[object]) -> str:
    section, _, key = setting.ini.partition(".")
    options = " ".join(f"`{option}`" for option in (setting.option, *setting.options))
    return (
        f"| `[{section}] {key}` | `{setting.json or setting.name}` | `{setting.name}` |"
        f" {options} |\n"
    )
