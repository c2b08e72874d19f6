# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent's version, which is the collection's."""

from __future__ import annotations

VERSION = "0.1.0"
