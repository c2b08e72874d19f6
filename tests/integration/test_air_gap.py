# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A mirror is filled where there is a network, and serves where there is none: the kernel takes the network away."""

from __future__ import annotations

import functools
import hashlib
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from nodes import playbook, with_spec

NO_NETWORK = ("unshare", "--net")
NAME = "dpdk-24.11.6.tar.xz"
CONTENT = b"a source of one's own\n" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def upstream(tmp_path):
    """An upstream on loopback; gone at the end."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    (folder / NAME).write_bytes(CONTENT)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{NAME}"
        server.shutdown()
        thread.join()


def fetch(upstream, cache, prefix=(), **folders):
    overrides = {"dpdk": {"url": upstream, "sha256": DIGEST, "file": NAME}}
    variables = with_spec(artefact_overrides=overrides, artefact_cache=str(cache), **folders)
    return playbook("artefact", "-v", *variables, prefix=prefix)


def test_a_mirror_serves_where_there_is_no_network(upstream, tmp_path):
    mirror = str(tmp_path / "mirror")
    fetch(upstream, tmp_path / "cache", artefact_export=mirror).must_pass()
    assert (tmp_path / "mirror" / NAME).read_bytes() == CONTENT
    offline = fetch(upstream, tmp_path / "other", NO_NETWORK, artefact_mirror=mirror).must_pass()
    assert f"{mirror}/{NAME}" in offline.out
    assert (tmp_path / "other/sha256" / DIGEST).read_bytes() == CONTENT


def test_what_was_tried_is_said_where_there_is_neither(upstream, tmp_path):
    (tmp_path / "empty").mkdir()
    failed = fetch(upstream, tmp_path / "cache", NO_NETWORK, artefact_mirror=str(tmp_path / "empty"))
    failed.must_fail(upstream, "dpdk")
