# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. One executable file out of this collection's Python sources, the same bytes for the same sources."""

from __future__ import annotations

import ast
import importlib.util
import io
import zipfile
from collections.abc import Callable, Mapping

PACKAGE = "ansible_collections.nfv.fastpath.plugins.module_utils"
ENTRY = "_node_cli"
# The earliest time that a zip file can hold: the real one would make each build another file.
EPOCH = (1980, 1, 1, 0, 0, 0)

MAIN = f"""\
import sys

from {PACKAGE}.{ENTRY} import main

sys.exit(main(sys.argv[1:]))
"""


def source_of(module: str) -> str:
    """A module's text through whatever imported it: files, the archive a task came in, or the engine itself."""
    spec = importlib.util.find_spec(f"{PACKAGE}.{module}")
    get_source = getattr(spec.loader if spec else None, "get_source", None)
    text = get_source(f"{PACKAGE}.{module}") if get_source else None
    if text is None:
        raise ImportError(f"{PACKAGE}.{module} has no source.")
    return str(text)


def collect(entry: str = ENTRY, source: Callable[[str], str] = source_of) -> dict[str, str]:
    """Text by module name: the entry and all it imports of this package, wherever in the text it does."""
    found: dict[str, str] = {}
    left = [entry]
    while left:
        module = left.pop()
        if module not in found:
            found[module] = source(module)
            left += imported(found[module])
    return found


def imported(text: str) -> list[str]:
    """Modules of this package which a source imports, as statements anywhere in it."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        if node.module == PACKAGE:
            found += [alias.name for alias in node.names]
        elif node.module.startswith(f"{PACKAGE}."):
            found.append(node.module[len(PACKAGE) + 1 :])
    return found


def pack(sources: Mapping[str, str], interpreter: str) -> bytes:
    """The executable archive. Modules keep their full names, so that the same imports work in it."""
    folder = PACKAGE.replace(".", "/")
    files = {"__main__.py": MAIN, **{f"{folder}/{name}.py": text for name, text in sources.items()}}
    parts = PACKAGE.split(".")
    for depth in range(1, len(parts) + 1):
        files["/".join(parts[:depth]) + "/__init__.py"] = ""
    buffer = io.BytesIO()
    # Isolated and without site: neither the environment nor what else is installed can change the engine.
    buffer.write(f"#!{interpreter} -IS\n".encode())
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
    return buffer.getvalue()
