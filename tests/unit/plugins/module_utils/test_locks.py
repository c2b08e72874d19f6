# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks between runs on the controller."""

from __future__ import annotations

import fcntl

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._locks import locked


def test_one_at_a_time_and_free_afterwards(tmp_path):
    path = tmp_path / "locks/dpdk"
    with pytest.raises(ValueError), locked(str(path)):
        with path.open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        raise ValueError
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
