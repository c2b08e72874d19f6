# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The folders that the collection's own images are built from, put together out of the collection."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._image_builds import VARIABLE
from ansible_collections.nfv.fastpath.plugins.plugin_utils._agent_tree import COLLECTION, PROGRAM, agent_tree

NODE_AGENT = "node-agent"
OWN = (NODE_AGENT,)
SOURCE = "dpdk.tar.xz"
# Path of a checked artefact by its name.
Fetch = Callable[[str], str]


def with_contexts(builds: Any, cache: str, fetch: Fetch) -> Any:
    """The builds with a folder for each of the collection's own. What is no list is judged by whom it is for."""
    if not isinstance(builds, Sequence) or isinstance(builds, str):
        return builds
    problems = [problem for number, entry in enumerate(builds) for problem in _problems(entry, f"{VARIABLE}[{number}]")]
    if problems:
        raise Refused(problems)
    return [_with_context(entry, cache, fetch) if _is_own(entry) else entry for entry in builds]


def _is_own(entry: Any) -> bool:
    return isinstance(entry, Mapping) and "own" in entry


def _problems(entry: Any, where: str) -> list[Problem]:
    if not _is_own(entry):
        return []
    found = []
    if entry["own"] not in OWN:
        found.append(
            Problem(f"{where}.own", entry["own"], f"is no image of the collection: known are {', '.join(OWN)}")
        )
    for key in ("context", "archive", "file"):
        if entry.get(key):
            found.append(Problem(f"{where}.{key}", entry[key], "stands beside own, which says what is built"))
    return found


def _with_context(entry: Mapping[str, Any], cache: str, fetch: Fetch) -> dict[str, Any]:
    given = {key: value for key, value in entry.items() if key != "own"}
    return {**given, "context": node_agent_context(cache, fetch("dpdk"))}


def node_agent_context(cache: str, source: str, collection: Path = COLLECTION) -> str:
    """A folder that is called after what is in it; complete or absent."""
    recipe = collection / "images" / NODE_AGENT
    files = {path.name: path.read_text() for path in sorted(recipe.iterdir())}
    files.update({f"agent/{path}": text for path, text in agent_tree(collection).items()})
    digest = hashlib.sha256(repr((sorted(files.items()), os.path.basename(source))).encode()).hexdigest()[:16]
    folder = Path(cache) / "contexts" / f"{NODE_AGENT}-{digest}"
    if folder.is_dir():
        return str(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        work.chmod(0o755)
        for name, text in files.items():
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if path.name == PROGRAM else 0o644)
        shutil.copyfile(source, work / SOURCE)
        os.rename(work, folder)
    except BaseException:
        shutil.rmtree(work)
        if not folder.is_dir():
            raise
    return str(folder)
