# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node that goes off in the middle of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host


class PowerCut(BaseException):
    """The power goes. No error: nobody may catch it and tidy up."""


class Power:
    """Whether it has gone."""

    gone = False


@contextmanager
def power_cut(host: Host, after: int, *methods: str) -> Iterator[Power]:
    """The power goes before the call of one of the host's ``methods`` that follows the first ``after`` of them.

    A run that makes fewer of them ends as ever. What stands after it in the block is not reached otherwise.
    """
    left = after

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            if left == 0:
                raise PowerCut
            left -= 1
            return method(*arguments, **options)

        return call

    power = Power()
    with pytest.MonkeyPatch.context() as patched:
        for name in methods:
            patched.setattr(host, name, counted(getattr(host, name)))
        try:
            yield power
        except PowerCut:
            power.gone = True
