"""What other rooms say in English, as the window says it: translated, and without command lines.

Texts come from reading profiles, links and keyrings, which the commands share, and from the helper.
What is not known here is shown as it is.
"""

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from PySide6.QtCore import QCoreApplication

from mqvpn_gui.user.errors import UserError
from mqvpn_helper.interface.bus_names import ERROR_PREFIX, BusError

_CONTEXT = "messages"
_LONGEST = 2_000


def _marked(text: str) -> str:
    """A text that has a translation; it is looked up when it is said."""
    return text


KNOWN: tuple[str, ...] = (
    # Links and profiles
    _marked("the link cannot be used: {0}"),
    _marked("there is no link"),
    _marked("the link is longer than {0} characters"),
    _marked("this is not a link that begins with {0}"),
    _marked("the link has characters that links cannot have"),
    _marked("behind {0}: two slashes and a server have to follow"),
    _marked("only ?, # or the end may follow the server's / in the link"),
    _marked("the port is not from 1 to {0}"),
    _marked("the key is not 1 to 512 visible ASCII characters"),
    _marked("the profile does not check the server's certificate, and no link can say that"),
    _marked("the profile trusts certificates of its own, which do not fit into a link"),
    _marked("no link can be made of this profile: {0}"),
    _marked("remove some"),
    _marked("use 1 to {0} letters, digits and . _ - beginning with a letter or digit"),
    _marked("the link would be longer than {0} characters"),
    _marked("in front of @ stands the user's name alone; the key comes behind #"),
    _marked("the server has brackets, but no IPv6 address inside"),
    _marked("a pin is sha256/ and the Base64 of 32 bytes"),
    _marked("there are more than {0} pins"),
    _marked("the user name has characters that it cannot have"),
    _marked("the name is not up to {0} printable characters"),
    _marked("the template is not a path of visible ASCII characters"),
    _marked(
        "the link has a part that this version does not know; a newer mqvpn"
        " may have made it, or it was changed on the way"
    ),
    _marked("{0} stands in the link twice"),
    _marked("{0} has a % that two hexadecimal digits have to follow"),
    _marked("a profile has at most {0} bytes"),
    _marked("{0} must not stand in a profile"),
    # Files
    _marked("there is nothing to read"),
    _marked("paste a link that begins with mqvpn://"),
    _marked("the file names no server"),
    _marked("it needs server = HOST:PORT"),
    _marked("this is the configuration of a server"),
    _marked("unknown key {0}"),
    _marked("not valid TOML: {0}"),
    _marked("not valid JSON in line {0}: {1}"),
    _marked("line {0} is not a known KEY = VALUE of its section"),
    _marked("the text names the file {0}"),
    _marked("import the file in place of its text"),
    _marked("{0} cannot be read: {1}"),
    _marked("{0} is too large"),
    _marked("cut the picture down to the code"),
    _marked("{0} is not a picture: {1}"),
    _marked("there is no picture"),
    _marked("the code in the picture is not a link of mqvpn"),
    _marked("there is no QR code in the picture"),
    _marked("take it straight on, with a white edge all around"),
    _marked("{0} could not be written: {1}"),
    _marked("{0} cannot be changed: {1}"),
    _marked("the report could not be read: {0}"),
    _marked("{0}: is not a regular file"),
    _marked("{0}: is not a text in UTF-8"),
    _marked("{0} is for servers; left out"),
    _marked("{0} is decided by the helper; left out"),
    _marked("{0} is neither true nor false"),
    _marked("{0} is not a whole number"),
    _marked("expected a JSON object"),
    _marked("auth_key is not a key, but perhaps the hash that a server keeps"),
    _marked("ca_file is not the name of a file"),
    _marked("ca_file holds no certificate in PEM form"),
    _marked("not usable TOML: nested too deep, or a number too long"),
    _marked("a key stands in the JSON twice"),
    _marked("not usable JSON: nested too deep, or an odd number"),
    _marked("line {0}: {1} stands there twice"),
    _marked("{0}: larger than {1} bytes"),
    # Keys
    _marked("a key has 1 to {0} visible ASCII characters without blanks"),
    _marked("copy it whole, as the server printed it"),
    _marked("the keyring is locked"),
    _marked("the keyring gave no answer within {0} seconds"),
    _marked("there is no keyring on this desktop, and keys are not kept in plain text"),
    _marked("the keyring refused"),
    _marked("the keyring failed ({0})"),
    _marked("the keyring does not give the key up"),
    _marked("remove it by hand"),
    # Settings of a server
    _marked("is not one of: {0}"),
    _marked("is not a whole number from {0} to {1}"),
    _marked("has more than {0} elements"),
    _marked("has the name {0}, which cannot be one"),
    _marked("is longer than {0} characters"),
    _marked("has {0}, which is no IP address"),
    _marked("has {0}, which is no IP network"),
    _marked("has a port that is not from 1 to 65535"),
    _marked("has an impossible IP address"),
    _marked("is not HOST, HOST:PORT or [IPV6]:PORT"),
    _marked("is below {0}"),
    _marked("profile: neither ipv4 nor ipv6 is wanted"),
    _marked("is not a host name or an IP address"),
    _marked("{0} is not a host name or an IP address"),
    _marked("{0} is not UTF-8"),
    _marked("{0} is no text"),
    _marked("{0} is not a number"),
    _marked("cannot be {0}"),
    # Amounts
    _marked("{0} is not an amount of data"),
    _marked("write 500 MB, 5 GB or 1 GiB"),
    _marked("{0} is not a rate"),
    _marked("write 500 kbit/s or 10 Mbit/s"),
)
"""Problems and advice, with places for what differs."""

