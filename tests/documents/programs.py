"""What the programs say of themselves, by the script that makes the manual pages of it."""

from tests.packaging.scripts import load

man_pages = load("man_pages.py")
