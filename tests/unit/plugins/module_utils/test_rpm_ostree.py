# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_arguments import as_line, parse_line
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_loader import BootChange, BootConfig
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._rpm_ostree import RpmOstreeLoader, RpmOstreeRules

KARGS = ["rpm-ostree", "kargs"]
STOCK = "$ignition_firstboot ostree=/ostree/boot.1/fedora-coreos/0123/0 ignition.platform.id=metal root=UUID=1 rw"


class Transcript:
    def __init__(self, *steps: tuple[list[str], Completed]) -> None:
        self.steps = list(steps)

    def __call__(self, argv: Sequence[str], timeout: float, stdin: str) -> Completed:
        assert self.steps, f"unexpected: {argv}"
        expected, answer = self.steps.pop(0)
        assert list(argv) == expected
        return answer


def ok(text: str = "") -> Completed:
    return Completed(0, text, "")


def test_the_next_deployment_is_what_counts(tmp_path):
    transcript = Transcript((KARGS, ok(STOCK + "\n")))
    found = RpmOstreeLoader(Host(str(tmp_path), transcript)).discover()
    assert [as_line(entry) for entry in found.entries] == [STOCK]


def test_one_transaction_takes_out_and_adds_in_order(tmp_path):
    change = BootChange(
        own=parse_line("iommu=pt hugepagesz=1G hugepages=2"),
        delete=parse_line("nosmt iommu=pt"),
        append=parse_line("iommu=pt hugepagesz=1G hugepages=2"),
    )
    options = ["--delete=nosmt", "--delete=iommu=pt", "--append=iommu=pt", "--append=hugepagesz=1G"]
    transcript = Transcript(
        (
            [*KARGS, *options, "--append=hugepages=2"],
            ok('Changes queued for next boot. Run "systemctl reboot" to start a reboot\n'),
        ),
        (KARGS, ok(f"{STOCK} iommu=pt hugepagesz=1G hugepages=2\n")),
    )
    RpmOstreeLoader(Host(str(tmp_path), transcript)).write(change)
    assert transcript.steps == []


def test_regrouped_pairs_are_taken_back(tmp_path):
    pages = "hugepagesz=1G hugepages=2 hugepagesz=2M hugepages=512"
    change = BootChange(own=parse_line(pages), append=parse_line(pages))
    transcript = Transcript(
        ([*KARGS, *[f"--append={word}" for word in pages.split()]], ok()),
        (KARGS, ok(f"{STOCK} hugepagesz=1G hugepagesz=2M hugepages=2 hugepages=512")),
        ([*KARGS, *[f"--delete={word}" for word in pages.split()]], ok()),
    )
    with pytest.raises(FastpathError, match="did not keep .* taken back"):
        RpmOstreeLoader(Host(str(tmp_path), transcript)).write(change)
    assert transcript.steps == []


def test_a_refused_transaction_is_said(tmp_path):
    answer = Completed(1, "", "error: No key 'nosmt' found")
    transcript = Transcript(([*KARGS, "--delete=nosmt"], answer))
    with pytest.raises(FastpathError, match="No key 'nosmt' found"):
        RpmOstreeLoader(Host(str(tmp_path), transcript)).write(BootChange(delete=parse_line("nosmt")))


def test_rules():
    rules = RpmOstreeRules()
    assert rules.unfit(parse_line('x="a b"')[0])
    assert not rules.unfit(parse_line("x=a,b")[0])
    assert "rpm-ostree status" in rules.suspects(BootConfig(()), (), carried=True)[0]
    assert rules.suspects(BootConfig(()), (), carried=False) == []
