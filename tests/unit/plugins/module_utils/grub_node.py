# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node with GRUB in a folder: a real shell reads its configuration, as grub-mkconfig does, and it can reboot."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.nfv.fastpath.plugins.module_utils._boot_arguments import as_line
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge
from ansible_collections.nfv.fastpath.plugins.module_utils._grub import parse_grub_cfg
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args import KernelArgsConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Plan
from ansible_collections.nfv.fastpath.tests.unit.power_cut import PowerCut

MAIN = "etc/default/grub"
OWN = "etc/default/grub.d/zz-fastpath.cfg"
CFG = "boot/grub/grub.cfg"
OVERRIDE = "etc/default/grub.d/zzz-cloud.cfg"

# What tests ask for, and what of it the kernel's command line then has.
STOCK = "root=UUID=1234 ro quiet"
PASSTHROUGH = {"iommu": "passthrough"}
PAGES = [{"size": "1G", "count": 2, "numa_node": 0, "default": True}, {"size": "2M", "count": 8, "at": "boot"}]
PAGES_LINE = "default_hugepagesz=1G hugepagesz=1G hugepages=0:2 hugepagesz=2M hugepages=8"

ASK_SHELL = """
set -e
. "$1/etc/default/grub"
for file in "$1"/etc/default/grub.d/*.cfg; do
    if [ -e "$file" ]; then . "$file"; fi
done
printf '%s\\n%s\\n' "$GRUB_CMDLINE_LINUX" "$GRUB_CMDLINE_LINUX_DEFAULT"
"""

TEMPLATE = """\
### BEGIN /etc/grub.d/00_header ###
set default="0"
### END /etc/grub.d/00_header ###
### BEGIN /etc/grub.d/10_linux ###
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1234' {{
\tlinux\t/boot/vmlinuz-6.12.1-amd64 root=UUID=1234 ro {both}
\tinitrd\t/boot/initrd.img-6.12.1-amd64
}}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-1234' {{
\tmenuentry 'Debian GNU/Linux, with Linux 6.12.1-amd64' $menuentry_id_option 'gnulinux-6.12.1-amd64-advanced-1234' {{
\t\tlinux\t/boot/vmlinuz-6.12.1-amd64 root=UUID=1234 ro {both}
\t}}
\tmenuentry 'Debian GNU/Linux, with Linux 6.12.1-amd64 (recovery mode)' 'gnulinux-6.12.1-amd64-recovery-1234' {{
\t\tlinux\t/boot/vmlinuz-6.12.1-amd64 root=UUID=1234 ro single {first}
\t}}
}}
### END /etc/grub.d/10_linux ###
### BEGIN /etc/grub.d/40_custom ###
menuentry 'memory test' {{
\tlinux\t/boot/memtest86+x64.bin
}}
### END /etc/grub.d/40_custom ###
"""

INTEL = "processor\t: 0\nvendor_id\t: GenuineIntel\n"
AMD = "processor\t: 0\nvendor_id\t: AuthenticAMD\n"


class GrubNode:
    def __init__(self, root: Path, cpuinfo: str = INTEL, linux: str = "", default: str = "quiet") -> None:
        self.root = root
        self.commands: list[tuple[str, ...]] = []
        self.cut_before = ""
        self.put("usr/sbin/update-grub", "")
        self.put(MAIN, f'GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT="{default}"\nGRUB_CMDLINE_LINUX="{linux}"\n')
        self.put("etc/default/grub.d/init-select.cfg", "# ships with the package\n")
        self.put("proc/cpuinfo", cpuinfo)
        self.put("sys/devices/system/cpu/present", "0-7\n")
        self.host = Host(str(root), self.run)
        self.update_grub()
        self.reboot()

    def put(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def get(self, path: str) -> str:
        return (self.root / path).read_text()

    def run(self, argv: Sequence[str], timeout: float, stdin: str) -> Completed:
        self.commands.append(tuple(argv))
        assert tuple(argv) == ("update-grub",), argv
        if self.cut_before == "update-grub":
            raise PowerCut
        self.update_grub()
        return Completed(0, "", "done\n")

    def update_grub(self) -> None:
        done = subprocess.run(["sh", "-c", ASK_SHELL, "sh", str(self.root)], capture_output=True, text=True, check=True)
        first, second = done.stdout.splitlines()
        self.put(CFG, TEMPLATE.format(first=first, both=f"{first} {second}".strip()))

    def reboot(self) -> None:
        """The kernel gets the line of the first entry."""
        line = as_line(parse_grub_cfg(self.get(CFG))[0])
        self.put("proc/cmdline", f"BOOT_IMAGE=/boot/vmlinuz-6.12.1-amd64 {line}\n")
        self.put("proc/sys/kernel/random/boot_id", f"{uuid.uuid4()}\n")

    def set_iommu_groups(self, number: int, name: str = "") -> None:
        for group in range(number):
            self.put(f"sys/kernel/iommu_groups/{group}/type", "DMA-FQ\n")
            if name:
                self.put(f"sys/kernel/iommu_groups/{group}/name", name)

    def apply(self, arguments: object = None, hugepages: object = None, dry_run: bool = False) -> Plan:
        spec = {"arguments": arguments, "hugepages": hugepages}
        return converge(KernelArgsConcern(self.host), Request(spec=spec, dry_run=dry_run))

    def teardown(self, dry_run: bool = False) -> Plan:
        return converge(KernelArgsConcern(self.host), Request(present=False, dry_run=dry_run))

    def files(self) -> dict[str, str]:
        """Everything on disk that lasts over a reboot."""
        kept = ("etc", "boot", "var")
        return {
            str(path.relative_to(self.root)): path.read_text()
            for top in kept
            for path in sorted((self.root / top).rglob("*"))
            if path.is_file()
        }

    def boot_files(self) -> dict[str, str]:
        """Those of the user and of the boot loader."""
        return {path: text for path, text in self.files().items() if not path.startswith("var/")}

    def boot_lines(self) -> list[str]:
        return [as_line(entry) for entry in parse_grub_cfg(self.get(CFG))]

    def live(self) -> str:
        return self.get("proc/cmdline").strip()


def actions(plan: Plan) -> list[str]:
    return [operation.action for operation in plan.operations]
