# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is written to a node is whole; what is run is bounded."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from types import SimpleNamespace

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _host
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host


@pytest.fixture
def host(tmp_path):
    return Host(str(tmp_path))


def test_a_failed_write_leaves_the_former_file_and_no_other(host, tmp_path, monkeypatch):
    host.write_file("/etc/x/one", "former\n")

    def fail(*unused):
        raise OSError("power cut")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="power cut"):
        host.write_file("/etc/x/one", "new\n")
    assert (tmp_path / "etc/x/one").read_text() == "former\n"
    assert [path.name for path in (tmp_path / "etc/x").iterdir()] == ["one"]


def test_mode_is_set(host, tmp_path):
    host.write_file("/var/secret", "x", mode=0o600)
    assert (tmp_path / "var/secret").stat().st_mode & 0o777 == 0o600


def test_attributes_are_never_created(host):
    with pytest.raises(FileNotFoundError):
        host.write_attribute("/sys/absent", "1")


def test_absent_things_are_none_or_empty(host):
    assert host.read("/absent") is None
    assert host.read_value("/absent") is None
    assert host.listdir("/absent") == []
    assert host.link_name("/absent") is None and host.link_target("/absent") is None
    host.remove("/absent")


def test_sysfs_root_is_apart_from_the_root(tmp_path):
    host = Host("/", sysfs_root=str(tmp_path))
    assert host.path("/sys/bus/pci") == f"{tmp_path}/bus/pci"
    assert host.path("/system") == "/system"


def test_commands_run_in_the_c_locale_without_a_shell(monkeypatch):
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    assert Host().must_run(["sh", "-c", 'printf %s "$LC_ALL $1"', "x", "a;b $(c)"]) == "C a;b $(c)"


def test_a_failing_command_says_what_and_why():
    with pytest.raises(FastpathError, match="sh -c .* failed with exit code 3: no such thing"):
        Host().must_run(["sh", "-c", "echo no such thing >&2; exit 3"])


def test_a_missing_command_is_an_exit_code():
    assert Host().run(["/no/such/command"]) == Completed(127, "", "/no/such/command: not found")


def test_commands_are_bounded():
    with pytest.raises(FastpathError, match="did not end within 0.05 s"):
        Host().run(["sleep", "5"], timeout=0.05)


def test_waits_are_bounded(host):
    with pytest.raises(FastpathError, match="Waited 0 s in vain for the PF"):
        host.wait_for(lambda: False, 0, "the PF")


def test_a_wait_ends_with_its_condition(host):
    answers = iter([False, False, True])
    host.wait_for(lambda: next(answers), 5, "the third look")


def test_bytes_are_written_and_read_as_they_are(host):
    content = bytes(range(256)) + b"\r\n"
    host.write_file("/opt/archive", content, mode=0o755)
    assert host.read_bytes("/opt/archive") == content
    assert host.mode("/opt/archive") == 0o755
    assert (host.read_bytes("/absent"), host.mode("/absent")) == (None, None)


def test_only_empty_folders_are_removed(host, tmp_path):
    host.write_file("/etc/x/one", "1")
    assert not host.remove_empty_folder("/etc/x")
    host.remove("/etc/x/one")
    assert host.remove_empty_folder("/etc/x") and host.remove_empty_folder("/etc/x")
    assert not (tmp_path / "etc/x").exists()


class FileSystem:
    """Answers the requests of a flush as a file system does: ``errors`` by request, all else is done."""

    def __init__(self, monkeypatch, errors, own_file_system=True):
        self.errors = errors
        self.done = []
        real_stat = os.stat
        device = real_stat("/").st_dev + own_file_system
        monkeypatch.setattr(_host.fcntl, "ioctl", self.answer)
        monkeypatch.setattr(_host.os, "sync", lambda: self.done.append("sync"))
        monkeypatch.setattr(
            _host.os, "stat", lambda path: real_stat(path) if path == "/" else SimpleNamespace(st_dev=device)
        )

    def answer(self, descriptor, request, unused):
        assert os.fstat(descriptor)
        if request in self.errors:
            raise OSError(self.errors[request], os.strerror(self.errors[request]))
        self.done.append(request)


