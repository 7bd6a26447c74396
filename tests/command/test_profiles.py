"""``mqvpn profile``: what goes where, and what is said about it."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from keyring.errors import KeyringLocked, NoKeyringError

from mqvpn_gui.command.exit_codes import ExitCode
from mqvpn_gui.command.own_arguments import hide_argument
from mqvpn_gui.user.profile_links import profile_from_link
from mqvpn_gui.user.secret_text import SecretText
from tests.command.runs import LINK, PIN, Command


def test_a_pasted_link_becomes_a_profile_and_its_key_goes_to_the_keyring(mqvpn: Command) -> None:
    mqvpn.hidden_answers = [LINK]
    outcome = mqvpn("profile", "import", typed="")
    assert outcome.code == ExitCode.OK
    assert outcome.out == (
        "profile office: vpn.example.org:443, pinned\nconnect with: mqvpn up office\n"
    )
    assert mqvpn.kept("office") == "the-key-of-alice"
    stored = mqvpn.store.read("office")
    assert (stored.user, stored.settings.name, stored.settings.pins) == ("alice", "Office", (PIN,))
    file = mqvpn.store.path_of("office")
    assert "the-key" not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "the-key" not in outcome.out + outcome.err


def test_a_piped_link_needs_no_terminal(mqvpn: Command) -> None:
    for arguments in (("-",), ()):
        outcome = mqvpn("profile", "import", *arguments, "--json", "--force", piped=f"{LINK}\n")
        assert outcome.json == {
            "name": outcome.json["name"],  # type: ignore[index]  # it is an object
            "server": "vpn.example.org:443",
            "key_kept": True,
        }
    assert mqvpn.store.names() == ("office", "office-2")


def test_a_link_as_an_argument_earns_a_warning(mqvpn: Command) -> None:
    outcome = mqvpn("profile", "import", LINK)
    assert outcome.code == ExitCode.OK
    assert "warning: the link stood on the command line" in outcome.err
    without = mqvpn("profile", "import", LINK.partition("#")[0], "--name", "b")
    assert without.err == ""
    assert "no key is kept; 'mqvpn profile set-key b' keeps one" in without.out


def test_a_link_is_never_repeated_by_an_error(mqvpn: Command) -> None:
    for arguments in ((LINK,), ("up", "x", LINK), ("profile", "show", "x", LINK)):
        outcome = mqvpn(*arguments)
        assert outcome.code == ExitCode.USAGE
        assert "the-key" not in outcome.err
    assert mqvpn("profile", "import", LINK + "%").code == ExitCode.FAILURE


def test_a_file_is_imported(mqvpn: Command, tmp_path: Path) -> None:
    file = tmp_path / "client.conf"
    file.write_text("[Server]\nAddress = h.example:8443\n[Auth]\nKey = k-of-h\n")
    outcome = mqvpn("profile", "import", str(file), "--name", "old")
    assert outcome.out.startswith("profile old: h.example:8443\n")
    assert f"{file} still holds the key: delete it" in outcome.err
    assert mqvpn.kept("old") == "k-of-h"
    again = mqvpn("profile", "import", str(file), "--name", "old")
    assert (again.code, "already" in again.err, "--force" in again.err) == (1, True, True)
    assert mqvpn("profile", "import", str(file), "--name", "old", "--force").code == ExitCode.OK
    missing = mqvpn("profile", "import", str(tmp_path / "none"))
    assert "there is no such file" in missing.err
    ca = tmp_path / "with-ca.toml"
    ca.write_text('server = "h"\nca_file = "ca.pem"\n')
    assert "not there" in mqvpn("profile", "import", str(ca)).err
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----")
    assert mqvpn("profile", "import", str(ca), "--name", "ca").code == ExitCode.OK
    assert "import the file itself" in mqvpn("profile", "import", piped=ca.read_text()).err


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyringLocked("x"), ExitCode.SECRET), (NoKeyringError("x"), ExitCode.OK)],
    ids=["locked", "absent"],
)
def test_without_a_keyring_the_profile_is_kept_and_the_key_is_not(
    mqvpn: Command, error: Exception, code: ExitCode
) -> None:
    mqvpn.keyring.error = error
    outcome = mqvpn("profile", "import", piped=LINK)
    assert outcome.code == code
    assert mqvpn.store.names() == ("office",)
    assert "warning: the key was not kept:" in outcome.err
    assert "'mqvpn up office' will ask for it each time" in outcome.err


def test_a_server_is_added_by_name(mqvpn: Command) -> None:
    mqvpn.hidden_answers = ["typed-key"]
    outcome = mqvpn(
        *("profile", "add", "lab", "--server", "lab.example", "--pin", PIN, "--user", "bob"),
        *("--kill-switch", "always"),
        typed="",
    )
    assert outcome.code == ExitCode.OK
    assert mqvpn.asked == ["Key of lab (it is not shown): "]
    assert mqvpn.kept("lab") == "typed-key"
    assert mqvpn.store.read("lab").settings.kill_switch.value == "always"
    mqvpn("profile", "add", "b", "--server", "h", "--key-stdin", piped="piped-key\n")
    assert mqvpn.kept("b") == "piped-key"
    assert mqvpn("profile", "add", "c", "--server", "h", "--no-key", typed="").code == ExitCode.OK
    assert mqvpn.kept("c") is None
    bad = mqvpn("profile", "add", "d", "--server", "h:99999", "--no-key")
    assert "not from 1 to 65535" in bad.err
    assert "cannot be the name" in mqvpn("profile", "add", "../d", "--server", "h").err


def test_profiles_are_listed(mqvpn: Command) -> None:
    assert "no profiles yet; 'mqvpn profile import'" in mqvpn("profile", "list").err
    mqvpn("profile", "import", piped=LINK)
    mqvpn("profile", "add", "lab", "--server", "[2001:db8::1]:8443", "--no-key")
    mqvpn.store.path_of("broken").write_text("x")
    outcome = mqvpn("profile", "list")
    assert outcome.out.splitlines() == [
        "profile  server               user   title   trust",
        "lab      [2001:db8::1]:8443",
        "office   vpn.example.org:443  alice  Office  pinned",
    ]
    assert "broken.toml: not valid TOML" in outcome.err
    values = mqvpn("profile", "list", "--json").json
    assert isinstance(values, list)
    assert values[1] == {
        "name": "office",
        "title": "Office",
        "server": "vpn.example.org:443",
        "user": "alice",
        "pinned": True,
    }


def test_a_profile_is_shown_without_its_key(mqvpn: Command) -> None:
    mqvpn("profile", "import", piped=LINK)
    shown = mqvpn("profile", "show", "office")
    assert 'server = "vpn.example.org:443"' in shown.out
    assert "the-key" not in shown.out
    value = mqvpn("profile", "show", "office", "--json").json
    assert isinstance(value, dict)
    assert (value["server"], value["user"]) == ("vpn.example.org:443", "alice")
    assert "there is no profile nope; there are: office" in mqvpn(
        "profile", "show", "nope"
    ).err.replace("\n  ", "; ")


def _editor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    file = tmp_path / "editor.py"
    file.write_text(f"import pathlib, sys\nfile = pathlib.Path(sys.argv[1])\n{script}\n")
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"{sys.executable} {file}")


def test_editing(mqvpn: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mqvpn("profile", "import", piped=LINK)
    _editor(monkeypatch, tmp_path, "file.write_text(file.read_text() + 'ipv6 = false\\n')")
    assert "is changed" in mqvpn("profile", "edit", "office").out
    assert mqvpn.store.read("office").settings.ipv6 is False
    _editor(monkeypatch, tmp_path, "")
    assert mqvpn("profile", "edit", "office").out == "nothing was changed\n"


def test_editing_never_leaves_a_profile_that_does_not_load(
    mqvpn: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mqvpn("profile", "import", piped=LINK)
    before = mqvpn.store.path_of("office").read_text()
    _editor(monkeypatch, tmp_path, "file.write_text('sevrer = 1')")
    outcome = mqvpn("profile", "edit", "office", typed="n\n")
    assert outcome.code == ExitCode.FAILURE
    assert "left as it was" in outcome.err
    # A second look may repair it.
    count = tmp_path / "count"
    script = (
        f"seen = pathlib.Path({str(count)!r})\n"
        "text = 'server = \"h2\"' if seen.exists() else 'sevrer'\n"
        "seen.touch(); file.write_text(text)"
    )
    assert mqvpn.store.path_of("office").read_text() == before
    _editor(monkeypatch, tmp_path, script)
    assert mqvpn("profile", "edit", "office", typed="y\n").code == ExitCode.OK
    assert mqvpn.store.read("office").settings.host == "h2"
    _editor(monkeypatch, tmp_path, "sys.exit(3)")
    assert "the editor reported a failure" in mqvpn("profile", "edit", "office").err
    monkeypatch.setenv("EDITOR", "/nonexistent/editor")
    assert "cannot start the editor" in mqvpn("profile", "edit", "office").err


def test_keys_are_set_and_forgotten(mqvpn: Command) -> None:
    mqvpn("profile", "add", "lab", "--server", "h", "--no-key")
    assert mqvpn("profile", "set-key", "lab", "--key-stdin", piped="new\n").code == ExitCode.OK
    assert mqvpn.kept("lab") == "new"
    mqvpn.hidden_answers = ["typed"]
    mqvpn("profile", "set-key", "lab", typed="")
    assert mqvpn.kept("lab") == "typed"
    mqvpn("profile", "set-key", "lab", "--forget")
    assert mqvpn.kept("lab") is None
    for piped, reason in (
        ("", "nothing was given"),
        ("a b\n", "visible ASCII"),
        ("x" * 2000, "longer"),
    ):
        outcome = mqvpn("profile", "set-key", "lab", "--key-stdin", piped=piped)
        assert (outcome.code, reason in outcome.err) == (ExitCode.SECRET, True)
    assert "there is no terminal" in mqvpn("profile", "set-key", "lab").err
    mqvpn.hidden_answers = [""]
    assert "no key was given" in mqvpn("profile", "set-key", "lab", typed="").err
    assert mqvpn("profile", "set-key", "none", "--forget").code == ExitCode.FAILURE


def test_a_profile_goes_with_its_key(mqvpn: Command) -> None:
    mqvpn("profile", "import", piped=LINK)
    kept = mqvpn("profile", "rm", "office", typed="n\n")
    assert (kept.code, mqvpn.store.names()) == (ExitCode.USAGE, ("office",))
    assert mqvpn("profile", "rm", "office", typed="y\n").code == ExitCode.OK
    assert (mqvpn.store.names(), mqvpn.keyring.kept) == ((), {})
    mqvpn.store.path_of("broken").write_text("x")
    assert mqvpn("profile", "rm", "broken").code == ExitCode.FAILURE
    mqvpn.keyring.error = KeyringLocked("x")
    outcome = mqvpn("profile", "rm", "broken", "--force")
    assert (outcome.code, mqvpn.store.names()) == (ExitCode.SECRET, ())
    assert "may still be in the keyring: the keyring is locked" in outcome.err


def test_a_profile_goes_where_there_is_no_keyring(mqvpn: Command) -> None:
    mqvpn.keyring.error = NoKeyringError("x")
    mqvpn("profile", "import", piped=LINK)
    outcome = mqvpn("profile", "rm", "office", "--force")
    assert (outcome.code, mqvpn.store.names()) == (ExitCode.OK, ())
    assert "no key was looked for: there is no keyring" in outcome.err


def test_a_profile_is_shared_as_link_and_qr_code(mqvpn: Command) -> None:
    mqvpn("profile", "import", piped=LINK)
    outcome = mqvpn("profile", "share", "office")
    *code, link = outcome.out.splitlines()
    assert profile_from_link(link) == (
        mqvpn.store.read("office"),
        SecretText("the-key-of-alice"),
    )
    assert len(code) > 20
    assert set("".join(code)) <= set("\u2588\u2580\u2584 ")
    assert "can connect as you" in outcome.err
    bare = mqvpn("profile", "share", "office", "--without-key", "--no-qr")
    assert (bare.out.count("\n"), "#" in bare.out, bare.err) == (1, False, "")
    assert mqvpn("profile", "share", "office", "--json").json == {
        "name": "office",
        "link": link,
        "has_key": True,
    }
    mqvpn.keyring.error = KeyringLocked("x")
    locked = mqvpn("profile", "share", "office")
    assert (locked.code, "unlock it" in locked.err) == (ExitCode.SECRET, True)
    piped = mqvpn("profile", "share", "office", "--no-qr", "--key-stdin", piped="other\n")
    assert piped.out.rstrip().endswith("#other")


@pytest.mark.slow
def test_a_link_vanishes_from_the_process_list() -> None:
    link = "mqvpn://h/#a-key-that-nobody-else-may-see"
    child = (
        "import sys, pathlib\n"
        "from mqvpn_gui.command.own_arguments import hide_argument\n"
        "assert hide_argument(sys.argv[1])\n"
        "print(pathlib.Path('/proc/self/cmdline').read_bytes())"
    )
    result = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", child, link], capture_output=True, text=True, check=True
    )
    assert "a-key" not in result.stdout
    assert "*" * len(link) in result.stdout
    assert hide_argument("something that stands nowhere") is False
    assert hide_argument("") is False


def test_changes_of_profiles_as_json(mqvpn: Command) -> None:
    mqvpn("profile", "import", piped=LINK)
    kept = mqvpn("profile", "set-key", "office", "--key-stdin", "--json", piped="other\n")
    assert kept.json == {"name": "office", "key_kept": True}
    forgotten = mqvpn("profile", "set-key", "office", "--forget", "--json")
    assert forgotten.json == {"name": "office", "key_kept": False}
    removed = mqvpn("profile", "rm", "office", "--force", "--json")
    assert removed.json == {"name": "office", "removed": True}
