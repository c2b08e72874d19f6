# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plugins on a node: placed whole, given back, cut off anywhere."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._cni_plugins import parse_cni
from ansible_collections.nfv.fastpath.plugins.module_utils._cni_plugins_node import CniPluginsConcern, cni_result
from ansible_collections.nfv.fastpath.plugins.module_utils._cni_sources import manifest_of
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.tests.unit.folder_node import FolderNode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BIN, CONFIG = "opt/cni/bin", "etc/cni/net.d"


class Node(FolderNode):
    """Its files are programs: bytes that can be run."""

    def tree(self) -> dict[str, tuple[int, bytes]]:
        return {
            str(path.relative_to(self.root)): (path.stat().st_mode & 0o7777, path.read_bytes()) for path in self.files()
        }

    def place(self, path: str, content: bytes = b"", mode: int = 0o755) -> None:
        target = Path(self.root) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(mode)


def bundle(folder: Path, **plugins: bytes) -> dict[str, Any]:
    """A bundle as the controller makes it: manifest and archive."""
    named = {name.replace("_", "-"): content for name, content in plugins.items()}
    raw = BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as target:
        for name, content in named.items():
            item = tarfile.TarInfo(name)
            item.size, item.mode = len(content), 0o755
            target.addfile(item, BytesIO(content))
    data = lzma.compress(raw.getvalue(), preset=0)
    key = hashlib.sha256(data).hexdigest()[:16]
    path = folder / f"{key}.tar.xz"
    path.write_bytes(data)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in named.items()}
    return {"bundle": manifest_of(key, sums, hashlib.sha256(data).hexdigest()), "archive": str(path)}


def run(node: Node, made: dict[str, Any] | None = None, dry_run: bool = False, **more: Any) -> dict[str, Any]:
    state = "present" if made is not None else "absent"
    return cni_result(node, {"state": state, **(made or {}), **more}, dry_run)


def actions(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(step["action"], step["target"].rsplit("/", 1)[-1]) for step in result["operations"]]


def placed(node: Node) -> dict[str, bytes]:
    return {path.rsplit("/", 1)[-1]: content for path, (_mode, content) in node.tree().items() if path.startswith(BIN)}


def node_with(folder: Path, there: dict[str, bytes]) -> Node:
    """A new node on which somebody has put these plugins."""
    folder.mkdir()
    node = Node(folder)
    for name, content in there.items():
        node.place(f"{BIN}/{name}", content)
    return node


@pytest.fixture
def node(tmp_path):
    return node_with(tmp_path / "node", {})


def test_in_order(node, tmp_path):
    made = bundle(tmp_path, bridge=b"br", sriov=b"vf")
    node.place(f"{BIN}/loopback", b"lo")
    start = node.tree()
    ahead = run(node, made, dry_run=True)
    assert node.tree() == start
    first = run(node, made)
    assert (first["changed"], first["operations"]) == (True, ahead["operations"])
    assert node.tree()[f"{BIN}/bridge"] == (0o755, b"br")
    after, before = node.tree(), node.changes
    second = run(node, made)
    assert (second["changed"], second["operations"]) == (False, [])
    assert (node.tree(), node.changes) == (after, before)
    gone = run(node)
    assert actions(gone) == [("remove_plugin", "bridge"), ("remove_plugin", "sriov"), ("forget", "cni_plugins")]
    assert node.tree() == start


def test_what_was_there_comes_back(node, tmp_path):
    node.place(f"{BIN}/bridge", b"old", 0o750)
    start = node.tree()
    run(node, bundle(tmp_path, bridge=b"one"))
    run(node, bundle(tmp_path, bridge=b"two"))
    assert node.tree()[f"{BIN}/bridge"] == (0o755, b"two")
    assert node.tree()["var/lib/fastpath/cni/bridge"] == (0o750, b"old")
    assert actions(run(node))[0] == ("restore_plugin", "bridge")
    assert node.tree() == start


