# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Single keys of a TOML file, compared with what Python's own reader makes of it."""

from __future__ import annotations

from typing import Any

import pytest
import tomllib
from ansible_collections.nfv.fastpath.plugins.module_utils._toml_lines import (
    StrangeToml,
    get,
    has_below,
    put,
    text_of,
    value_of,
)
from hypothesis import given
from hypothesis import strategies as st

CRI = ("plugins", "io.containerd.grpc.v1.cri")
DEBIAN = """\
# of the distribution
version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni" # theirs
      conf_dir = '/etc/cni/net.d'
  [plugins."io.containerd.internal.v1.opt"]
    path = "/var/lib/containerd"
"""


def at(document: dict[str, Any], path: tuple[str, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


def test_reads():
    assert value_of(get(DEBIAN, ("version",))) == 2
    assert value_of(get(DEBIAN, (*CRI, "cni", "bin_dir"))) == "/usr/lib/cni"
    assert value_of(get(DEBIAN, (*CRI, "cni", "conf_dir"))) == "/etc/cni/net.d"
    assert get(DEBIAN, (*CRI, "sandbox_image")) is None
    assert has_below(DEBIAN, CRI) and not has_below(DEBIAN, (*CRI, "registry"))


def test_replaces_one_value_and_keeps_the_rest():
    text = put(DEBIAN, (*CRI, "cni", "bin_dir"), '"/opt/cni/bin"')
    assert text == DEBIAN.replace('"/usr/lib/cni"', '"/opt/cni/bin"')


def test_adds_to_a_table_and_makes_one():
    text = put(DEBIAN, (*CRI, "cni", "max_conf_num"), "1")
    text = put(text, (*CRI, "registry", "config_path"), '"/etc/containerd/certs.d"')
    text = put(text, ("root",), '"/srv"')
    document = tomllib.loads(text)
    assert at(document, CRI)["cni"] == {"bin_dir": "/usr/lib/cni", "conf_dir": "/etc/cni/net.d", "max_conf_num": 1}
    assert at(document, CRI)["registry"] == {"config_path": "/etc/containerd/certs.d"}
    assert document["root"] == "/srv"
    assert "# of the distribution" in text and "# theirs" in text


def test_starts_from_nothing_and_goes_back():
    text = put(put("", ("version",), "3"), ("plugins", "io.x", "a", "b"), "true")
    assert tomllib.loads(text) == {"version": 3, "plugins": {"io.x": {"a": {"b": True}}}}
    assert tomllib.loads(put(text, ("version",), None)) == {"plugins": {"io.x": {"a": {"b": True}}}}
    assert put("", ("a",), None) == ""


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ('a = [\n  "x", # one\n  "y",\n]\nb = 1\n', ("a",), ["x", "y"]),
        ('a = "# no comment" # one\n', ("a",), "# no comment"),
        ("a.b = 'c'\n", ("a", "b"), "c"),
        ('[a]\nb.c = "d"\n', ("a", "b", "c"), "d"),
        ('"a b" = "c\\"d"\n', ("a b",), 'c"d'),
        ("a = []\n", ("a",), []),
        ("[[a]]\nb = 1\n[c]\nd = false\n", ("c", "d"), False),
        ('x = """\n[a]\nb = 1\n"""\n[a]\nb = 2\n', ("a", "b"), 2),
        ("x = '''\nb = 1 '''\nb = 3\n", ("b",), 3),
        ("x = {a = 1, b = [1, 2]}\ny = 4\n", ("y",), 4),
    ],
)
def test_shapes(text, path, value):
    assert value_of(get(text, path)) == value
    changed = put(text, path, '"new"')
    before, after = tomllib.loads(text), tomllib.loads(changed)
    assert at(after, path) == "new"
    assert set(before) == set(after)


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ('a = {b = "c"}\n', ("a", "d"), "as one value"),
        ("a.b = 1\n", ("a", "c"), "in dotted keys"),
        ("[[a]]\nb = 1\n", ("a", "c"), "one of several"),
        ("a = [1,\n", ("b",), "does not end"),
        ('a = """x\n', ("b",), "does not end"),
        ("just words\n", ("b",), "no key with a value"),
        ("[a\nb = 1\n", ("b",), "no header"),
        ("= 3\n", ("b",), "no key"),
    ],
)
def test_what_is_not_understood_is_not_changed(text, path, words):
    with pytest.raises(StrangeToml, match=words):
        put(text, path, "1")


def test_values():
    for value in (True, False, 3, "x", 'q"\\', [], ["a", "b"]):
        assert value_of(text_of(value)) == value
        assert tomllib.loads(f"a = {text_of(value)}")["a"] == value
    assert value_of(None) is None
    assert value_of("1.5") == "1.5"
    assert value_of("[1, 2]") == "[1, 2]"


KEYS = st.sampled_from(["a", "b c", "io.x.y", "d-e"])
PATHS = st.lists(KEYS, min_size=1, max_size=4).map(tuple)
VALUES = st.one_of(
    st.booleans(), st.integers(0, 99), st.text("ab#[]{}\"'\\ =", max_size=6), st.lists(st.text("ab,#"), max_size=3)
)


@given(st.lists(st.tuples(PATHS, VALUES), max_size=8))
def test_whatever_is_put_is_read_by_all(steps):
    """A table and a value cannot have one name; all other sequences are right TOML with the values put last."""
    text, wanted = "", {}
    for path, value in steps:
        taken = [
            other for other in wanted if other != path and (other[: len(path)] == path or path[: len(other)] == other)
        ]
        if taken:
            continue
        text = put(text, path, text_of(value))
        wanted[path] = value
    document = tomllib.loads(text)
    for path, value in wanted.items():
        assert at(document, path) == value == value_of(get(text, path))
    for path in wanted:
        text = put(text, path, None)
    assert all(get(text, path) is None for path in wanted)
    tomllib.loads(text)
