# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The CNI plugins ``vdpa``, ``userspace`` and ``vhostuser``: one shim on the host, the work in the agent."""
