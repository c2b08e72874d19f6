# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors as the CNI specification knows them: a code for the runtime, a message for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Section 5 of the specification, version 1.1.0.
INCOMPATIBLE_VERSION = 1
UNSUPPORTED_FIELD = 2
UNKNOWN_CONTAINER = 3
INVALID_ENVIRONMENT = 4
IO_FAILURE = 5
DECODING_FAILURE = 6
INVALID_CONFIG = 7
TRY_AGAIN_LATER = 11
NOT_AVAILABLE = 50
# From 100 on codes are the plugin's own.
NO_SOCKET = 101
WRONG_STATE = 102
IPAM_FAILED = 103
SWITCH_FAILED = 104
API_REFUSED = 105
TOOL_FAILED = 106
ALREADY_ATTACHED = 107
# What the reference library uses for a fault of the plugin itself.
INTERNAL = 999

SHOWN_CHARACTERS = 80


class CniError(Exception):
    """A request that failed. ``message`` names what was asked for and what would be right."""

    def __init__(self, code: int, message: str, details: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    def as_object(self) -> dict[str, Any]:
        return {"code": self.code, "msg": self.message, **({"details": self.details} if self.details else {})}


@dataclass(frozen=True)
class Problem:
    """One wrong field of a network configuration, in the user's own terms."""

    field: str
    value: Any
    message: str
    unsupported: bool = False

    def __str__(self) -> str:
        return f"{self.field} = {shown(self.value)}: {self.message}"


def shown(value: Any) -> str:
    """A value for a message: never longer than a line, whatever a user wrote."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def refuse(problems: Sequence[Problem]) -> None:
    """Raise one error with every problem; nothing where there are none."""
    if problems:
        code = UNSUPPORTED_FIELD if all(problem.unsupported for problem in problems) else INVALID_CONFIG
        raise CniError(code, "network configuration refused: " + "; ".join(str(problem) for problem in problems))


def refuse_field(field: str, value: Any, message: str, unsupported: bool = False) -> CniError:
    """The error for one field that is found wrong later than the others."""
    code = UNSUPPORTED_FIELD if unsupported else INVALID_CONFIG
    return CniError(code, f"network configuration refused: {Problem(field, value, message)}")


def from_os_error(error: OSError, what: str) -> CniError:
    """Disk full, no permission and the like; the path is told, what stands in the file is not."""
    where = f" ({error.filename})" if error.filename else ""
    return CniError(IO_FAILURE, f"{what}: {error.strerror or error}{where}")
