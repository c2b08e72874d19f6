# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The list of artefacts, and what users say otherwise."""

from __future__ import annotations

import re

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_list import ARTEFACTS
from ansible_collections.nfv.fastpath.plugins.module_utils._artefacts import Artefact, Source, artefacts
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused

SUM = "a" * 64
# Only used with one that the user gives.
WITHOUT_CHECKSUM = ("kubernetes-node",)


def test_every_entry_is_complete():
    for name, artefact in artefacts().items():
        assert artefact.version in artefact.file, name
        assert artefact.sha256 or name in WITHOUT_CHECKSUM, name
        assert all(re.fullmatch("[0-9a-f]{64}", checksum) for checksum in artefact.sha256)
        assert artefact.sources, name
    assert set(artefacts()) == set(ARTEFACTS)


def test_mirror_is_tried_first_and_a_package_last():
    sources = artefacts()["dpdk"].with_mirror("/mirror/")
    assert [source.kind for source in sources] == ["mirror", "url", "package"]
    assert sources[0].where == "/mirror/dpdk-24.11.6.tar.xz"
    assert sources[0].sha256 == artefacts()["dpdk"].sha256


def test_no_mirror_is_no_source():
    assert [source.kind for source in artefacts()["dpdk"].with_mirror("")] == ["url", "package"]


def test_a_checksum_makes_the_upstream_usable_and_serves_the_mirror_too():
    artefact = artefacts({"dpdk": {"sha256": SUM}})["dpdk"]
    assert artefact.sources[0].sha256 == (SUM,)
    assert SUM in artefact.sha256
    assert set(artefacts()["dpdk"].sha256) < set(artefact.sha256)


def test_another_version_renames_everything_and_forgets_former_checksums():
    artefact = artefacts({"dpdk": {"version": "24.11.8", "sha256": [SUM]}})["dpdk"]
    assert artefact.file == "dpdk-24.11.8.tar.xz"
    assert artefact.sha256 == (SUM,)
    assert artefact.sources[0] == Source("url", "https://fast.dpdk.org/rel/dpdk-24.11.8.tar.xz", (SUM,))


def test_another_version_leaves_out_a_go_module_of_the_former():
    wish = {"sriov-network-device-plugin": {"version": "3.12.0", "sha256": SUM}}
    kinds = [source.kind for source in artefacts(wish)["sriov-network-device-plugin"].sources]
    assert kinds == ["url"]


def test_own_url_and_file():
    wish = {"dpdk": {"url": "https://example.org/d.tar.gz", "file": "d.tar.gz", "sha256": SUM}}
    artefact = artefacts(wish)["dpdk"]
    assert (artefact.file, artefact.sources[0].where) == ("d.tar.gz", "https://example.org/d.tar.gz")


@pytest.mark.parametrize(
    ("overrides", "variable", "text"),
    [
        (["dpdk"], "fastpath_artefacts", "mapping"),
        ({"dpkd": {}}, "fastpath_artefacts.dpkd", "known are cni-plugins, dpdk"),
        ({"dpdk": "24.11.8"}, "fastpath_artefacts.dpdk", "mapping"),
        ({"dpdk": {"sum": SUM}}, "fastpath_artefacts.dpdk.sum", "known key"),
        ({"dpdk": {"version": 24.11, "sha256": SUM}}, "fastpath_artefacts.dpdk.version", "in quotes"),
        ({"dpdk": {"version": "24.11.8"}}, "fastpath_artefacts.dpdk.version", "unchecked"),
        ({"dpdk": {"sha256": "abc"}}, "fastpath_artefacts.dpdk.sha256", "64 hex"),
        ({"dpdk": {"sha256": [SUM, SUM.upper()]}}, "fastpath_artefacts.dpdk.sha256", "64 hex"),
        ({"dpdk": {"url": "ftp://x/y"}}, "fastpath_artefacts.dpdk.url", "http"),
        ({"dpdk": {"file": "../../etc/passwd.tar.xz"}}, "fastpath_artefacts.dpdk.file", "without a folder"),
    ],
)
def test_bad_overrides(overrides, variable, text):
    with pytest.raises(Refused) as refused:
        artefacts(overrides)
    assert [problem.variable for problem in refused.value.problems] == [variable]
    assert text in refused.value.message


def test_all_problems_at_once():
    with pytest.raises(Refused) as refused:
        artefacts({"dpdk": {"version": 1, "url": 2, "file": 3}, "nothing": {}})
    assert len(refused.value.problems) == 5


def test_a_source_says_what_it_is():
    assert str(Source("url", "https://example.org/x")) == "url https://example.org/x"
    assert isinstance(artefacts()["whereabouts"], Artefact)
