"""Every text of the window that is meant to be translated, found in the source.

``python -m tests.gui.translatable`` brings ``mqvpn_gui/words/mqvpn_de.ts`` up to date: texts that
are new stand in it without a translation, and a test fails until they have one.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

PACKAGE = Path(__file__).parents[2] / "mqvpn_gui"
GERMAN = PACKAGE / "words" / "mqvpn_de.ts"


def translatable() -> set[tuple[str, str]]:
    """Context and text of everything that is shown."""
    found: set[tuple[str, str]] = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found |= set(_texts(tree, _module_context(tree), ""))
    return found


def translations(path: Path = GERMAN) -> dict[tuple[str, str], str]:
    """What a translation file holds."""
    if not path.exists():
        return {}
    found = {}
    for context in ET.parse(path).getroot().iter("context"):  # noqa: S314 - a file of ours
        name = context.findtext("name", "")
        for message in context.iter("message"):
            text = message.findtext("source", "")
            found[name, text] = message.findtext("translation", "")
    return found


def _module_context(tree: ast.Module) -> str:
    """The context that a module's own function ``_tr`` gives to Qt."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "_tr":
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and call.args:
                    first = call.args[0]
                    if isinstance(first, ast.Constant) and isinstance(first.value, str):
                        return first.value
    return ""


def _texts(node: ast.AST, context: str, owner: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        name = child.name if isinstance(child, ast.ClassDef) else owner
        if isinstance(child, ast.Call):
            yield from _text_of(child, context, owner)
        yield from _texts(child, context, name)


def _text_of(call: ast.Call, context: str, owner: str) -> Iterator[tuple[str, str]]:
    literals = [
        each.value
        for each in call.args
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]
    match call.func:
        case ast.Name(id="_marked") if literals:
            yield "messages", literals[0]
        case ast.Name(id="_tr") if literals:
            yield context, literals[0]
        case ast.Attribute(value=ast.Name(id="self"), attr="tr") if literals:
            yield owner, literals[0]
        case ast.Attribute(attr="translate") if len(literals) > 1:
            yield literals[0], literals[1]
        case _:
            pass


def write(known: dict[tuple[str, str], str], path: Path = GERMAN) -> None:
    """Write a translation file."""
    root = ET.Element("TS", version="2.1", language="de_DE", sourcelanguage="en")
    contexts: dict[str, ET.Element] = {}
    for name, text in sorted(translatable()):
        if name not in contexts:
            contexts[name] = ET.SubElement(root, "context")
            ET.SubElement(contexts[name], "name").text = name
        message = ET.SubElement(contexts[name], "message")
        ET.SubElement(message, "source").text = text
        translation = ET.SubElement(message, "translation")
        translation.text = known.get((name, text), "")
        if not translation.text:
            translation.set("type", "unfinished")
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n{text}\n', "utf-8")


if __name__ == "__main__":
    write(translations())
    missing = [text for text in translations().values() if not text]
    sys.stdout.write(f"{len(translatable())} texts, {len(missing)} without a translation\n")
