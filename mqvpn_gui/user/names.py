"""What the desktop part is called; files under ``resources/`` and ``packaging/`` agree with it."""

APPLICATION_ID = "org.mqvpn.Client"
"""Identifier of the application, and the service its secrets stand under in the keyring."""
PROGRAM = "mqvpn"
"""The command."""
