# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_arguments import as_line, parse_line
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_loader import BootChange, BootConfig
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._grubby import GrubbyLoader, GrubbyRules, parse_info
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args import KernelArgsConcern

ENTRY = """\
index={index}
kernel="/boot/vmlinuz-5.14.0-{release}"
args="{args}"
root="/dev/mapper/rl-root"
initrd="/boot/initramfs-5.14.0-{release}.img $tuned_initrd"
title="Rocky Linux (5.14.0-{release}) 9.4 (Blue Onyx)"
id="0123456789abcdef-{entry}"
"""
STOCK = "ro crashkernel=1G-4G:192M,4G-64G:256M resume=/dev/mapper/rl-swap rd.lvm.lv=rl/root rd.lvm.lv=rl/swap quiet"
INFO = ["grubby", "--info=ALL"]
UPDATE = ["grubby", "--update-kernel=ALL"]


def info(*lines: str) -> str:
    text = "".join(
        ENTRY.format(index=index, release=f"{427 - index}.el9", entry=f"5.14.0-{427 - index}.el9", args=line)
        for index, line in enumerate(lines)
    )
    rescue = ENTRY.format(index=len(lines), release="0-rescue-0123", entry="0-rescue", args="ro rescue")
    return text + rescue + "index=9\nnon linux entry\n"


class Transcript:
    """Expects exactly these commands in this order and answers them."""

    def __init__(self, *steps: tuple[list[str], str]) -> None:
        self.steps = list(steps)

    def __call__(self, argv: Sequence[str], timeout: float, stdin: str) -> Completed:
        assert self.steps, f"unexpected: {argv}"
        expected, answer = self.steps.pop(0)
        assert list(argv) == expected
        return Completed(0, answer, "")


def write(tmp_path: Path, change: BootChange, *steps: tuple[list[str], str]) -> None:
    transcript = Transcript(*steps)
    try:
        GrubbyLoader(Host(str(tmp_path), transcript)).write(change)
    finally:
        assert transcript.steps == []


def added(own: str, delete: str = "") -> BootChange:
    return BootChange(own=parse_line(own), delete=parse_line(delete), append=parse_line(own))


def test_entries_without_the_rescue_image():
    assert [as_line(entry) for entry in parse_info(info(STOCK, "ro x"))] == [STOCK, "ro x"]


def test_quotes_within_the_line_are_kept():
    entry = parse_info('index=0\nkernel="/vmlinuz"\nargs="ro dyndbg="file a.c +p" x"\nid="a"\n')[0]
    assert as_line(entry) == 'ro dyndbg="file a.c +p" x'


def test_ours_goes_in_by_one_call_and_in_order(tmp_path):
    pages = "hugepagesz=1G hugepages=2 hugepagesz=2M hugepages=512"
    write(
        tmp_path,
        added(f"iommu=pt {pages}"),
        (INFO, info(STOCK)),
        ([*UPDATE, f"--args=iommu=pt {pages}"], ""),
        (INFO, info(f"{STOCK} iommu=pt {pages}")),
    )


def test_what_was_ours_goes_out_as_pairs_first(tmp_path):
    write(
        tmp_path,
        added("iommu=pt", delete="intel_iommu=on nosmt"),
        (INFO, info(f"{STOCK} intel_iommu=on nosmt")),
        ([*UPDATE, "--remove-args=intel_iommu=on nosmt"], ""),
        ([*UPDATE, "--args=iommu=pt"], ""),
        (INFO, info(f"{STOCK} iommu=pt")),
    )


@pytest.mark.parametrize(
    "result",
    [
        # A repeated name lost its first value; pairs regrouped; one entry left out; a foreign one went with ours.
        [f"{STOCK} hugepagesz=2M hugepages=512"] * 2,
        [f"{STOCK} hugepagesz=1G hugepagesz=2M hugepages=2 hugepages=512"] * 2,
        [f"{STOCK} hugepagesz=1G hugepages=2 hugepagesz=2M hugepages=512", STOCK],
        [f"{STOCK.replace(' rd.lvm.lv=rl/root', '')} hugepagesz=1G hugepages=2 hugepagesz=2M hugepages=512"] * 2,
    ],
)
def test_what_grubby_did_not_keep_is_taken_back(tmp_path, result):
    pages = "hugepagesz=1G hugepages=2 hugepagesz=2M hugepages=512"
    with pytest.raises(FastpathError, match="did not keep .* taken back"):
        write(
            tmp_path,
            added(pages),
            (INFO, info(STOCK, STOCK)),
            ([*UPDATE, f"--args={pages}"], ""),
            (INFO, info(*result)),
            ([*UPDATE, f"--remove-args={pages}"], ""),
        )


