# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Work with a bound."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._bounded import NoAnswer, within


@pytest.mark.parametrize("answer", ["said", "", None])
def test_what_the_work_returns(answer):
    assert within(5, lambda: answer) == answer


@pytest.mark.parametrize("failure", [OSError(16, "busy"), SystemExit(3)])
def test_what_the_work_raises(failure):
    def work():
        raise failure

    with pytest.raises(type(failure)) as caught:
        within(5, work)
    assert caught.value is failure


def test_work_that_never_ends_is_left_to_itself():
    over = threading.Event()
    with pytest.raises(NoAnswer):
        within(0.01, lambda: over.wait(30))
    over.set()