_ASK = _marked("the key is asked for each time meanwhile")
_INSTEAD: Mapping[str, str] = MappingProxyType(
    {
        "there is no profile {0}": _marked("there is no server called {0}"),
        "there is a profile {0} already": _marked("there is a server called {0} already"),
        "there are {0} profiles already": _marked("there are {0} servers already"),
        "{0} cannot be the name of a profile": _marked("{0} cannot be the name of a server"),
        "copy it whole; docs/links.md describes what it looks like": _marked("copy it whole"),
        "take it out; mqvpn profile set-key keeps it": _marked(
            "take it out; the window asks for it and keeps it in the keyring"
        ),
        "choose another --name, or say --force": _marked("choose another name"),
        "see docs/configuration.md": _marked("the documents of mqvpn name all keys"),
        "there are none yet: mqvpn profile import adds one": _marked("there are none yet: add one"),
        "on the server, 'mqvpn-core user add NAME' makes a link for a client": _marked(
            "ask whoever runs the server for a link"
        ),
        "ask for a link with a pin: 'mqvpn-core user add NAME' makes one on the server": _marked(
            "ask whoever runs the server for a link with a pin"
        ),
        "copy the profile's file instead; 'mqvpn profile show NAME' prints it": _marked(
            "give its file to the other device instead"
        ),
        "it has to be the one that 'mqvpn-core user add' or 'mqvpn profile share' shows": _marked(
            "it has to be the one that the server's owner, or Share on another device, shows"
        ),
        "give the key each time: --ask asks for it, --key-stdin reads it": _ASK,
        "unlock it (logging in does), or {0}": _marked("unlock it: logging in does that; {0}"),
        "look for a window that asks for its password, or {0}": _marked(
            "look for a window that asks for its password; {0}"
        ),
        "start one (GNOME Keyring, KWallet, KeePassXC), or {0}": _marked(
            "start one (GNOME Keyring, KWallet, KeePassXC); {0}"
        ),
    }
)
"""What the commands say, and what the window says in its place."""

_BY_NAME: Mapping[BusError, str] = MappingProxyType(
    {
        BusError.NOT_AUTHORIZED: _marked("you may not do that"),
        BusError.BAD_PROFILE: _marked("the server's settings are not usable"),
        BusError.BAD_ARGUMENTS: _marked("the helper does not understand the wish"),
        BusError.BUSY: _marked("there is a tunnel already, or it is being taken down"),
        BusError.NOT_CONNECTED: _marked("there is no tunnel"),
        BusError.TOO_MANY_REQUESTS: _marked("that was too often: wait a little"),
        BusError.NO_TUN: _marked("the system gives no TUN device"),
        BusError.RESOLVER: _marked("the server's name is not found"),
        BusError.UNREACHABLE: _marked("the server does not answer"),
        BusError.CERTIFICATE: _marked("the server is not the expected one"),
        BusError.CREDENTIALS: _marked("the server does not accept the key"),
        BusError.REFUSED: _marked("the server does not want this tunnel"),
        BusError.CORE_DIED: _marked("the network process ended by itself"),
        BusError.HOST: _marked("the system refuses a change of the network"),
        BusError.UNSUPPORTED: _marked("that is not possible on this machine"),
        BusError.FAILED: _marked("the helper failed"),
    }
)
"""What the helper's errors mean."""


def told(text: str) -> str:
    """A problem, or an advice, in the language of the window."""
    if len(text) > _LONGEST:
        return text
    for template in (*_INSTEAD, *KNOWN):
        match = _pattern(template).fullmatch(text)
        if match is not None:
            return _translated(_INSTEAD.get(template, template)).format(*map(told, match.groups()))
    return text


def told_error(error: UserError) -> str:
    """A problem with its advice, as sentences."""
    return sentences(error.problem, error.advice)


def sentences(*texts: str) -> str:
    """Texts in the language of the window, each as a sentence."""
    return " ".join(_sentence(told(text)) for text in texts if text)


def told_failure(name: str, text: str) -> str:
    """What the helper says about an error, as a sentence.

    Args:
        name: of the error, with or without the prefix of the bus.
        text: the helper's own words, which say more, in English.
    """
    known = told(text)
    try:
        meaning = _BY_NAME[BusError(name.removeprefix(ERROR_PREFIX))]
    except ValueError:
        return _sentence(known)
    translated = _translated(meaning)
    if text == meaning or not text:
        return _sentence(translated)
    if known != text or translated == meaning:  # it can be read as it is
        return _sentence(known)
    return _sentence(f"{translated} ({text})")


def _sentence(text: str) -> str:
    """With a capital letter, and a full stop where nothing ends it."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", ":", "\N{HORIZONTAL ELLIPSIS}")) else f"{text}."


def _translated(text: str) -> str:
    return QCoreApplication.translate(_CONTEXT, text)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{\d\}", template)
    return re.compile("(.+)".join(map(re.escape, parts)), re.DOTALL)
