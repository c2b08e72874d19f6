# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Desired state and records: stable text, written only when it changes."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._store import Store, as_json


@pytest.fixture
def host(tmp_path):
    return Host(str(tmp_path))


def test_json_is_stable():
    assert as_json({"b": 1, "a": 2}) == as_json({"a": 2, "b": 1})


def test_record_and_desired_come_back(host):
    store = Store(host, "sriov")
    assert store.desired() is None
    assert store.record() == {}
    store.save_desired([{"pf": {}}])
    store.save_record({"former": 0})
    assert store.desired() == [{"pf": {}}]
    assert store.record() == {"former": 0}
    store.forget()
    assert store.desired() is None
    assert store.record() == {}


def test_an_unchanged_record_is_not_written(host, tmp_path):
    store = Store(host, "sriov")
    store.save_record({"former": 0})
    path = tmp_path / "var/lib/fastpath/sriov.json"
    before = path.stat().st_ino
    store.save_record({"former": 0})
    assert path.stat().st_ino == before


def test_broken_json_names_the_file(host):
    host.write_file("/etc/fastpath/sriov.json", "{")
    with pytest.raises(FastpathError, match="/etc/fastpath/sriov.json is not JSON"):
        Store(host, "sriov").desired()


def test_the_last_concern_leaves_no_folder(host, tmp_path):
    stores = [Store(host, name) for name in ("sriov", "hugepages")]
    for store in stores:
        store.save_desired([])
        store.save_record({"former": 0})
    stores[0].forget()
    assert stores[1].desired() == []
    stores[1].forget()
    assert not (tmp_path / "etc/fastpath").exists() and not (tmp_path / "var/lib/fastpath").exists()
