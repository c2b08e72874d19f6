# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys

from fastpath_agent.cli import main

sys.exit(main(sys.argv[1:]))