def test_a_plugin_that_is_no_longer_wanted(node, tmp_path):
    node.place(f"{BIN}/bridge", b"old")
    run(node, bundle(tmp_path, bridge=b"one", sriov=b"vf"))
    result = run(node, bundle(tmp_path, tuning=b"t"))
    assert set(actions(result)) == {
        ("save_desired", "cni_plugins.json"),
        ("place_plugin", "tuning"),
        ("restore_plugin", "bridge"),
        ("remove_plugin", "sriov"),
    }
    assert {path: content for path, (_mode, content) in node.tree().items() if path.startswith(BIN)} == {
        f"{BIN}/bridge": b"old",
        f"{BIN}/tuning": b"t",
    }
    assert not run(node, bundle(tmp_path, tuning=b"t"))["changed"]


def test_one_that_is_right_already_is_nobody_elses_business(node, tmp_path):
    node.place(f"{BIN}/bridge", b"br")
    start = node.tree()
    result = run(node, bundle(tmp_path, bridge=b"br"))
    assert actions(result) == [("save_desired", "cni_plugins.json")]
    run(node)
    assert node.tree() == start


def test_the_archive_is_asked_for_only_where_it_is_needed(node, tmp_path):
    made = bundle(tmp_path, bridge=b"br")
    without = {**made, "archive": None}
    asked = run(node, without)
    assert (asked["archive_needed"], asked["changed"]) == (True, False)
    assert node.tree() == {}
    assert run(node, made)["archive_needed"] is False
    again = run(node, without)
    assert (again["archive_needed"], again["changed"]) == (False, False)


def test_somebody_replaced_it(node, tmp_path):
    made = bundle(tmp_path, bridge=b"br")
    run(node, made)
    node.place(f"{BIN}/bridge", b"other")
    warned: list[str] = []
    result = cni_result(node, {"state": "present", **made}, False, warned.append)
    assert actions(result) == [("place_plugin", "bridge")]
    assert warned == ["/opt/cni/bin/bridge was changed by somebody since it was placed."]
    node.place(f"{BIN}/bridge", b"other")
    result = cni_result(node, {"state": "absent"}, False, warned.append)
    assert actions(result)[0] == ("release", "bridge")
    assert node.tree() == {f"{BIN}/bridge": (0o755, b"other")}


def test_somebody_removed_it(node, tmp_path):
    made = bundle(tmp_path, bridge=b"br")
    run(node, made)
    os.unlink(f"{node.root}/{BIN}/bridge")
    assert actions(run(node, made)) == [("place_plugin", "bridge")]
    os.unlink(f"{node.root}/{BIN}/bridge")
    run(node)
    assert node.tree() == {}


def pods_run(node: Node) -> None:
    """What Multus and whereabouts bring to a node."""
    node.place(f"{BIN}/multus-shim", b"x")
    node.place(f"{CONFIG}/00-multus.conf", b"{}")
    node.place(f"{CONFIG}/multus.d/multus.kubeconfig", b"{}")
    node.place(f"{CONFIG}/whereabouts.d/whereabouts.conf", b"{}")
    os.makedirs(f"{node.root}/etc/cni/multus/net.d", exist_ok=True)


def test_what_multus_left_goes_unless_it_was_there_before(node, tmp_path):
    node.place(f"{BIN}/passthru", b"theirs")
    node.place(f"{CONFIG}/10-bridge.conflist", b"{}")
    start = node.tree()
    run(node, {**bundle(tmp_path, bridge=b"br"), "daemons": ["multus", "whereabouts"]})
    pods_run(node)
    result = run(node)
    assert ("remove_left_over", "multus.d") in actions(result)
    assert node.tree() == start
    assert not os.path.exists(f"{node.root}/{CONFIG}/multus.d")
    assert not os.path.exists(f"{node.root}/etc/cni/multus")


def test_what_was_left_by_daemons_of_others_stays(node, tmp_path):
    """Theirs came after the first run."""
    run(node, {**bundle(tmp_path, bridge=b"br"), "daemons": ["whereabouts"]})
    pods_run(node)
    assert [target for action, target in actions(run(node)) if action == "remove_left_over"] == ["whereabouts.d"]
    assert sorted(node.tree()) == [
        f"{CONFIG}/00-multus.conf",
        f"{CONFIG}/multus.d/multus.kubeconfig",
        f"{BIN}/multus-shim",
    ]
    assert os.path.exists(f"{node.root}/etc/cni/multus/net.d")


