# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The package managers, against transcripts of what they say."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._packages import (
    Apt,
    Dnf,
    must_have_manager,
    package_manager,
)

APT = ["env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_MODE=l", "apt-get", "-q"]
APT += ["-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Options::=--force-confold"]
SHOW = ["dpkg-query", "--show", "--showformat=${Package}\t${db:Status-Status}\n"]


class Transcript:
    """The exact commands in order, each with what it answers."""

    def __init__(self, *steps):
        self.steps = list(steps)

    def __call__(self, argv, timeout, stdin):
        expected, answer = self.steps.pop(0)
        assert list(argv) == expected
        return answer if isinstance(answer, Completed) else Completed(0, answer, "")


def apt(*steps):
    transcript = Transcript(*steps)
    return Apt(Host(run=transcript)), transcript


def test_installed_ones_only():
    manager, _left = apt((SHOW, "dpdk\tinstalled\nbase\tconfig-files\nlibnuma1\tinstalled\n"))
    assert manager.installed() == {"dpdk", "libnuma1"}


def test_a_field_of_the_candidate():
    show = ["apt-cache", "show", "--no-all-versions", "dpdk-dev"]
    text = "Package: dpdk-dev\nVersion: 24.11.4-0+deb13u1\nDepends: libdpdk-dev, librte-eal25 (>= 24.11)\n"
    manager, _left = apt((show, text), (show, text), (show, Completed(100, "", "E: No packages found")))
    assert manager.field("dpdk-dev", "Depends") == "libdpdk-dev, librte-eal25 (>= 24.11)"
    assert manager.field("dpdk-dev", "Recommends") == ""
    assert manager.field("dpdk-dev", "Depends") is None


def test_what_the_lists_do_not_have():
    show = ["apt-cache", "show", "--no-all-versions", "a", "b", "c"]
    manager, _left = apt((show, "Package: c\nVersion: 1\n\nPackage: a\n"), (show, Completed(100, "", "E: none")))
    assert manager.unknown(["a", "b", "c"]) == ["b"]
    assert manager.unknown(["a", "b", "c"]) == ["a", "b", "c"]
    assert Dnf(Host()).unknown(["a"]) == []


NAMED = [*APT, "-o", "Dir::Cache::archives=/nonexistent/", "-y", "--print-uris", "--no-install-recommends", "install"]


def test_what_comes_along():
    pool, eal = "http://deb.example.org/pool/main", "librte-eal25_24.11.4-0"
    out = (
        "Reading package lists...\nBuilding dependency tree...\n"
        f"'{pool}/d/dpdk/{eal}%2bdeb13u1_amd64.deb' {eal}+deb13u1_amd64.deb 5 MD5Sum:a\n"
        f"'{pool}/d/dpdk/dpdk_24.11.4_amd64.deb' dpdk_24.11.4_amd64.deb 7 SHA256:b\n"
        f"'{pool}/g/glibc/libc6_2.42_amd64.deb' libc6_2.42_amd64.deb 9 MD5Sum:c\n"
    )
    nothing = "dpdk is already the newest version (24.11.4).\n0 upgraded, 0 newly installed\n"
    failed = Completed(100, "", "E: Unable to locate package dpdk")
    there = (SHOW, "libc6\tinstalled\n")
    argv = [*NAMED, "dpdk"]
    manager, left = apt((argv, out), there, (argv, nothing), there, (argv, failed))
    assert manager.would_install(["dpdk"]) == ["dpdk", "librte-eal25"]
    assert manager.would_install(["dpdk"]) == []
    with pytest.raises(FastpathError, match="Unable to locate package dpdk"):
        manager.would_install(["dpdk"])
    assert not left.steps


def test_install_refresh_and_remove():
    manager, left = apt(
        ([*APT, "update"], ""),
        ([*APT, "-y", "--no-install-recommends", "install", "a", "b"], ""),
        ([*APT, "-y", "purge", "a", "b"], ""),
    )
    manager.refresh()
    manager.install(["a", "b"])
    manager.remove(["a", "b"])
    assert not left.steps


