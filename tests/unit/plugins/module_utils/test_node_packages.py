# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages that a role needs: installed where missing, and given back."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge, verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._node_packages import PackagesConcern

WANTED = {"containerd": "containerd"}


class Apt:
    """``known``: what the lists have after a refresh; ``along``: what comes by dependency."""

    def __init__(self, folder, with_apt=True):
        self.folder = folder
        self.packages = {"bash"}
        self.known = {"containerd", "kubelet"}
        self.listed = True
        self.along = ["runc"]
        self.commands = []
        self.fails = False
        (folder / "usr/bin").mkdir(parents=True)
        if with_apt:
            (folder / "usr/bin/apt-get").write_text("")

    @property
    def host(self):
        return Host(root=str(self.folder), run=self.run)

    def run(self, argv, timeout, stdin):
        words = list(argv)
        if words[0] == "dpkg-query":
            return Completed(0, "".join(f"{name}\tinstalled\n" for name in sorted(self.packages)), "")
        if words[0] == "apt-cache":
            here = [name for name in words[3:] if self.listed and name in self.known]
            return Completed(0, "".join(f"Package: {name}\n" for name in here), "")
        assert words[3] == "apt-get"
        if "update" in words:
            self.listed = True
            return Completed(0, "", "")
        verb = next(word for word in ("install", "remove", "purge") if word in words)
        names = [name.split("=")[0] for name in words[words.index(verb) + 1 :]]
        if "--print-uris" in words:
            lines = (f"'http://h/{name}_1.deb' {name}_1.deb 1 MD5Sum:a\n" for name in [*names, *self.along])
            return Completed(0, "".join(lines), "")
        if "--simulate" in words:
            return Completed(0, "".join(f"Remv {name}\n" for name in names), "")
        self.commands.append([verb, *words[words.index(verb) + 1 :]])
        if self.fails:
            return Completed(100, "", "E: no")
        if verb == "install":
            self.packages |= {*names, *self.along}
        else:
            self.packages -= set(names)
        return Completed(0, "", "")


@pytest.fixture
def apt(tmp_path):
    return Apt(tmp_path)


def run(apt, spec=None, dry_run=False, remove=True):
    return converge(PackagesConcern(apt.host, "container_runtime", remove), Request(spec, spec is not None, dry_run))


def test_in_order(apt):
    ahead = run(apt, WANTED, dry_run=True)
    assert apt.commands == []
    first = run(apt, WANTED)
    assert first.operations == ahead.operations
    assert (first.before, first.after) == ({"packages": []}, {"packages": ["containerd"]})
    assert apt.commands == [["install", "containerd"]]
    assert not run(apt, WANTED).changed
    assert all(check.ok for check in verify(PackagesConcern(apt.host, "container_runtime"), WANTED))
    run(apt)
    assert apt.commands[1:] == [["purge", "containerd", "runc"]]
    assert apt.packages == {"bash"}
    assert not (apt.folder / "var/lib/fastpath").exists()


def test_packages_stay_without_a_word(apt):
    run(apt, WANTED)
    run(apt, remove=False)
    assert "containerd" in apt.packages


def test_a_program_that_is_there_is_enough(apt):
    (apt.folder / "usr/local/bin").mkdir(parents=True)
    (apt.folder / "usr/local/bin/containerd").write_text("")
    run(apt, WANTED)
    run(apt)
    assert apt.commands == []


def test_a_version_may_be_named(apt):
    run(apt, {"kubelet": "kubelet=1.36.3-*"})
    assert apt.commands == [["install", "kubelet=1.36.3-*"]]
    assert not run(apt, {"kubelet": "kubelet=1.36.3-*"}).changed


def test_lists_are_read_where_they_do_not_know_it(apt):
    apt.listed = False
    run(apt, WANTED)
    assert "containerd" in apt.packages


def test_unknown_packages_are_one_message(apt):
    with pytest.raises(FastpathError, match=r"no containerd\.io: add a source"):
        run(apt, {"containerd": "containerd.io"})


def test_a_failed_installation_is_remembered(apt):
    apt.fails = True
    with pytest.raises(FastpathError, match="E: no"):
        run(apt, WANTED)
    apt.fails = False
    run(apt, WANTED)
    run(apt)
    assert apt.packages == {"bash"}


def test_no_package_manager(tmp_path):
    apt = Apt(tmp_path, with_apt=False)
    with pytest.raises(Refused, match="neither apt nor dnf"):
        run(apt, WANTED)
    (tmp_path / "usr/bin/containerd").write_text("")
    run(apt, WANTED)


@pytest.mark.parametrize("spec", [["containerd"], {"containerd": 3}, {"containerd": "a b"}, {"a/b": "c"}])
def test_what_is_no_set_of_packages(apt, spec):
    with pytest.raises(Refused):
        run(apt, spec)


def test_verify_names_what_is_missing(apt):
    (check,) = verify(PackagesConcern(apt.host, "container_runtime"), WANTED)
    assert (check.ok, check.seen) == (False, [["containerd"]])
