# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is built, for whom, and with which commands."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._artefacts import artefacts
from ansible_collections.nfv.fastpath.plugins.module_utils._build_manifest import NodeAbi
from ansible_collections.nfv.fastpath.plugins.module_utils._build_spec import BuildSpec, parse_build
from ansible_collections.nfv.fastpath.plugins.module_utils._bundle_task import choose_target
from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_baseline import flags_of
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._recipes import Target, dpdk_recipe, ovs_recipe

DPDK, OVS = artefacts()["dpdk"], artefacts()["openvswitch"]
TARGET = Target("debian", "trixie", "x86-64-v2")
SUM = "b" * 64


def node(level="x86-64-v3", **changes):
    values = {
        "node": "node1",
        "architecture": "x86_64",
        "cpu_flags": flags_of(level),
        "glibc": "2.41",
        "os_id": "debian",
        "release": "trixie",
    }
    return NodeAbi(**{**values, **changes})


def problems_of(call):
    with pytest.raises(Refused) as refused:
        call()
    return [problem.variable for problem in refused.value.problems]


def test_defaults():
    spec = parse_build(None)
    assert spec == parse_build({}) == BuildSpec()
    assert spec.apps == ("test-pmd",)
    assert spec.examples == ("l2fwd", "l3fwd", "vdpa")


def test_what_every_build_needs_is_added():
    assert parse_build({"drivers": ["net/ice"]}).drivers == ("bus/pci", "bus/vdev", "mempool/ring", "net/ice")


def test_order_and_repetition_mean_nothing():
    assert parse_build({"drivers": ["net/ice", "net/iavf", "net/ice"]}) == parse_build(
        {"drivers": ["net/iavf", "net/ice"]}
    )


def test_options_are_texts_for_meson():
    assert parse_build({"options": {"max_ethports": 64, "mbuf_refcnt_atomic": False}}).options == {
        "max_ethports": "64",
        "mbuf_refcnt_atomic": "false",
    }


@pytest.mark.parametrize(
    ("spec", "variables"),
    [
        ("all", ["fastpath_dpdk_build"]),
        ({"driver": []}, ["fastpath_dpdk_build.driver"]),
        ({"baseline": "native"}, ["fastpath_dpdk_build.baseline"]),
        ({"baseline": "x86-64"}, ["fastpath_dpdk_build.baseline"]),
        ({"release": "Trixie 13"}, ["fastpath_dpdk_build.release"]),
        ({"apt_mirror": "mirror.example.org"}, ["fastpath_dpdk_build.apt_mirror"]),
        ({"drivers": "net/ice"}, ["fastpath_dpdk_build.drivers"]),
        ({"drivers": ["net/ice,net/iavf"]}, ["fastpath_dpdk_build.drivers"]),
        ({"apps": ["-Dx"]}, ["fastpath_dpdk_build.apps"]),
        ({"examples": [1]}, ["fastpath_dpdk_build.examples"]),
        ({"options": []}, ["fastpath_dpdk_build.options"]),
        ({"options": {"platform": "native"}}, ["fastpath_dpdk_build.options.platform"]),
        ({"options": {"max_lcores": "1; reboot"}}, ["fastpath_dpdk_build.options.max_lcores"]),
        ({"patches": ["relative.patch"]}, ["fastpath_dpdk_build.patches"]),
        ({"openvswitch": "yes"}, ["fastpath_dpdk_build.openvswitch"]),
        ({"jobs": True}, ["fastpath_dpdk_build.jobs"]),
        ({"jobs": -1, "apps": 5}, ["fastpath_dpdk_build.apps", "fastpath_dpdk_build.jobs"]),
    ],
)
def test_bad_specs(spec, variables):
    assert problems_of(lambda: parse_build(spec)) == variables


def test_the_commands_of_dpdk():
    spec = parse_build({"drivers": ["net/e1000"], "jobs": 3, "options": {"max_ethports": 64}})
    recipe = dpdk_recipe(spec, DPDK, TARGET)
    setup, build, install = recipe.steps
    assert setup.argv[:5] == ("meson", "setup", "/build/out", "/build/src", f"--prefix={recipe.manifest.prefix}")
    for option in (
        "-Dplatform=generic",
        "-Denable_drivers=bus/pci,bus/vdev,mempool/ring,net/e1000",
        "-Dexamples=l2fwd,l3fwd,vdpa",
        "-Denable_apps=test-pmd",
        "-Dmax_ethports=64",
    ):
        assert option in setup.argv
    assert not [word for word in setup.argv if "cpu_instruction_set" in word]
    assert build.argv == ("ninja", "-C", "/build/out", "-j3")
    assert install.argv[:2] == ("meson", "install")
    assert recipe.programs[0] == "/build/out/examples/dpdk-l2fwd"


