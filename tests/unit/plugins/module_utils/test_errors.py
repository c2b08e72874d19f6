# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem, nearest, unknown_keys


def test_a_failure_says_what_could_not_be_taken_back():
    def undo():
        raise OSError(5, "Input/output error")

    failure = FastpathError("It failed.", node="a")
    failure.take_back(lambda: None)
    assert str(failure) == failure.message == "It failed."
    failure.take_back(undo)
    assert str(failure) == failure.message == "It failed. This could not be taken back: [Errno 5] Input/output error"
    assert failure.details == {"node": "a"}


@pytest.mark.parametrize(
    ("word", "said"), [("numvfs", " Did you mean num_vfs?"), ("num_vfs", " Did you mean num_vfs?"), ("x", ""), ("", "")]
)
def test_nearest(word, said):
    assert nearest(word, {"pf": None, "num_vfs": None}) == said


def test_known_keys_are_no_problem():
    assert unknown_keys({"b": 1}, ("a", "b"), "v") == unknown_keys({}, (), "v") == []


def test_each_unknown_key_is_told_with_its_value_and_what_is_known():
    assert unknown_keys({"count": 1, "szie": "2M", 7: None}, iter(["size", "count"]), "pools[0]", " Look.") == [
        Problem("pools[0].szie", "2M", "is no known key. Did you mean size? Known are size, count. Look."),
        Problem("pools[0].7", None, "is no known key. Known are size, count. Look."),
    ]