def test_a_folder_that_cannot_be_removed_is_no_full_one(host, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.rmdir", denied)
    with pytest.raises(PermissionError):
        host.remove_empty_folder("/etc/x")


def test_a_folder_goes_with_all_that_is_in_it(host):
    host.write_file("/etc/x/y/z", "1")
    host.remove_folder("/etc/x")
    host.remove_folder("/etc/x")
    assert host.listdir("/etc") == []


def test_a_folder_that_stays_is_an_error(host, monkeypatch):
    def busy(path, *more, **options):
        raise OSError(16, "Device or resource busy", path)

    host.write_file("/etc/x/y", "1")
    monkeypatch.setattr("os.rmdir", busy)
    with pytest.raises(OSError, match="busy"):
        host.remove_folder("/etc/x")


def test_a_boot_loader_sees_what_ext4_has_in_its_journal(tmp_path, monkeypatch):
    system = FileSystem(monkeypatch, {})
    Host().flush_for_boot_loader(str(tmp_path))
    assert system.done == ["sync", _host.EXT4_IOC_CHECKPOINT]


@pytest.mark.parametrize("unknown", [errno.ENOTTY, errno.EOPNOTSUPP, errno.ENODEV])
def test_another_file_system_of_its_own_is_frozen_for_a_moment(tmp_path, monkeypatch, unknown):
    system = FileSystem(monkeypatch, {_host.EXT4_IOC_CHECKPOINT: unknown})
    Host().flush_for_boot_loader(str(tmp_path))
    assert system.done == ["sync", _host.FIFREEZE, _host.FITHAW]


def test_the_file_system_of_the_root_is_never_frozen(tmp_path, monkeypatch):
    system = FileSystem(monkeypatch, {_host.EXT4_IOC_CHECKPOINT: errno.ENOTTY}, own_file_system=False)
    Host().flush_for_boot_loader(str(tmp_path))
    assert system.done == ["sync"]


def test_what_cannot_be_frozen_is_not_thawed(tmp_path, monkeypatch):
    unknown = {_host.EXT4_IOC_CHECKPOINT: errno.ENOTTY, _host.FIFREEZE: errno.EOPNOTSUPP}
    system = FileSystem(monkeypatch, unknown)
    Host().flush_for_boot_loader(str(tmp_path))
    assert system.done == ["sync"]


def test_a_flush_that_fails_is_not_taken_for_one_that_worked(tmp_path, monkeypatch):
    FileSystem(monkeypatch, {_host.EXT4_IOC_CHECKPOINT: errno.EIO})
    with pytest.raises(OSError, match="Input/output error"):
        Host().flush_for_boot_loader(str(tmp_path))


def test_a_tree_below_another_root_has_no_boot_loader(host, monkeypatch):
    system = FileSystem(monkeypatch, {})
    host.flush_for_boot_loader("/boot/grub")
    assert system.done == []


def test_a_file_that_cannot_be_read_is_not_taken_for_absent(host, tmp_path):
    """A loop of links stands for a disk that fails, which a test cannot have."""
    for folder in ("etc", "sys", "proc/9"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "loop").symlink_to("loop")
    for read in (host.read, host.read_bytes, host.mode, host.owner, host.link_target):
        with pytest.raises(OSError, match="symbolic links"):
            read("/etc/loop/file")
        assert (read("/sys/loop/file"), read("/proc/9/loop/file"), read("/etc/none")) == (None, None, None)
    assert (host.read("/etc"), host.read_bytes("/etc"), host.link_target("/etc")) == (None, None, None)


def test_what_an_interface_stands_on(host, monkeypatch):
    """The kernel writes its answer to where the request points."""

    def answer(_socket, request, argument):
        name, address = struct.unpack("16sP16x", argument)
        assert (request, name.rstrip(b"\0")) == (0x8946, b"eth7")
        asked = (ctypes.c_char * 196).from_address(address)
        assert asked[:4] == struct.pack("=I", 3)
        asked[100:107] = b"virtio3"

    monkeypatch.setattr(_host.fcntl, "ioctl", answer)
    assert host.bus_info("eth7") == "virtio3"


def test_an_interface_that_does_not_say_what_it_stands_on(host, monkeypatch):
    assert host.bus_info("no-such-netdev") is None
    monkeypatch.setattr(_host.fcntl, "ioctl", lambda *_: 0)
    assert host.bus_info("eth7") is None