def test_newer_cpus_get_newer_instructions():
    recipe = dpdk_recipe(BuildSpec(), DPDK, replace(TARGET, baseline="x86-64-v3"))
    assert "-Dcpu_instruction_set=x86-64-v3" in recipe.steps[0].argv
    assert "avx2" in recipe.manifest.cpu_flags


def test_packages_follow_the_drivers():
    assert "libibverbs-dev" not in dpdk_recipe(parse_build({"drivers": ["net/ice"]}), DPDK, TARGET).packages
    assert "libibverbs-dev" in dpdk_recipe(parse_build({"drivers": ["net/mlx5"]}), DPDK, TARGET).packages


def test_patches_are_applied_in_their_order_before_the_build():
    spec = parse_build({"patches": ["/p/b.patch", "/p/a.patch"]})
    recipe = dpdk_recipe(spec, DPDK, TARGET, ["1" * 64, "2" * 64])
    assert [step.argv[-1] for step in recipe.steps[:2]] == ["/build/patches/0", "/build/patches/1"]
    assert recipe.patches == ("/p/b.patch", "/p/a.patch")


def test_the_same_inputs_have_the_same_key_whatever_the_jobs_and_the_archive():
    first = dpdk_recipe(parse_build({"jobs": 1, "apt_mirror": "http://a/debian"}), DPDK, TARGET)
    second = dpdk_recipe(parse_build({"jobs": 8, "openvswitch": True}), DPDK, TARGET)
    assert first.manifest == second.manifest


@pytest.mark.parametrize(
    ("spec", "artefact", "target", "patches"),
    [
        ({"drivers": ["net/ice"]}, DPDK, TARGET, []),
        ({"examples": []}, DPDK, TARGET, []),
        ({"options": {"max_lcores": 256}}, DPDK, TARGET, []),
        ({}, artefacts({"dpdk": {"version": "24.11.8", "sha256": SUM}})["dpdk"], TARGET, []),
        ({}, DPDK, replace(TARGET, release="bookworm"), []),
        ({}, DPDK, replace(TARGET, baseline="x86-64-v3"), []),
        ({}, DPDK, TARGET, [SUM]),
    ],
)
def test_other_inputs_have_another_key(spec, artefact, target, patches):
    base = dpdk_recipe(BuildSpec(), DPDK, TARGET).manifest.key
    assert dpdk_recipe(parse_build(spec), artefact, target, patches).manifest.key != base


def test_the_commands_of_openvswitch():
    dpdk = dpdk_recipe(BuildSpec(), DPDK, TARGET).manifest
    recipe = ovs_recipe(parse_build({"jobs": 2}), OVS, TARGET, dpdk)
    boot, configure, make, install = (step.argv for step in recipe.steps)
    assert boot == ("./boot.sh",)
    assert "--with-dpdk=static" in configure
    assert "CFLAGS=-O2 -march=x86-64-v2" in configure
    assert f"--prefix={recipe.manifest.prefix}" in configure
    assert recipe.steps[1].environment == {"PKG_CONFIG_PATH": f"{dpdk.prefix}/lib/pkgconfig"}
    assert (make, install) == (("make", "-j2"), ("make", "install-strip"))
    assert recipe.needs == (dpdk,)
    assert recipe.packages == dpdk_recipe(BuildSpec(), DPDK, TARGET).packages


def test_openvswitch_is_built_anew_for_another_dpdk():
    keys = set()
    for options in ({}, {"max_lcores": "256"}):
        dpdk = dpdk_recipe(BuildSpec(options=options), DPDK, TARGET).manifest
        keys.add(ovs_recipe(BuildSpec(), OVS, TARGET, dpdk).manifest.key)
    assert len(keys) == 2


def test_the_target_is_the_oldest_of_the_group():
    nodes = [node("x86-64-v4"), node("x86-64-v2", glibc="2.36", release="bookworm"), node("x86-64-v3")]
    assert choose_target(BuildSpec(), nodes) == Target("debian", "bookworm", "x86-64-v2")


def test_what_the_user_says_goes_before_what_follows():
    spec = parse_build({"baseline": "x86-64-v3", "release": "bookworm"})
    assert choose_target(spec, [node("x86-64-v4")]) == Target("debian", "bookworm", "x86-64-v3")


@pytest.mark.parametrize(
    "nodes",
    [
        [],
        [node("x86-64")],
        [node(), node(cpu_flags=())],
        [node(architecture="aarch64", cpu_flags=("fp", "asimd"))],
        [node(), node(os_id="ubuntu")],
        [node(os_id="rhel")],
    ],
)
def test_groups_that_no_bundle_serves(nodes):
    assert set(problems_of(lambda: choose_target(BuildSpec(), nodes))) == {"nodes"}
