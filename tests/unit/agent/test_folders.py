# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A folder for each pod: who may do what in it, and that no link in it leads anywhere."""

from __future__ import annotations

import os
import socket
import stat
import threading
import time

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import connect, is_socket
from fastpath_agent import folders as folders_module
from fastpath_agent.config import Access
from fastpath_agent.folders import PodFolders
from fastpath_agent.model import NotPossible, PodOwner, SocketError

UID = "0d5f1c66-0000-4000-8000-000000000001"
POD = PodOwner("c" * 64, "net1", "apps", "one", UID)
ACCESS = Access(1000, 2000)


@pytest.fixture
def folders(place):
    return PodFolders(Host(), str(place), links=True)


def lease(folders, owner=POD, mode="client", name="vdpa-0"):
    return folders.lease("vdpa", "0000:02:00.3", name, owner, mode)


def listening(path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen()
    return made


def mode_of(path) -> tuple[int, int, int]:
    status = os.lstat(path)
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


def test_the_pods_folder_and_what_is_above_it(folders, place):
    given = lease(folders)
    folders.make(given, ACCESS)
    assert given.path == f"{place}/pods/{UID}/vdpa-0"
    assert mode_of(given.directory) == (0o750, 1000, 2000)
    assert mode_of(folders.root)[0] == 0o711, "nobody looks around where the pods' folders are"


def test_a_pod_that_makes_the_socket_can_write(folders):
    given = lease(folders, mode="server")
    folders.make(given, ACCESS)
    assert mode_of(given.directory) == (0o770, 1000, 2000)


def test_a_second_interface_takes_no_right_away(folders):
    folders.make(lease(folders, mode="server"), ACCESS)
    other = lease(folders, PodOwner("c" * 64, "net2", uid=UID), name="vdpa-1")
    folders.make(other, Access(5, 6))
    assert mode_of(other.directory) == (0o770, 1000, 2000)


def test_a_second_interface_may_need_more(folders):
    folders.make(lease(folders), ACCESS)
    folders.make(lease(folders, PodOwner("c" * 64, "net2", uid=UID), mode="server", name="vdpa-1"), ACCESS)
    assert mode_of(lease(folders).directory) == (0o770, 1000, 2000)


def test_two_interfaces_at_once_take_no_right_from_each_other(folders, monkeypatch):
    """The one that needs less is the last to have seen an unfinished folder."""
    real = os.chown

    def slow(*arguments, **keywords):
        time.sleep(0.1)
        real(*arguments, **keywords)

    monkeypatch.setattr(folders_module.os, "chown", slow)
    given = lease(folders, mode="server")
    makers = [threading.Thread(target=folders.make, args=(each, ACCESS)) for each in (given, lease(folders))]
    for maker in makers:
        maker.start()
        time.sleep(0.03)
    for maker in makers:
        maker.join()
    assert mode_of(given.directory) == (0o770, 1000, 2000)


def test_a_folder_whose_making_was_cut_off_is_finished(folders):
    given = lease(folders)
    os.makedirs(given.directory, 0o700)
    folders.make(given, ACCESS)
    assert mode_of(given.directory) == (0o750, 1000, 2000)


def test_the_folder_stays_the_same_one(folders):
    given = lease(folders)
    folders.make(given, ACCESS)
    before = os.stat(given.directory).st_ino
    folders.make(given, ACCESS)
    assert os.stat(given.directory).st_ino == before


def test_without_a_uid_the_sandbox_names_the_folder(folders, place):
    assert lease(folders, PodOwner("c" * 64, "net1")).directory == f"{place}/pods/{'c' * 64}"


def test_a_socket_is_moved_with_its_owner_and_mode(folders, place):
    given = lease(folders)
    folders.make(given, ACCESS)
    with listening(place / "idle"):
        folders.place(str(place / "idle"), given, ACCESS)
        assert mode_of(given.path) == (0o660, 1000, 2000)
        assert not (place / "idle").exists()
        connect(given.path).close()


@pytest.mark.parametrize(
    "owner",
    [
        PodOwner("..", "net1"),
        PodOwner("a/b", "net1"),
        PodOwner("", "net1"),
        PodOwner("c", "net1", uid="../x"),
        PodOwner("c", "net1", uid="a b"),
        PodOwner("c\0", "net1"),
        PodOwner(".hidden", "net1"),
        PodOwner("c\n", "net1"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(folders, owner, place):
    with pytest.raises(NotPossible, match="cannot be the names"):
        lease(folders, owner)
    assert list(place.iterdir()) == []


def test_a_path_that_the_kernel_does_not_take(folders):
    with pytest.raises(NotPossible, match="longer than 107 bytes"):
        lease(folders, PodOwner("c", "net1", uid="u" * 100))


def test_a_link_in_place_of_the_socket_is_replaced_and_not_followed(folders, place):
    given = lease(folders, mode="server")
    folders.make(given, ACCESS)
    (place / "victim").write_text("somebody's")
    os.symlink(place / "victim", given.path)
    with listening(place / "idle"):
        folders.place(str(place / "idle"), given, ACCESS)
    assert is_socket(given.path)
    assert (place / "victim").read_text() == "somebody's"
    assert mode_of(place / "victim")[1:] == (0, 0)


def test_a_link_in_place_of_the_folder_is_refused(folders, place):
    given = lease(folders)
    os.makedirs(folders.root)
    os.symlink("/etc", given.directory)
    with pytest.raises(SocketError, match="is no folder"):
        folders.make(given, ACCESS)


def test_removing_a_socket_removes_nothing_else(folders):
    given, other = lease(folders), lease(folders, PodOwner("c" * 64, "net10", uid=UID), name="vdpa-01")
    folders.make(given, ACCESS)
    for item in (given, other):
        open(item.path, "w").close()
    folders.remove_socket(given)
    folders.remove_socket(given)
    assert os.listdir(given.directory) == ["vdpa-01"]


def test_a_folder_with_something_in_it_is_not_dropped(folders):
    """A CNI plugin that makes ports itself has its sockets there as well."""
    given = lease(folders)
    folders.make(given, ACCESS)
    with listening(f"{given.directory}/other"):
        folders.drop(given.directory)
        assert is_socket(f"{given.directory}/other")
    os.unlink(f"{given.directory}/other")
    folders.drop(given.directory)
    folders.drop(given.directory)
    assert os.listdir(folders.root) == []


@pytest.fixture
def kubelet(place):
    """The kubelet knows one pod, and that is another one."""
    (place / "kubelet/pods/11111111-0000-4000-8000-000000000001").mkdir(parents=True)
    return PodFolders(Host(), str(place), kubelet=str(place / "kubelet"))


def test_a_sweep_takes_what_a_pod_left_that_is_gone_and_follows_no_link(kubelet, place):
    given = lease(kubelet)
    kubelet.make(given, ACCESS)
    outside = place / "outside"
    outside.mkdir()
    (outside / "file").touch()
    os.makedirs(f"{given.directory}/deep/deeper")
    os.symlink(outside, f"{given.directory}/deep/link")
    kubelet.sweep([given])
    assert os.path.isdir(given.directory), "it is leased"
    kubelet.sweep([])
    assert os.listdir(kubelet.root) == []
    assert (outside / "file").exists()


@pytest.mark.parametrize("name", ["11111111-0000-4000-8000-000000000001", "c" * 64, "some-name"])
def test_a_sweep_leaves_what_may_be_somebodys(kubelet, name):
    """A pod that is there, a folder that is not named after a pod; while it starts, empty ones are nobody's."""
    os.makedirs(f"{kubelet.root}/{name}/x")
    kubelet.sweep([], starting=True)
    assert os.listdir(kubelet.root) == [name]
    os.rmdir(f"{kubelet.root}/{name}/x")
    kubelet.sweep([])
    assert os.listdir(kubelet.root) == [name]
    kubelet.sweep([], starting=True)
    assert os.listdir(kubelet.root) == []


def test_without_the_kubelets_folder_nothing_with_content_is_removed(folders, place):
    folders = PodFolders(Host(), str(place), kubelet=str(place / "none"))
    os.makedirs(f"{folders.root}/{UID}/x")
    folders.sweep([], starting=True)
    assert os.listdir(folders.root) == [UID]


def test_a_folder_that_cannot_be_removed_keeps_no_other(kubelet, monkeypatch):
    gone = [f"0d5f1c66-0000-4000-8000-00000000000{number}" for number in (7, 8, 9)]
    for uid in gone:
        os.makedirs(f"{kubelet.root}/{uid}/x")
    real = folders_module.shutil.rmtree
    monkeypatch.setattr(
        folders_module.shutil, "rmtree", lambda path: _raise(OSError(16, "busy")) if path.endswith("8") else real(path)
    )
    with pytest.raises(OSError, match="busy"):
        kubelet.sweep([])
    assert set(gone) & set(os.listdir(kubelet.root)) == {gone[1]}
    kubelet.sweep([], starting=True)


def test_a_sweep_where_nothing_is(folders):
    folders.sweep([])


def test_a_socket_on_another_mount_cannot_be_moved(folders, place, monkeypatch):
    given = lease(folders)
    folders.make(given, ACCESS)
    with listening(place / "idle"):
        monkeypatch.setattr(os, "rename", lambda *_paths: _raise(OSError(18, "Invalid cross-device link")))
        with pytest.raises(SocketError, match="have to be on one mount"):
            folders.place(str(place / "idle"), given, ACCESS)


def _raise(error: Exception) -> None:
    raise error


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda2 rw
25 22 0:22 / /run rw,nosuid,nodev shared:2 - tmpfs tmpfs rw
40 25 0:40 / /run/vdpa/pods rw,nosuid,nodev,noexec,{flags}relatime shared:9 - tmpfs fastpath rw
41 22 0:41 / /run2 rw,nosymfollow - tmpfs none rw
"""


@pytest.mark.parametrize(
    ("base", "flags", "safe"),
    [
        ("/run/vdpa", "nosymfollow,", True),
        ("/run/vdpa", "", False),
        ("/run/other", "nosymfollow,", False),
        ("/run2", "", True),
        ("/run22", "", False),
    ],
)
def test_a_pod_can_be_the_server_only_where_no_link_is_followed(tmp_path, base, flags, safe):
    """A link to another pod's socket would make the node's process connect there."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(MOUNTS.format(flags=flags))
    folders = PodFolders(Host(str(tmp_path)), base)
    assert folders.follows_no_links() is safe
    assert lease(folders).mode == "client"
    if safe:
        assert lease(folders, mode="server").mode == "server"
    else:
        with pytest.raises(NotPossible, match="has to be a mount with nosymfollow"):
            lease(folders, mode="server")


def test_labels_where_there_is_selinux(tmp_path, place, monkeypatch):
    (tmp_path / "sys/fs/selinux").mkdir(parents=True)
    (tmp_path / "sys/fs/selinux/enforce").write_text("1")
    labels = {}
    monkeypatch.setattr(os, "setxattr", lambda path, name, value, follow_symlinks: labels.update({path: (name, value)}))
    access = Access(label="system_u:object_r:container_file_t:s0")
    for host, expected in ((Host(str(tmp_path)), 2), (Host(), 0)):
        labels.clear()
        folders = PodFolders(host, str(place / str(expected)))
        given = lease(folders)
        folders.make(given, access)
        with listening(place / f"idle{expected}"):
            folders.place(str(place / f"idle{expected}"), given, access)
        assert len(labels) == expected
        assert set(labels.values()) <= {("security.selinux", b"system_u:object_r:container_file_t:s0\0")}
