# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's files about hugepages, read as they are."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _hugepages_shortfall as shortfall
from ansible_collections.nfv.fastpath.plugins.module_utils import _hugepages_sysfs as sysfs
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_boot import boot_request
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_pages import Pages
from ansible_collections.nfv.fastpath.tests.unit.hugepages_node import BUDDYINFO, PAGETYPEINFO, HugepagesNode

M2, G1 = 2048, 1048576


@pytest.mark.parametrize(
    ("line", "default_kb", "counts"),
    [
        ("", None, {}),
        ("ro quiet", None, {}),
        ("hugepages=64", None, {(M2, None): 64}),
        ("default_hugepagesz=1G hugepages=4", G1, {(G1, None): 4}),
        (
            "default_hugepagesz=1G hugepagesz=1G hugepages=16 hugepagesz=2M hugepages=512",
            G1,
            {(G1, None): 16, (M2, None): 512},
        ),
        ("hugepagesz=1G hugepages=0:8,1:4", None, {(G1, 0): 8, (G1, 1): 4}),
        ("hugepagesz=2M hugepages=1 hugepagesz=2M hugepages=7", None, {(M2, None): 7}),
        ("hugepages=many hugepages=x:1 hugepages=0:", None, {}),
    ],
)
def test_command_line(line, default_kb, counts):
    assert boot_request(line, M2) == (default_kb, counts)


def test_counters_by_node_and_of_all(tmp_path):
    node = HugepagesNode(tmp_path)
    node.have(M2, 1, 10, used=4, surplus=2)
    pages = sysfs.all_pages(node)
    assert pages[(M2, 1)] == Pages(10, 6, 2)
    assert pages[(M2, None)] == Pages(10, 6, 2)
    assert set(pages) == {(M2, None), (M2, 0), (M2, 1), (G1, None), (G1, 0), (G1, 1)}
    assert (pages[(M2, 1)].persistent, pages[(M2, 1)].in_use) == (8, 4)


def test_nodes_without_memory_are_none(tmp_path):
    node = HugepagesNode(tmp_path)
    folder = tmp_path / "sys/devices/system/node"
    (folder / "node2").mkdir()
    (folder / "node2/meminfo").write_text("Node 2 MemTotal:       0 kB\n")
    (folder / "possible").write_text("0-2")
    assert sysfs.memory(node) == {None: 4194304, 0: 2097152, 1: 2097152}


def test_a_kernel_without_hugepages(tmp_path):
    host = Host(str(tmp_path))
    assert sysfs.all_pages(host) == {}
    assert sysfs.memory(host) == {None: 0}
    assert sysfs.bootable_sizes(host) == frozenset()


@pytest.mark.parametrize(
    ("flags", "sizes"), [("pse pdpe1gb", {M2, G1}), ("fpu pse36 pse", {M2}), ("fpu", set()), (None, set())]
)
def test_what_the_processor_can(tmp_path, flags, sizes):
    (tmp_path / "proc").mkdir()
    text = "Features : fp asimd\n" if flags is None else f"processor : 0\nflags\t\t: {flags}\n\nflags : other\n"
    (tmp_path / "proc/cpuinfo").write_text(text)
    assert sysfs.bootable_sizes(Host(str(tmp_path))) == sizes


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(shortfall.resource, "getpagesize", lambda: 4096)


@pytest.mark.parametrize(
    ("place", "pieces"),
    [
        ((M2, 1), 1 + 2 * 3),
        ((M2, 0), (1 + 2 * 2) + (3 + 2 * 450)),
        ((M2, None), 7 + 5 + 903),
        ((G1, 0), 1),
        ((G1, 1), 0),
        ((M2, 5), 0),
    ],
)
def test_free_memory_in_whole_pieces(small_pages, place, pieces):
    assert shortfall.whole_pieces(BUDDYINFO, place) == pieces


@pytest.mark.parametrize(("node", "blocks"), [(0, 15), (1, 37), (None, 52), (7, 0)])
def test_blocks_that_cannot_move(node, blocks):
    assert shortfall.unmovable_blocks(PAGETYPEINFO, node) == blocks


def test_what_the_kernel_does_not_tell():
    assert shortfall.unmovable_blocks(None, 0) is None
    assert shortfall.unmovable_blocks("", 0) is None
    assert shortfall.unmovable_blocks("Page block order: 9\n", 0) is None


def test_shortfall_in_words(tmp_path, small_pages):
    node = HugepagesNode(tmp_path)
    short = shortfall.shortfall(node, (G1, 0), 4, 1)
    assert str(short) == (
        "1G on NUMA node 0: wanted 4, got 1; 1536 MiB are free, which would be 1 more, "
        "but in whole pieces there are 1; 15 blocks hold memory that cannot move"
    )
    (tmp_path / "proc/pagetypeinfo").unlink()
    (tmp_path / "proc/buddyinfo").unlink()
    short = shortfall.shortfall(node, (M2, None), 4, 1)
    assert str(short).endswith("in whole pieces there are 0")
    assert short.result()["unmovable"] is None
