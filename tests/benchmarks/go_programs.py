# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Go programs to measure against, built once and kept where the lab keeps its own."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lab"))

from fastpath_lab import golang  # noqa: E402
from fastpath_lab.cache import Cache  # noqa: E402
from fastpath_lab.components import cni_set  # noqa: E402


def cni_plugin(name: str) -> Path:
    """One of the reference plugins."""
    return golang.module(Cache(), cni_set(), golang.MODULES / "cni") / name


def sockets() -> Path:
    """A least server of the agent's gRPC service, and its client."""
    wanted = golang.GoSet("sockets", {"sockets": "fastpath.local/sockets"})
    return golang.module(Cache(), wanted, HERE / "go/sockets") / "sockets"