def test_daemons_are_known_from_every_run_until_the_teardown(node, tmp_path):
    made = bundle(tmp_path, bridge=b"br")
    assert run(node, made)["changed"]
    assert run(node, {**made, "daemons": ["multus"]})["changed"]
    assert not run(node, {**made, "daemons": ["multus"]})["changed"]
    run(node, made)
    pods_run(node)
    left = [target for action, target in actions(run(node)) if action == "remove_left_over"]
    assert left == ["multus-shim", "00-multus.conf", "multus.d", "multus"]
    assert list(node.tree()) == [f"{CONFIG}/whereabouts.d/whereabouts.conf"]
    with pytest.raises(Refused, match="cni_plugins_daemons = .*must be a list of multus, whereabouts"):
        parse_cni({"daemons": ["flannel"]})


def test_files_of_somebody_where_multus_only_reads_stay(node, tmp_path):
    run(node, {**bundle(tmp_path, bridge=b"br"), "daemons": ["multus"]})
    node.place("etc/cni/multus/net.d/10-lab.conf", b"{}")
    run(node)
    assert list(node.tree()) == ["etc/cni/multus/net.d/10-lab.conf"]


def test_where_nothing_was_done_nothing_is_cleared(node):
    node.place(f"{CONFIG}/00-multus.conf", b"{}")
    result = run(node)
    assert (result["changed"], list(node.tree())) == (False, [f"{CONFIG}/00-multus.conf"])


def test_other_folders(node, tmp_path):
    made = {**bundle(tmp_path, bridge=b"br"), "bin_dir": "/usr/lib/cni/", "config_dir": "/etc/cni"}
    run(node, made)
    assert "usr/lib/cni/bridge" in node.tree()
    with pytest.raises(Refused, match="was /usr/lib/cni in former runs"):
        run(node, {**made, "bin_dir": "/opt/cni/bin"})
    run(node)
    assert node.tree() == {}


def test_archives_that_are_wrong(node, tmp_path):
    made = bundle(tmp_path, bridge=b"br")
    with pytest.raises(FastpathError, match="did not arrive"):
        run(node, {**made, "archive": str(tmp_path / "none")})
    other = bundle(tmp_path, bridge=b"other")
    with pytest.raises(FastpathError, match="its manifest says .*; it is not used"):
        run(node, {**made, "archive": other["archive"]})
    lying = json.loads(json.dumps(made))
    lying["bundle"]["plugins"]["bridge"] = "c" * 64
    with pytest.raises(FastpathError, match="bridge in the archive has sha256"):
        run(node, lying)
    lying["bundle"]["plugins"] = {"vlan": "c" * 64}
    with pytest.raises(FastpathError, match="The archive does not hold vlan"):
        run(node, lying)
    assert f"{BIN}/bridge" not in node.tree()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"bundle": {}}, "must be a manifest of schema"),
        (
            {"bundle": {"schema": "nfv.fastpath/cni/1", "plugins": {"../x": "a" * 64}}},
            "must be a SHA-256 by plugin name",
        ),
        ({"bundle": {"schema": "nfv.fastpath/cni/1", "plugins": {"x": 5}}}, "must be a SHA-256 by plugin name"),
        ({"bin_dir": "opt"}, "must be an absolute path"),
        ({"config_dir": "/"}, "must be an absolute path"),
        ({"multus": "fat"}, "must be one of thick, thin"),
    ],
)
def test_refusals(spec, words):
    with pytest.raises(Refused, match=words):
        parse_cni(spec)


def test_a_check_mode_before_anything_was_gathered(node):
    """Checksums are not known yet: what is missing will be placed, and what is there may be replaced."""
    node.place(f"{BIN}/bridge", b"old")
    ahead = {"bundle": manifest_of("k", {"bridge": "", "sriov": ""}), "archive": None}
    result = run(node, ahead, dry_run=True)
    assert [name for action, name in actions(result) if action == "place_plugin"] == ["bridge", "sriov"]


