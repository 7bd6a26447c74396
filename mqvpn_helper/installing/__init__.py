"""Installs the helper for a whole machine from where somebody has installed mqvpn for himself."""
