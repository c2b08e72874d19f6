# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whoever watches a cluster during a change has to have looked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "integration"))

from test_cluster_changes import Watch


def watch(*seen, began=0.0, ended=10.0):
    found = Watch()
    found.began, found.ended, found.seen = began, ended, list(seen)
    return found


@pytest.mark.parametrize(
    ("seen", "gap"), [((), 10.0), (((9.0, 2),), 9.0), (((1.0, 2),), 9.0), (((1.0, 2), (4.0, 2), (8.0, 2)), 4.0)]
)
def test_the_longest_gap_reaches_from_beginning_to_end(seen, gap):
    assert watch(*seen).gap() == gap


def test_who_did_not_look_saw_nothing():
    watch((1.0, 2), (4.0, 1), (8.0, 2)).must_have_seen(1, longest_gap=5)
    with pytest.raises(AssertionError, match="nothing was seen for 4 s"):
        watch((1.0, 2), (4.0, 1), (8.0, 2)).must_have_seen(1, longest_gap=4)
    with pytest.raises(AssertionError):
        watch((1.0, 2), (4.0, 0), (8.0, 2)).must_have_seen(1, longest_gap=5)
    with pytest.raises(AssertionError, match="nothing was seen for 10 s"):
        watch().must_have_seen(1, longest_gap=5)


def test_a_server_that_does_not_answer_is_a_gap():
    def away() -> int:
        raise AssertionError("connection refused")

    with Watch(away) as found:
        pass
    assert found.seen == []
    assert found.gap() > 0
