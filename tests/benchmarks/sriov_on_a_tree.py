# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module for the benchmark: the engine of ``nfv.fastpath.sriov`` on a model of a node, VFs made anew and bound."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(argument_spec={"checkout": {"type": "path"}, "vfs": {"type": "int"}})
    sys.path.insert(0, str(Path(module.params["checkout"]) / "tests"))
    # The module runs from a zip with its own idea of ansible_collections; the checkout's is wanted.
    for name in [name for name in sys.modules if name.startswith("ansible_collections")]:
        del sys.modules[name]
    import conftest  # noqa: F401
    from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge
    from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_concern import SriovConcern
    from ansible_collections.nfv.fastpath.tests.unit.fake_node import FakeNode

    count = module.params["vfs"]
    with tempfile.TemporaryDirectory() as folder:
        node = FakeNode(folder)
        node.add_pf(total=count)
        groups = [{"indexes": f"0-{count - 1}", "driver": "vfio-pci", "vlan": 5}]
        plan = converge(SriovConcern(node), Request([{"pf": {"netdev": "ens1"}, "num_vfs": count, "vfs": groups}]))
    module.exit_json(changed=plan.changed, operations=len(plan.operations))


if __name__ == "__main__":
    main()