def test_a_failed_install_shows_what_apt_said():
    failed = Completed(100, "", "E: Unable to locate package b")
    manager, _left = apt(([*APT, "-y", "--no-install-recommends", "install", "b"], failed))
    with pytest.raises(FastpathError, match="Unable to locate package b"):
        manager.install(["b"])


def removal(*names):
    return [*APT, "--simulate", "remove", *names]


def going(*names):
    return Completed(0, "".join(f"Remv {name} [1]\n" for name in names), "")


def test_all_can_go_and_what_is_gone_already_is_not_asked_for():
    manager, _left = apt((SHOW, "a\tinstalled\nb\tinstalled\n"), (removal("a", "b"), going("b", "a")))
    assert manager.removable(["b", "a", "gone"]) == ["a", "b"]


def test_what_others_need_by_now_stays():
    manager, left = apt(
        (SHOW, "a\tinstalled\nb\tinstalled\nother\tinstalled\n"),
        (removal("a", "b"), going("other", "b", "a")),
        (removal("a"), going("a")),
        (removal("b"), going("other", "b")),
        (removal("a"), going("a")),
    )
    assert manager.removable(["a", "b"]) == ["a"]
    assert not left.steps


def test_nothing_goes_where_it_cannot_be_told_apart():
    manager, _left = apt(
        (SHOW, "a\tinstalled\n"),
        (removal("a"), going("other", "a")),
        (removal("a"), going("a")),
    )
    assert manager.removable(["a"]) == []
    manager, _left = apt((SHOW, "a\tinstalled\n"), (removal("a"), Completed(100, "", "held")))
    assert manager.removable(["a"]) == []
    manager, _left = apt((SHOW, "b\tinstalled\n"))
    assert manager.removable(["a"]) == []


def test_dnf():
    query = ["rpm", "-qa", "--queryformat", "%{NAME}\\n"]
    transcript = Transcript(
        (query, "dpdk\nbash\n"),
        (query, "dpdk\nbash\n"),
        (["dnf", "-q", "-y", "install", "dpdk-tools"], ""),
        (query, "dpdk\nbash\n"),
        (["rpm", "-q", "--whatrequires", "bash", "--qf", "%{NAME}\\n"], "kernel\n"),
        (["rpm", "-q", "--whatrequires", "dpdk", "--qf", "%{NAME}\\n"], Completed(1, "no package requires dpdk", "")),
        (["dnf", "-q", "-y", "remove", "--noautoremove", "dpdk"], ""),
        (["dnf", "-q", "makecache"], ""),
    )
    manager = Dnf(Host(run=transcript))
    assert manager.installed() == {"dpdk", "bash"}
    assert manager.would_install(["dpdk", "dpdk-tools"]) == ["dpdk-tools"]
    manager.install(["dpdk-tools"])
    assert manager.removable(["dpdk", "bash"]) == ["dpdk"]
    manager.remove(["dpdk"])
    manager.refresh()
    assert not transcript.steps


def test_dnf_fields():
    argv = ["dnf", "-q", "-C", "repoquery", "--latest-limit=1", "--queryformat", "%{version}\\n", "dpdk"]
    manager = Dnf(Host(run=Transcript((argv, "24.11\n"), (argv, ""))))
    assert manager.field("dpdk", "Version") == "24.11"
    assert manager.field("dpdk", "Version") is None


@pytest.mark.parametrize(("program", "kind"), [("apt-get", Apt), ("dnf", Dnf), ("apk", type(None))])
def test_which_one(tmp_path, program, kind):
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin" / program).touch()
    assert isinstance(package_manager(Host(root=str(tmp_path))), kind)


def test_a_node_with_neither():
    with pytest.raises(FastpathError, match="neither apt nor dnf"):
        must_have_manager(None)
