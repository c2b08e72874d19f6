# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_list import ARTEFACTS, IMAGES
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._images import REFERENCE, image

THICK = "k8snetworkplumbingwg/multus-cni:v4.2.0-thick"


def test_as_the_list_has_it():
    assert image("multus-thick") == f"ghcr.io/{THICK}"
    assert image("multus-thick", "", {}) == f"ghcr.io/{THICK}"


def test_from_another_registry():
    assert image("multus-thick", "10.77.0.1:5000") == f"10.77.0.1:5000/{THICK}"
    assert image("multus-thick", "registry.example.com/mirror/ghcr") == f"registry.example.com/mirror/ghcr/{THICK}"


def test_another_image_altogether():
    digest = f"registry.example.com/multus@sha256:{'a' * 64}"
    assert image("multus-thick", "ignored.example.com", {"multus-thick": digest}) == digest
    assert image("multus-thin", overrides={"multus-thick": digest}).endswith(":v4.2.4")


@pytest.mark.parametrize("registry", ["https://a.b", "a b", "-a", 5, "A.b", "a.b:x", "a/", ":5000"])
def test_wrong_registries(registry):
    with pytest.raises(Refused, match="fastpath_registry"):
        image("multus-thick", registry)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], "must be a mapping"),
        ({"multus": "a.b/c:1"}, "is not in the list"),
        ({"multus-thick": 3}, "must be a reference"),
        ({"multus-thick": "a.b/c d:1"}, "must be a reference"),
        ({"multus-thick": "a.b:5000/c"}, "must name a version"),
        ({"multus-thick": "a.b/c:latest"}, "must name a version"),
    ],
)
def test_wrong_references(overrides, words):
    with pytest.raises(Refused, match=words):
        image("multus-thick", overrides=overrides)


def test_an_image_that_is_not_in_the_list():
    with pytest.raises(Refused, match="known are multus-thick, multus-thin"):
        image("nginx")


@pytest.mark.parametrize("name", sorted(IMAGES))
def test_every_image_is_pinned(name):
    assert REFERENCE.fullmatch(image(name))
    assert IMAGES[name]["tag"].startswith("v")


def test_an_image_has_the_version_of_its_source():
    for name in ("sriov-network-device-plugin", "whereabouts"):
        assert IMAGES[name]["tag"] == f"v{ARTEFACTS[name]['version']}"
