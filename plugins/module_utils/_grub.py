# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. GRUB as Debian and Ubuntu use it: a drop-in of our own, ``update-grub``, and a look at what came of it."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Sequence

from ansible_collections.nfv.fastpath.plugins.module_utils._boot_arguments import (
    Argument,
    as_argument,
    as_line,
    as_word,
    matches_any,
    missing_in,
    split_off,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_loader import (
    BootChange,
    BootConfig,
    BootLoader,
    BootRules,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError

MAIN_FILE = "/etc/default/grub"
FOLDER = "/etc/default/grub.d"
# Sorts after what images and packages ship, so that it adds to their last word.
OWN_FILE = f"{FOLDER}/zz-fastpath.cfg"
GRUB_CFG = "/boot/grub/grub.cfg"
CUSTOM_CFG = "/boot/grub/custom.cfg"
KEXEC_FILE = "/etc/default/kexec"
UPDATE = ("update-grub",)
UPDATE_SECONDS = 300.0

_PLAIN = re.compile(r"[A-Za-z0-9_.,:=/+@%~-]+\Z")
_LINUX_SECTION = re.compile(r"### BEGIN \S*/[0-9]+_linux(?!_xen)\S* ###")
_LINUX_COMMANDS = ("linux", "linuxefi", "linux16")
_ASSIGNMENT = re.compile(
    r"^\s*(?:export\s+)?GRUB_CMDLINE_LINUX=(.*)$|^\s*unset\s.*\bGRUB_CMDLINE_LINUX\b", re.MULTILINE
)
_FORMER_VALUE = re.compile(r"\$\{?GRUB_CMDLINE_LINUX(?!_)")
_OWN_LINE = 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX '

_HEADER = """\
# Written by nfv.fastpath.kernel_args and replaced whole at the next run.
# Teardown removes this file; nothing else of GRUB's is changed.
"""

# Words between double quotes belong together; nothing in a quoted value is taken for an argument.
_FILTER = """\
fastpath_rest() (
    set -f
    rest=
    quoted=
    for word in $1; do
        if [ -z "$quoted" ]; then
            case $word in
                @PATTERNS@) taken=1 ;;
                *) taken= ;;
            esac
        fi
        [ -n "$taken" ] || rest="$rest${rest:+ }$word"
        case $word in
            *\\"*\\"*) ;;
            *\\"*) if [ -z "$quoted" ]; then quoted=1; else quoted=; fi ;;
        esac
    done
    printf '%s' "$rest"
)
GRUB_CMDLINE_LINUX="$(fastpath_rest "$GRUB_CMDLINE_LINUX")"
GRUB_CMDLINE_LINUX_DEFAULT="$(fastpath_rest "$GRUB_CMDLINE_LINUX_DEFAULT")"
"""


def _grub_word(argument: Argument) -> str:
    """An argument as GRUB's script language has to see it."""
    word = as_word(argument)
    return word if _PLAIN.match(word) else f"'{word}'"


def _in_double_quotes(text: str) -> str:
    return re.sub(r'([\\"$`])', r"\\\1", text)


def _shell_pattern(pattern: Argument) -> str:
    name = re.sub("[-_]", "[-_]", pattern.name)
    return f"{name} | {name}=*" if pattern.value is None else f"{name}='{pattern.value}'"


def drop_in_text(own: Sequence[Argument], removes: Sequence[Argument]) -> str | None:
    """The drop-in. It works on the former value, so that changes of the user's own files stay in force."""
    if not own and not removes:
        return None
    text = _HEADER
    if removes:
        text += _FILTER.replace("@PATTERNS@", " | ".join(_shell_pattern(pattern) for pattern in removes))
    if own:
        words = " ".join(_grub_word(argument) for argument in own)
        text += f'{_OWN_LINE}{_in_double_quotes(words)}"\n'
    return text


def drop_in_arguments(text: str) -> tuple[Argument, ...]:
    """What a drop-in of ours adds."""
    for line in text.splitlines():
        if line.startswith(_OWN_LINE) and line.endswith('"'):
            words = re.sub(r"\\(.)", r"\1", line[len(_OWN_LINE) : -1])
            return tuple(as_argument(word) for word in _split(words))
    return ()


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def parse_grub_cfg(text: str) -> tuple[tuple[Argument, ...], ...]:
    """Arguments of each normal entry that the distribution's generator wrote, the default entry among them.

    Entries for recovery, other systems, memory tests and hand-written ones are not ours to judge.
    """
    entries = []
    in_section = recovery = False
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("### BEGIN "):
            in_section = bool(_LINUX_SECTION.match(stripped))
        elif stripped.startswith("menuentry "):
            recovery = "-recovery-" in stripped or "(recovery mode)" in stripped
        elif in_section and not recovery and stripped.split(None, 1)[:1] and stripped.split()[0] in _LINUX_COMMANDS:
            entries.append(tuple(as_argument(word) for word in _split(stripped)[2:]))
    return tuple(entries)


class GrubRules(BootRules):
    name = "grub"
    where = GRUB_CFG
    keeps_own_file = True

    def own_text(self, own: Sequence[Argument], removes: Sequence[Argument]) -> str | None:
        return drop_in_text(own, removes)

    def overrides(self, config: BootConfig) -> list[str]:
        return _overrides(config)

    def suspects(self, config: BootConfig, own: Sequence[Argument], carried: bool) -> list[str]:
        return _suspects_past_grub_cfg(config) if carried else _overrides(config)


def _overrides(config: BootConfig) -> list[str]:
    """Files read after ours that set the variable which ours adds to."""
    certain = []
    possible = []
    for path, text in config.files:
        if not (path.startswith(FOLDER) and path > OWN_FILE):
            continue
        values = [match.group(1) for match in _ASSIGNMENT.finditer(text)]
        if any(value is None or not _FORMER_VALUE.search(value) for value in values):
            certain.append(f"{path} (read after {OWN_FILE}, sets GRUB_CMDLINE_LINUX without its former value)")
        elif values:
            possible.append(f"{path} (read after {OWN_FILE}, changes GRUB_CMDLINE_LINUX)")
    return certain + possible


def _suspects_past_grub_cfg(config: BootConfig) -> list[str]:
    suspects = []
    texts = dict(config.files)
    if CUSTOM_CFG in texts:
        suspects.append(f"{CUSTOM_CFG} (read by {GRUB_CFG} at boot, its entries and its default come on top)")
    if re.search(r"^\s*LOAD_KEXEC=[\"']?true", texts.get(KEXEC_FILE, ""), re.MULTILINE):
        suspects.append(f"{KEXEC_FILE} (reboots go through kexec with a command line of its own)")
    for path, text in config.files:
        if path == MAIN_FILE or path.startswith(FOLDER):
            default = re.findall(r"^\s*GRUB_DEFAULT=[\"']?([^\"'\n]*)", text, re.MULTILINE)
            if default and default[-1].strip() not in ("", "0"):
                suspects.append(f"{path} (GRUB_DEFAULT={default[-1].strip()} starts another entry than the first)")
    return suspects


class GrubLoader(BootLoader):
    rules = GrubRules()

    def discover(self) -> BootConfig:
        own_text = self.host.read(OWN_FILE)
        drop_ins = [f"{FOLDER}/{name}" for name in self.host.listdir(FOLDER) if name.endswith(".cfg")]
        others = [path for path in drop_ins if path != OWN_FILE]
        return BootConfig(
            entries=parse_grub_cfg(self.host.read(GRUB_CFG) or ""),
            own=drop_in_arguments(own_text or ""),
            own_text=own_text,
            files=self.files([MAIN_FILE, *others, CUSTOM_CFG, KEXEC_FILE]),
        )

    def write(self, change: BootChange) -> None:
        former = self.host.read(OWN_FILE)
        self._write_drop_in(drop_in_text(change.own, change.removes))
        try:
            self.host.must_run(UPDATE, UPDATE_SECONDS)
            self._require(change)
        except FastpathError as failure:
            failure.take_back(lambda: self._give_back(former))
            raise
        finally:
            self.host.flush_for_boot_loader(posixpath.dirname(GRUB_CFG))

    def _give_back(self, former: str | None) -> None:
        self._write_drop_in(former)
        self.host.must_run(UPDATE, UPDATE_SECONDS)

    def _write_drop_in(self, text: str | None) -> None:
        if text is None:
            self.host.remove(OWN_FILE)
        elif text != self.host.read(OWN_FILE):
            self.host.write_file(OWN_FILE, text)

    def _require(self, change: BootChange) -> None:
        config = self.discover()
        faults = []
        for entry in config.entries:
            missing = missing_in(entry, change.own)
            left = tuple(
                argument for argument in split_off(entry, change.own)[1] if matches_any(argument, change.removes)
            )
            faults += [f"lacks {as_line(missing)}"] * bool(missing) + [f"still has {as_line(left)}"] * bool(left)
        if faults or not config.entries:
            what = ", ".join(sorted(set(faults))) or "has no Linux entry"
            suspects = self.rules.overrides(config) or [
                f"no file in {FOLDER} shows it; look for GRUB_CMDLINE_LINUX in {MAIN_FILE} and /etc/grub.d"
            ]
            raise FastpathError(
                f"{GRUB_CFG} {what} after update-grub, so a reboot would not bring it; {OWN_FILE} was put back. "
                f"Overridden by: {'; '.join(suspects)}.",
                suspects=suspects,
            )
