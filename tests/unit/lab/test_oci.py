# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images out of plain files: the same digests always, and archives that others can read."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile

from fastpath_lab.oci import Image, Item, Layout, with_folders


def image(folder, tag="1"):
    program = folder / "program"
    program.write_bytes(b"\x7fELF" * 1000)
    items = (
        Item("/bin/program", source=program),
        Item("/etc/passwd", text="root\n", mode=0o644),
        Item("/run"),
        Item("/var/run", link="/run"),
    )
    return Image("some/image", tag, items, ("/bin/program",), "1:1")


def layer_of(layout, name):
    manifest = json.loads(layout.blob(layout.images()[name]["digest"]).read_text())
    return tarfile.open(layout.blob(manifest["layers"][0]["digest"]))


def test_folders_come_before_what_is_in_them():
    paths = [item.path for item in with_folders([Item("/a/b/c", text=""), Item("/a/b", mode=0o700), Item("/z")])]
    assert paths == ["a", "a/b", "a/b/c", "z"]


def test_a_folder_that_is_named_keeps_its_mode():
    items = {item.path: item for item in with_folders([Item("/tmp/x", text=""), Item("/tmp", mode=0o1777)])}
    assert items["tmp"].mode == 0o1777


def test_the_same_files_give_the_same_digests(tmp_path):
    first, second = Layout(tmp_path / "one"), Layout(tmp_path / "two")
    first.add(image(tmp_path))
    os.utime(tmp_path / "program", (1, 1))
    second.add(image(tmp_path))
    assert first.images() == second.images()


def test_another_file_gives_another_digest(tmp_path):
    layout = Layout(tmp_path / "one")
    layout.add(image(tmp_path))
    before = layout.images()
    changed = Image("some/image", "1", (Item("/bin/program", text="other"),))
    layout.add(changed)
    assert layout.images()["some/image:1"] != before["some/image:1"]


def test_layer_has_what_was_asked_for(tmp_path):
    layout = Layout(tmp_path / "one")
    layout.add(image(tmp_path))
    with layer_of(layout, "some/image:1") as layer:
        found = {item.name: item for item in layer}
        assert layer.extractfile("bin/program").read() == b"\x7fELF" * 1000
    assert list(found) == ["bin", "bin/program", "etc", "etc/passwd", "run", "var", "var/run"]
    assert found["var/run"].linkname == "/run"
    assert (found["bin/program"].mode, found["etc/passwd"].mode) == (0o755, 0o644)
    assert {(item.uid, item.gid, item.mtime) for item in found.values()} == {(0, 0, 0)}


def test_every_digest_and_size_is_true(tmp_path):
    layout = Layout(tmp_path / "one")
    layout.add(image(tmp_path))
    layout.add(image(tmp_path, "2"))
    for path in layout.blobs.iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    for descriptor in layout.images().values():
        assert layout.blob(descriptor["digest"]).stat().st_size == descriptor["size"]
        for digest in layout.blobs_of(descriptor):
            assert layout.blob(digest).exists()


def test_config_says_how_it_is_run(tmp_path):
    layout = Layout(tmp_path / "one")
    layout.add(image(tmp_path))
    config, layer = layout.blobs_of(layout.images()["some/image:1"])
    values = json.loads(layout.blob(config).read_text())
    assert values["config"]["Entrypoint"] == ["/bin/program"]
    assert values["config"]["User"] == "1:1"
    assert values["rootfs"]["diff_ids"] == [layer]
    assert (values["architecture"], values["os"]) == ("amd64", "linux")


def test_archive_names_the_registry(tmp_path):
    layout = Layout(tmp_path / "one")
    layout.add(image(tmp_path))
    layout.add(image(tmp_path, "2"))
    stream = io.BytesIO(b"".join(layout.archive("10.77.0.1:5000")))
    with tarfile.open(fileobj=stream) as archive:
        index = json.load(archive.extractfile("index.json"))
        names = [entry["annotations"]["io.containerd.image.name"] for entry in index["manifests"]]
        assert names == ["10.77.0.1:5000/some/image:1", "10.77.0.1:5000/some/image:2"]
        blobs = [item for item in archive.getnames() if item.startswith("blobs/")]
        assert len(blobs) == len(set(blobs))
        for name in blobs:
            assert hashlib.sha256(archive.extractfile(name).read()).hexdigest() == name.rpartition("/")[2]
        assert json.load(archive.extractfile("oci-layout")) == {"imageLayoutVersion": "1.0.0"}


def test_no_images_yet(tmp_path):
    assert Layout(tmp_path).images() == {}
