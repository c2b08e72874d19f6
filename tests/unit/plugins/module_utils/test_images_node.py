# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images on a node: loaded by digest, and given back."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._images_node import ImagesConcern
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.image_models import (
    BuildTool,
    ImageNode,
    build,
    context_folder,
    load,
    task,
)


@pytest.fixture
def made(tmp_path):
    return task(BuildTool(), tmp_path, [build(context_folder(tmp_path))]).result(False)


@pytest.fixture
def node(tmp_path):
    return ImageNode(tmp_path / "node")


def test_an_image_of_that_name_that_is_not_ours_is_not_replaced(node, made):
    node.images["localhost/fastpath/agent:0.1.0"] = "sha256:" + "9" * 64
    with pytest.raises(Refused, match="with another content, and not by us"):
        load(node, made)
    assert node.commands == []


def test_one_that_was_there_before_stays(node, made):
    node.images.update(made["manifest"]["images"])
    load(node, made)
    load(node, None)
    assert made["manifest"]["images"].items() <= node.images.items() and node.commands == []


def test_one_that_the_kubelet_removed_is_loaded_again(node, made):
    load(node, made)
    del node.images["localhost/fastpath/agent:0.1.0"]
    (check,) = verify(ImagesConcern(node), {"bundle": made["manifest"]})
    assert not check.ok and check.seen is None
    assert load(node, made)["changed"]
    del node.images["localhost/fastpath/agent:0.1.0"]
    load(node, None)
    assert list(node.images) == ["registry.k8s.io/pause:3.10"]


def test_an_archive_that_is_another_is_not_used(node, made):
    Path(made["archive"]).write_bytes(b"x")
    with pytest.raises(FastpathError, match="it is not used"):
        load(node, made)
    assert node.commands == []


def test_no_containerd(node, made):
    node.containerd = False
    with pytest.raises(Refused, match="needs containerd"):
        load(node, made)
    assert load(node, made, dry_run=True)["changed"]