@pytest.mark.parametrize(("value", "fits"), [("x=1,2:3", True), ('x="a b"', False), ("x=a$b", False), ("quiet", True)])
def test_values_that_the_entries_cannot_carry(value, fits):
    assert (GrubbyRules().unfit(parse_line(value)[0]) == "") is fits


def test_suspects():
    rules = GrubbyRules()
    config = BootConfig((), files=(("/etc/kernel/cmdline", "ro quiet"), ("/boot/grub2/custom.cfg", "")))
    own = parse_line("iommu=pt")
    assert rules.suspects(config, own, carried=False)[0].startswith("/etc/kernel/cmdline")
    assert rules.suspects(config, parse_line("quiet"), carried=False) == []
    assert rules.suspects(config, own, carried=True)[0].startswith("/boot/grub2/custom.cfg")
    assert rules.suspects(BootConfig(()), own, carried=True) == []


class GrubbyNode:
    """A grubby that does as it is told, over a list of entries."""

    def __init__(self, root: Path, *lines: str) -> None:
        self.root = root
        self.entries = [line.split() for line in lines]
        for path, text in (("usr/sbin/grubby", ""), ("proc/cpuinfo", "vendor_id\t: AuthenticAMD\n")):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        self.host = Host(str(root), self.run)
        self.reboot(1)

    def run(self, argv: Sequence[str], timeout: float, stdin: str) -> Completed:
        if list(argv) == INFO:
            return Completed(0, info(*(" ".join(entry) for entry in self.entries)), "")
        assert list(argv[:2]) == UPDATE
        option, _equals, words = argv[2].partition("=")
        for entry in self.entries:
            if option == "--remove-args":
                entry[:] = [word for word in entry if word not in words.split()]
            else:
                assert option == "--args"
                entry.extend(words.split())
        return Completed(0, "", "")

    def reboot(self, boot: int) -> None:
        for path, text in (
            ("proc/cmdline", "BOOT_IMAGE=/vmlinuz " + " ".join(self.entries[0])),
            ("proc/sys/kernel/random/boot_id", f"boot-{boot}"),
        ):
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text + "\n")

    def apply(self, arguments, present=True):
        return converge(KernelArgsConcern(self.host), Request({"arguments": arguments}, present))


def test_the_whole_way_and_back(tmp_path):
    node = GrubbyNode(tmp_path, STOCK, f"{STOCK} debug")
    spec = {"iommu": "passthrough", "extra": {"nosmt": None}, "remove": ["quiet", "crashkernel"]}
    assert node.apply(spec).reboot_reason
    assert " ".join(node.entries[0]).endswith("rd.lvm.lv=rl/swap iommu=pt nosmt")
    assert not node.apply(spec).changed
    node.reboot(2)
    settled = node.apply(spec)
    assert (settled.changed, settled.reboot_reason) == (False, "")
    changed = node.apply({**spec, "extra": {}, "remove": ["crashkernel"]})
    assert " ".join(node.entries[0]).endswith("rd.lvm.lv=rl/swap quiet iommu=pt")
    assert "still with nosmt" in changed.reboot_reason
    assert node.apply(None, present=False).reboot_reason
    assert [sorted(entry) for entry in node.entries] == [sorted(STOCK.split()), sorted(f"{STOCK} debug".split())]
    assert not node.apply(None, present=False).changed


def test_what_the_boot_loader_reads_is_brought_to_its_place(tmp_path, monkeypatch):
    node = GrubbyNode(tmp_path, STOCK)
    seen = []
    monkeypatch.setattr(Host, "flush_for_boot_loader", lambda host, folder: seen.append((folder, *node.entries[0])))
    node.apply({"iommu": "passthrough"})
    assert seen == [("/boot", *STOCK.split(), "iommu=pt")]


def test_unfit_values_are_refused_before_anything_is_changed(tmp_path):
    node = GrubbyNode(tmp_path, STOCK)
    with pytest.raises(Refused, match="plain characters"):
        node.apply({"extra": {"dyndbg": "file a.c +p"}})
    assert node.entries == [STOCK.split()]
