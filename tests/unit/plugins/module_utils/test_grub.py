# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_arguments import Argument, as_line, parse_line
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_loader import BootChange, BootConfig
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._grub import (
    GrubLoader,
    GrubRules,
    drop_in_arguments,
    drop_in_text,
    parse_grub_cfg,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.grub_node import CFG, OWN, GrubNode
from hypothesis import given, settings
from hypothesis import strategies as st

VALUE_CHARACTERS = st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\"'`\\")
arguments = st.builds(
    Argument,
    st.from_regex(r"[a-z_][a-z0-9_.-]{0,6}", fullmatch=True),
    st.none() | st.text(VALUE_CHARACTERS, min_size=1, max_size=8),
)


def sourced(drop_in: str, linux: str = "", default: str = "") -> tuple[str, str]:
    """What a shell that reads a drop-in makes of the two variables."""
    script = 'set -e\nGRUB_CMDLINE_LINUX="$1"\nGRUB_CMDLINE_LINUX_DEFAULT="$2"\n' + drop_in
    script += '\nprintf \'%s\\n%s\' "$GRUB_CMDLINE_LINUX" "$GRUB_CMDLINE_LINUX_DEFAULT"\n'
    done = subprocess.run(["sh", "-c", script, "sh", linux, default], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    first, _newline, second = done.stdout.partition("\n")
    return first, second


def entry_of(line: str) -> str:
    """What the kernel gets of a line that the generator writes."""
    text = f"### BEGIN /etc/grub.d/10_linux ###\n\tlinux /vmlinuz {line}\n### END /etc/grub.d/10_linux ###\n"
    return as_line(parse_grub_cfg(text)[0])


def test_nothing_wanted_is_no_file():
    assert drop_in_text((), ()) is None


def test_the_drop_in_adds_to_the_former_value():
    text = drop_in_text(parse_line("intel_iommu=on iommu=pt"), ())
    assert 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX intel_iommu=on iommu=pt"\n' in text
    assert sourced(text, "console=ttyS0", "quiet") == ("console=ttyS0 intel_iommu=on iommu=pt", "quiet")


@settings(deadline=None, max_examples=40)
@given(st.lists(arguments, min_size=1, max_size=5).map(tuple))
def test_any_value_survives_shell_and_grub(own):
    text = drop_in_text(own, ())
    assert drop_in_arguments(text) == own
    line, _default = sourced(text, "console=ttyS0")
    assert parse_line(entry_of(line))[1:] == own


@pytest.mark.parametrize(
    ("removes", "line", "rest"),
    [
        ("quiet", "quiet splash", "splash"),
        ("quiet", "ro quiet=1 quiets", "ro quiets"),
        ("quiet", "quiet", ""),
        ("quiet", "", ""),
        ("intel-iommu", "intel_iommu=on a", "a"),
        ("intel_iommu=off", "intel_iommu=on intel_iommu=off", "intel_iommu=on"),
        ("a b=1", "a b=1 b=2 a=3 c", "b=2 c"),
        ("x", 'dyndbg="file x.c x +p" x y', 'dyndbg="file x.c x +p" y'),
        ("dyndbg", 'a dyndbg="file x.c +p" b', "a b"),
        ("dyndbg", 'a dyndbg="file" b', "a b"),
        ("x", "a * ? [b] x", "a * ? [b]"),
        ("a.b", "acb a.b=1", "acb"),
    ],
)
def test_removing_works_on_what_the_other_files_say(removes, line, rest):
    assert sourced(drop_in_text((), parse_line(removes)), line, f"{line} last") == (rest, f"{rest} last".strip())


def test_removing_comes_before_adding():
    text = drop_in_text(parse_line("isolcpus=2-5"), parse_line("isolcpus"))
    assert sourced(text, "isolcpus=1 a")[0] == "a isolcpus=2-5"


def test_only_normal_entries_of_the_generator_count(tmp_path):
    node = GrubNode(tmp_path, linux="console=ttyS0", default="quiet")
    entries = parse_grub_cfg(node.get(CFG))
    assert [as_line(entry) for entry in entries] == ["root=UUID=1234 ro console=ttyS0 quiet"] * 2


def test_xen_and_other_systems_are_not_ours():
    text = (
        "### BEGIN /etc/grub.d/20_linux_xen ###\n\tlinux /vmlinuz xen\n### END /etc/grub.d/20_linux_xen ###\n"
        "### BEGIN /etc/grub.d/10_linux_zfs ###\n\tlinuxefi \"/ROOT/x@/vmlinuz\" a 'b c=d'\n\n"
        "### END /etc/grub.d/10_linux_zfs ###\n"
        "### BEGIN /etc/grub.d/30_os-prober ###\n\tlinux /vmlinuz other\n### END /etc/grub.d/30_os-prober ###\n"
    )
    assert parse_grub_cfg(text) == ((Argument("a"), Argument("b c", "d")),)


def test_a_line_that_is_no_shell_text_is_still_read():
    assert entry_of("a it's b") == "a it's b"


def write(node: GrubNode, own: str, removes: str = "") -> None:
    GrubLoader(node.host).write(BootChange(parse_line(own), parse_line(removes)))


def test_writing_updates_and_looks_at_the_result(tmp_path):
    node = GrubNode(tmp_path)
    write(node, "iommu=pt", "quiet")
    assert node.commands == [("update-grub",)]
    assert node.boot_lines() == ["root=UUID=1234 ro iommu=pt"] * 2
    found = GrubLoader(node.host).discover()
    assert found.own == parse_line("iommu=pt")
    assert [path for path, _text in found.files] == ["/etc/default/grub", "/etc/default/grub.d/init-select.cfg"]


@pytest.mark.parametrize("former", ["", "a=1"])
def test_an_override_is_named_and_the_drop_in_put_back(tmp_path, former):
    node = GrubNode(tmp_path)
    if former:
        write(node, former)
    before = node.files()
    node.put("etc/default/grub.d/zzz-cloud.cfg", 'GRUB_CMDLINE_LINUX="console=ttyS0"\n')
    node.put("etc/default/grub.d/50-cloud.cfg", 'GRUB_CMDLINE_LINUX="console=ttyS1"\n')
    with pytest.raises(
        FastpathError, match=r"lacks iommu=pt .*/etc/default/grub.d/zzz-cloud.cfg \(read after"
    ) as error:
        write(node, "iommu=pt")
    assert "50-cloud" not in error.value.message
    assert {path: text for path, text in node.files().items() if path in before and path != CFG} == {
        path: text for path, text in before.items() if path != CFG
    }
    assert (OWN in node.files()) is bool(former)
    assert node.boot_lines()[0] == "root=UUID=1234 ro console=ttyS0 quiet"


def test_what_cannot_be_removed_there_is_said(tmp_path):
    node = GrubNode(tmp_path)
    node.put("etc/default/grub.d/zzz.cfg", 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT splash"\n')
    with pytest.raises(FastpathError, match="still has splash .*no file in /etc/default/grub.d shows it"):
        write(node, "", "splash")
    assert OWN not in node.files()


def test_a_generator_that_fails_leaves_nothing_behind(tmp_path):
    node = GrubNode(tmp_path)
    before = node.files()
    loader = GrubLoader(Host(str(tmp_path), lambda *_: Completed(1, "", "grub-probe: error: no device")))
    with pytest.raises(FastpathError, match="no device") as failed:
        loader.write(BootChange(parse_line("iommu=pt")))
    assert node.files() == before
    # It failed also for the former content, and who reads this has to know.
    assert "This could not be taken back: update-grub failed" in failed.value.message


def overrides(*files: tuple[str, str]) -> list[str]:
    return [text.split()[0] for text in GrubRules().overrides(BootConfig((), files=files))]


@pytest.mark.parametrize(
    ("path", "text", "named"),
    [
        ("/etc/default/grub.d/zzz.cfg", 'GRUB_CMDLINE_LINUX="a"', True),
        ("/etc/default/grub.d/zzz.cfg", "  export GRUB_CMDLINE_LINUX=", True),
        ("/etc/default/grub.d/zzz.cfg", "unset GRUB_CMDLINE_LINUX", True),
        ("/etc/default/grub.d/zzz.cfg", 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX_DEFAULT"', True),
        ("/etc/default/grub.d/zzz.cfg", 'GRUB_CMDLINE_LINUX="${GRUB_CMDLINE_LINUX%x}"', True),
        ("/etc/default/grub.d/zzz.cfg", '#GRUB_CMDLINE_LINUX="a"', False),
        ("/etc/default/grub.d/zzz.cfg", 'GRUB_CMDLINE_LINUX_DEFAULT="a"', False),
        ("/etc/default/grub.d/50-cloudimg-settings.cfg", 'GRUB_CMDLINE_LINUX="a"', False),
        ("/etc/default/grub", 'GRUB_CMDLINE_LINUX="a"', False),
    ],
)
def test_which_files_override(path, text, named):
    assert overrides((path, text)) == [path] * named


def test_certain_overrides_come_first():
    adds = ("/etc/default/grub.d/zza.cfg", 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX x"')
    sets = ("/etc/default/grub.d/zzz.cfg", 'GRUB_CMDLINE_LINUX="x"')
    assert overrides(adds, sets) == [sets[0], adds[0]]


@pytest.mark.parametrize(
    ("path", "text", "named"),
    [
        ("/boot/grub/custom.cfg", "set default=x", True),
        ("/etc/default/kexec", "LOAD_KEXEC=true", True),
        ("/etc/default/kexec", "LOAD_KEXEC=false", False),
        ("/etc/default/grub", "GRUB_DEFAULT=saved", True),
        ("/etc/default/grub", "GRUB_DEFAULT=0", False),
        ("/etc/default/grub.d/x.cfg", 'GRUB_DEFAULT="1>2"', True),
    ],
)
def test_suspects_where_the_entries_are_right(path, text, named):
    config = BootConfig((), files=((path, text),))
    assert [suspect.split()[0] for suspect in GrubRules().suspects(config, (), carried=True)] == [path] * named
