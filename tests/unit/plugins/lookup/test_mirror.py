# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which folder is the mirror."""

from __future__ import annotations

from ansible_collections.nfv.fastpath.plugins.lookup.mirror import LookupModule, find_mirror


def plugin_in(folder):
    path = folder / "checkout/plugins/lookup/mirror.py"
    path.parent.mkdir(parents=True)
    path.touch()
    return str(path)


def test_the_environment_goes_first(tmp_path):
    (tmp_path / "shared/mirror").mkdir(parents=True)
    assert find_mirror("/srv/m", plugin_in(tmp_path)) == "/srv/m"


def test_the_folder_beside_the_checkout_is_found_by_itself(tmp_path):
    plugin = plugin_in(tmp_path)
    assert find_mirror("", plugin) == ""
    (tmp_path / "shared/mirror").mkdir(parents=True)
    assert find_mirror("", plugin) == str(tmp_path / "shared/mirror")


def test_also_through_a_link_to_the_checkout(tmp_path):
    plugin_in(tmp_path)
    (tmp_path / "shared/mirror").mkdir(parents=True)
    link = tmp_path / "elsewhere/deep/fastpath"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "checkout")
    assert find_mirror("", str(link / "plugins/lookup/mirror.py")) == str(tmp_path / "shared/mirror")


def test_the_lookup_returns_one_text(monkeypatch):
    monkeypatch.setenv("FASTPATH_MIRROR", "/srv/m")
    assert LookupModule().run([]) == ["/srv/m"]
