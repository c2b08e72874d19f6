# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a node of the lab, what Python compiles out of zip archives is kept, by its content.

Ansible brings each module as sources in an archive. An emulated CPU compiles them for 4 s, most of what a task takes
there; a real one needs 0.1 s, so nothing is kept on real nodes.
"""

import _imp
import marshal
import os
import zipimport

FOLDER = "/var/cache/compiled"
_compile = zipimport._compile_source


def compile_once(path, source):
    """As ``zipimport`` compiles: the code of a module, with the name of its file in it."""
    kept = f"{FOLDER}/{len(source):x}-{_imp.source_hash(len(source), source).hex()}"
    try:
        with open(kept, "rb") as file:
            code = marshal.load(file)
    except (OSError, EOFError, TypeError, ValueError):  # not there yet, or cut off with the power
        code = _compile(path, source)
        _keep(kept, code)
    else:
        _imp._fix_co_filename(code, path)
    return code


def _keep(path, code):
    temporary = f"{path}.{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            marshal.dump(code, file)
        os.replace(temporary, path)
    except OSError:  # not root, or no room: then it is compiled again
        pass


zipimport._compile_source = compile_once
