# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module boot_engine as Ansible calls it."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.modules import boot_engine
from ansible_collections.nfv.fastpath.tests.unit.module_run import KEYS, run

ENGINE = "usr/libexec/fastpath/fastpath-node"


@pytest.fixture
def node(tmp_path, monkeypatch):
    def systemctl(argv, timeout, stdin):
        target = "sysinit" if "hugepages" in argv[-1] else "multi-user"
        link = tmp_path / f"etc/systemd/system/{target}.target.wants/{argv[-1]}"
        if argv[1] == "enable":
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to("x")
        elif argv[1] == "disable":
            link.unlink()
        return Completed(0, "", "")

    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/python3").symlink_to(sys.executable)
    monkeypatch.setattr(boot_engine, "Host", lambda: Host(str(tmp_path), systemctl))
    return tmp_path


def test_check_mode_says_what_the_run_does_and_the_second_run_nothing(node):
    foretold = run(boot_engine, check=True)
    assert foretold["changed"] and not (node / ENGINE).exists()
    done = run(boot_engine)
    assert {key: done[key] for key in KEYS} == {key: foretold[key] for key in KEYS}
    assert (node / ENGINE).exists()
    assert not run(boot_engine)["changed"]


def test_the_engine_stays_while_it_is_needed(node):
    run(boot_engine)
    (node / "etc/fastpath/sriov.json").write_text("[]")
    kept = run(boot_engine, state="absent")
    assert set(kept) >= KEYS and not kept["changed"] and (node / ENGINE).exists()
    (node / "etc/fastpath/sriov.json").unlink()
    assert run(boot_engine, state="absent")["changed"]
    assert not (node / "usr/libexec").exists() and not (node / "etc/fastpath").exists()
    assert not run(boot_engine, state="absent")["changed"]


def test_a_python_that_is_not_there(node):
    refused = run(boot_engine, interpreter="/usr/bin/python9")
    assert refused["failed"] and "boot_engine_interpreter = '/usr/bin/python9'" in refused["msg"]
