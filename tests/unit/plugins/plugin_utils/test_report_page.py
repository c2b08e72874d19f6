# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page: whole and self-contained, safe with any text, failures first."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from ansible_collections.nfv.fastpath.plugins.plugin_utils._report import build_report
from ansible_collections.nfv.fastpath.plugins.plugin_utils._report_page import page
from hypothesis import given, settings
from hypothesis import strategies as some

VOID = {"meta"}
EVIL = '<script>alert("x")</script>&\'"'


def check(name="hugepages.pages", expected=1, seen=1, target="2M", remedy="mend it"):
    layer = name.split(".")[0]
    facts = {"id": name, "layer": layer, "target": target, "expected": expected, "seen": seen, "remedy": remedy}
    return {**facts, "ok": expected == seen}


def made(*checks, node="node1", facts=None):
    results = {node: {"checks": list(checks), "node_facts": facts or {}}}
    return page(build_report(results, [], "2026-11-21T08:33:36Z", "0.1.0"))


class Reader(HTMLParser):
    """Sees that every tag is closed in order; keeps text, tags and attributes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)


def test_it_needs_nothing_from_outside():
    text = made(check(), facts={"kernel": "6.12"})
    reader = Reader(text)
    assert not {"script", "link", "img", "iframe", "object"} & set(reader.tags)
    assert not {"src", "href", "onclick"} & {name for name, _value in reader.attributes}
    assert "url(" not in text
    assert "@import" not in text
    assert "http" not in text


def test_it_fits_phones_and_dark_rooms():
    text = made(check())
    assert 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text
    assert "max-width: 40rem" in text


@pytest.mark.parametrize("place", ["node", "id", "target", "expected", "seen", "remedy", "fact"])
def test_no_text_becomes_markup(place):
    item = {**check(expected=1, seen=2)}
    if place in item:
        item[place] = EVIL
    text = made(item, node=EVIL if place == "node" else "n", facts={"kernel": EVIL if place == "fact" else "k"})
    assert "<script" not in text
    assert "alert" in Reader(text).text


@settings(deadline=None)
@given(some.text(), some.text(), some.lists(some.integers() | some.text()))
def test_it_is_well_formed_whatever_it_says(node, target, value):
    Reader(made(check(target=target, seen=value), node=node))


def test_failures_come_first_with_what_to_do():
    text = Reader(made(check(), check("sriov.driver", "vfio-pci", "igbvf", "0000:81:10.0", "Bind it."))).text
    assert text.index("Failed checks") < text.index("All checks")
    assert "Bind it." in text
    rows = text[text.index("All checks") :]
    assert rows.index("sriov.driver") < rows.index("hugepages.pages")


def test_success_has_no_failures():
    text = Reader(made(check())).text
    assert "Failed checks" not in text
    assert "passed" in text
    assert "Verification passed" in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "none"), ("", "(empty)"), ([1, "a"], "1, a"), ([], "none"), ({"b": 1, "a": [2]}, '{"a": [2], "b": 1}')],
)
def test_values(value, shown):
    assert shown in Reader(made(check(expected=value, seen=value))).text


def test_facts_leave_out_what_is_not_there():
    facts = {"kernel": "6.12", "iommu": {"table": "DMAR", "switched_off": None, "groups": 12}, "new_fact": True}
    text = Reader(made(check(), facts=facts)).text
    assert "table DMAR, groups 12" in text
    assert "switched_off" not in text
    assert "new_fact" in text


def test_a_layer_that_a_node_has_not():
    results = {"a": {"checks": [check()]}, "b": {"checks": [check("sriov.numvfs")]}}
    assert "\u2013" in Reader(page(build_report(results, [], "now", "0.1.0"))).text


def test_sockets_are_shown_where_there_are_some():
    entry = {"device": "0000:02:00.1", "pool": "fast", "backend": "vdpa", "state": "leased", "socket": "/run/<x>"}
    leased = {**entry, "pod": "default/app", "interface": "net1", "vf_index": 0, "pf": "0000:02:00.0"}
    failed = {**entry, "device": "0000:02:00.2", "state": "failed", "reason": "it ended", "socket": ""}
    results = {"a": {"checks": [check()], "socket_map": [leased, failed]}, "b": {"checks": [check()]}}
    report = build_report(results, [], "now", "0.1.0")
    assert "socket_map" not in report["nodes"][1]
    text = Reader(page(report)).text
    for said in ("Sockets", "VF 0 of 0000:02:00.0", "default/app net1", "failed: it ended", "nobody", "/run/<x>"):
        assert said in text
    assert "Sockets" not in Reader(made(check())).text
