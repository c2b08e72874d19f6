# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    # DESIRED_OPTIONS of plugins/module_utils/_module.py.
    DOCUMENTATION = r"""
options:
  kernel_args:
    description:
      - The desired boot arguments, as for M(nfv.fastpath.kernel_args). They are not looked at without it.
    type: raw
  hugepages:
    description:
      - The desired pools, as for M(nfv.fastpath.hugepages). They are not looked at without it.
    type: raw
  sriov:
    description:
      - The desired PFs and VFs, as for M(nfv.fastpath.sriov). They are not looked at without it.
    type: raw
  noiommu_ok:
    description:
      - Consent to V(vfio-pci) without an IOMMU, as for M(nfv.fastpath.sriov).
    type: bool
    default: false
  vdpa:
    description:
      - The desired vDPA devices, as for M(nfv.fastpath.vdpa). They are not looked at without it.
    type: raw
  dpdk:
    description:
      - The desired DPDK, as for M(nfv.fastpath.dpdk). It is not looked at without it.
    type: raw
  ovs:
    description:
      - The desired Open vSwitch, as for M(nfv.fastpath.ovs_dpdk). It is not looked at without it.
    type: raw
  ovs_provider:
    description:
      - Where Open vSwitch comes from.
    type: str
    choices: [packages, source]
    default: packages
  container_runtime:
    description:
      - The desired containerd, as for M(nfv.fastpath.container_runtime). It is not looked at without it.
    type: raw
  kubernetes:
    description:
      - The desired membership in a cluster, as for M(nfv.fastpath.kube_join). It is not looked at without it.
    type: raw
  kubelet:
    description:
      - The desired policies of the kubelet, as for M(nfv.fastpath.kubelet). They are not looked at without it.
    type: raw
  node_agent:
    description:
      - The desired node agent, as for M(nfv.fastpath.node_agent). It is not looked at without pools.
    type: raw
"""
