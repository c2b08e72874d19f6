# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads fields of a network configuration one by one and keeps every problem for one message."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastpath_agent.cni.errors import Problem

# Text that later stands in a path or a command's argument: no control characters, no half characters.
PLAIN = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*")
ABSOLUTE = re.compile(r"/[^\x00-\x1f\x7f\ud800-\udfff]{0,1023}")
NO_OBJECT: Mapping[str, Any] = {}


class Fields:
    """One object of the configuration; ``where`` is its path in messages. JSON's null is an absent field."""

    def __init__(self, data: Mapping[str, Any], problems: list[Problem], where: str = "") -> None:
        self._data = data
        self._where = where
        self.problems = problems

    def path_of(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key

    def raw(self, key: str) -> Any:
        return self._data.get(key)

    def has(self, key: str) -> bool:
        """An empty text is an absent one, as for the first plugins."""
        value = self._data.get(key)
        return value is not None and value != ""

    def wrong(self, key: str, message: str, unsupported: bool = False) -> None:
        self.problems.append(Problem(self.path_of(key), self._data.get(key), message, unsupported))

    def text(self, key: str, default: str = "", form: re.Pattern[str] = PLAIN, right: str = "text") -> str:
        value = self._data.get(key)
        if not self.has(key):
            return default
        if not isinstance(value, str) or not form.fullmatch(value):
            self.wrong(key, f"must be {right}")
            return default
        return value

    def absolute(self, key: str, default: str = "") -> str:
        """An absolute path without detours."""
        value = self.text(key, default, ABSOLUTE, "an absolute path")
        parts = value.split("/")
        if ".." in parts or "." in parts:
            self.wrong(key, "must be a path without '.' and '..'")
            return default
        return "/" + "/".join(filter(None, parts)) if value else value

    def choice(self, key: str, choices: Sequence[str], default: str = "") -> str:
        value = self._data.get(key)
        if not self.has(key):
            return default
        if value not in choices:
            self.wrong(key, f"must be one of {', '.join(choices)}")
            return default
        return str(value)

    def number(self, key: str, low: int, high: int, default: int = 0) -> int:
        value = self._data.get(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.wrong(key, f"must be a whole number from {low} to {high}")
            return default
        return value

    def object(self, key: str) -> Fields:
        value = self._data.get(key)
        if value is not None and not isinstance(value, dict):
            self.wrong(key, "must be an object")
            value = None
        return Fields(value or NO_OBJECT, self.problems, self.path_of(key))

    def objects(self, key: str) -> list[Fields]:
        value = self._data.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.wrong(key, "must be a list of objects")
            return []
        return [Fields(item, self.problems, f"{self.path_of(key)}[{index}]") for index, item in enumerate(value)]
