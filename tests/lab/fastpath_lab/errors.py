# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that the lab shows to its user as a plain message."""


class LabError(Exception):
    """Something the user can act on; the text says what to do."""
