# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's version, in a checkout and where it was installed."""

from __future__ import annotations

import json

from ansible_collections.nfv.fastpath.plugins.plugin_utils._version import ROOT, collection_version


def test_of_this_checkout():
    assert (ROOT / "plugins").is_dir()
    assert collection_version()[0].isdigit()


def test_of_an_installed_collection(tmp_path):
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"collection_info": {"version": "1.2.3"}}))
    assert collection_version(tmp_path) == "1.2.3"


def test_of_a_checkout(tmp_path):
    (tmp_path / "galaxy.yml").write_text("name: fastpath\nversion: 2.0.0-dev\n")
    assert collection_version(tmp_path) == "2.0.0-dev"


def test_unknown(tmp_path):
    assert collection_version(tmp_path) == "unknown"