# Verification


def failed(node: Node, spec: Any = None, health: str = "") -> list[str]:
    concern = CniPluginsConcern(node, probe=lambda _path: health)
    return [f"{check.target}: {check.seen}" for check in verify(concern, spec or {}) if not check.ok]


def test_verification_reads_the_files_themselves(node, tmp_path):
    run(node, bundle(tmp_path, bridge=b"br", sriov=b"vf", tuning=b"tu"))
    assert failed(node) == []
    stat = os.stat(f"{node.root}/{BIN}/bridge")
    Path(f"{node.root}/{BIN}/bridge").write_bytes(b"xx")
    os.utime(f"{node.root}/{BIN}/bridge", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.unlink(f"{node.root}/{BIN}/sriov")
    os.chmod(f"{node.root}/{BIN}/tuning", 0o644)
    found = failed(node)
    assert found[0].startswith("/opt/cni/bin/bridge: ") and not found[0].endswith("None")
    assert found[1:] == ["/opt/cni/bin/sriov: None", "/opt/cni/bin/tuning: a file that cannot be run"]


def test_verification_looks_at_multus_where_that_is_wanted(node):
    assert failed(node, {"multus": "thick"}) == [
        "Multus: the first network configuration is none and not that of Multus"
    ]
    node.place(f"{CONFIG}/00-multus.conf", b'{"type": "multus-shim"}')
    node.place(f"{BIN}/multus-shim")
    assert failed(node, {"multus": "thick"}) == []
    assert failed(node, {"multus": "thick"}, "no socket") == ["Multus: no socket"]


# Cut off


@pytest.mark.parametrize("there", [{}, {"bridge": b"old"}])
def test_cut_off_anywhere_the_next_run_goes_on_and_teardown_gives_back(tmp_path, there):
    one, two = bundle(tmp_path, bridge=b"one", sriov=b"vf"), bundle(tmp_path, bridge=b"two", tuning=b"tu")
    wanted = {"bridge": b"two", "tuning": b"tu"}
    for after in (one, None):
        for limit in range(40):
            folder = tmp_path / f"n{limit}{after is None}{len(there)}"
            node = node_with(folder, there)
            start = node.tree()
            if after is None:
                run(node, one)
            with node.cut_off(limit) as power:
                run(node, one if after else two)
            if not power.gone:
                break
            assert [path for path in node.tree() if ".fastpath-" in path] == []
            spare = Node(folder)
            run(spare, two)
            assert placed(node) == wanted
            run(spare)
            assert node.tree() == start
        else:
            raise AssertionError("never ran through")


@pytest.mark.parametrize("there", [{}, {"bridge": b"old"}])
def test_a_teardown_after_a_cut(tmp_path, there):
    made = bundle(tmp_path, bridge=b"one", sriov=b"vf")
    newer = bundle(tmp_path, bridge=b"two", sriov=b"vf")
    for upgrade in (False, True):
        for limit in range(30):
            node = node_with(tmp_path / f"t{limit}{upgrade}{len(there)}", there)
            start = node.tree()
            if upgrade:
                run(node, made)
            with node.cut_off(limit) as power:
                run(node, newer if upgrade else made)
            if not power.gone:
                break
            run(node)
            assert node.tree() == start


SETS = st.dictionaries(st.sampled_from(["bridge", "sriov", "tuning"]), st.sampled_from([b"1", b"2"]))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(SETS, st.lists(SETS, min_size=1, max_size=3))
def test_any_sequence_ends_as_asked_and_goes_back_to_the_start(tmp_path_factory, there, steps):
    folder = tmp_path_factory.mktemp("n")
    node = node_with(folder / "node", there)
    start = node.tree()
    for step in steps:
        made = bundle(folder, **step)
        run(node, made)
        assert placed(node) == {**there, **step}
        assert not run(node, made)["changed"]
    run(node)
    assert node.tree() == start
