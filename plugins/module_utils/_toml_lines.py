# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Single keys of a TOML file are read and changed, and all else in it stays as somebody wrote it. No I/O.

Python has no TOML on nodes, and a file that was read and written whole would lose its comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]
_KEY = re.compile(r"""\s*(?:([A-Za-z0-9_-]+)|"((?:[^"\\]|\\.)*)"|'([^']*)')\s*""")
_STRING = re.compile(r""""((?:[^"\\]|\\.)*)"|'([^']*)'""")


class StrangeToml(ValueError):
    """What is not understood well enough to be changed; the text says what and where."""


@dataclass(frozen=True)
class Entry:
    """One key with its value. ``path`` is absolute, ``table`` the part of it that a header said."""

    path: Path
    table: Path
    first: int
    last: int
    raw: str
    comment: str = ""


@dataclass(frozen=True)
class Header:
    path: Path
    row: int
    many: bool = False


def get(text: str, path: Path) -> str | None:
    """A value as it is written; None where there is none."""
    entries, _headers = _read(text)
    return next((entry.raw for entry in entries if entry.path == path), None)


def has_below(text: str, path: Path) -> bool:
    """Whether anything is said below a table, or in it."""
    entries, headers = _read(text)
    paths = [entry.path for entry in entries] + [header.path for header in headers]
    return any(item[: len(path)] == path for item in paths)


def put(text: str, path: Path, raw: str | None) -> str:
    """The text with one value set, or with None removed."""
    entries, headers = _read(text)
    lines = text.splitlines()
    there = next((entry for entry in entries if entry.path == path), None)
    if there is not None:
        if raw is None:
            new = []
        else:
            left = lines[there.first].split("=", 1)[0] if "=" in lines[there.first] else _quoted(path[-1])
            new = [f"{left.rstrip()} = {raw}{there.comment}"]
        return _joined([*lines[: there.first], *new, *lines[there.last + 1 :]])
    if raw is None:
        return text
    _refuse_inline(entries, headers, path)
    return _joined(_inserted(lines, entries, headers, path, raw))


def value_of(raw: str | None) -> Any:
    """A boolean, number, string or list of strings as Python has it; anything else as it is written."""
    if raw is None:
        return None
    raw = raw.strip()
    if raw in ("true", "false"):
        return raw == "true"
    if re.match(r"[0-9]+\Z", raw):
        return int(raw)
    single = _STRING.fullmatch(raw)
    if single:
        return _unescaped(single)
    inner = re.sub(r"(?m)#.*$", "", raw) if raw.startswith("[") and "#" in _STRING.sub("", raw) else raw
    rest = _STRING.sub("", inner)
    if inner.startswith("[") and not rest.strip("[], \t\r\n"):
        return [_unescaped(match) for match in _STRING.finditer(inner)]
    return raw


def text_of(value: Any) -> str:
    """How a boolean, number, string or list of strings is written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(text_of(item) for item in value) + "]"
    if isinstance(value, int):
        return str(value)
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _unescaped(match: re.Match[str]) -> str:
    if match.group(2) is not None:
        return match.group(2)
    return re.sub(r"\\(.)", r"\1", match.group(1))


def _quoted(key: str) -> str:
    return key if re.match(r"[A-Za-z0-9_-]+\Z", key) else text_of(key)


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n" if lines else ""


def _refuse_inline(entries: Sequence[Entry], headers: Sequence[Header], path: Path) -> None:
    """A table that is written as a value, with dotted keys or many times has no place for another line."""
    table = path[:-1]
    for entry in entries:
        if entry.path == path[: len(entry.path)]:
            raise StrangeToml(f"line {entry.first + 1} has {'.'.join(entry.path)} as one value")
        if entry.path[: len(table)] == table and len(entry.table) < len(table):
            raise StrangeToml(f"line {entry.first + 1} has {'.'.join(table)} in dotted keys")
    for header in headers:
        if header.many and header.path == path[: len(header.path)]:
            raise StrangeToml(f"line {header.row + 1} is one of several tables {'.'.join(header.path)}")


def _inserted(lines: list[str], entries: Sequence[Entry], headers: Sequence[Header], path: Path, raw: str) -> list[str]:
    table = path[:-1]
    words = f"{_quoted(path[-1])} = {raw}"
    if not table:
        at = max((entry.last + 1 for entry in entries if not entry.table), default=None)
        if at is None:
            at = headers[0].row if headers else len(lines)
        return [*lines[:at], words, *lines[at:]]
    header = next((item for item in headers if item.path == table and not item.many), None)
    if header is None:
        gap = [""] if lines and lines[-1].strip() else []
        return [*lines, *gap, f"[{'.'.join(_quoted(key) for key in table)}]", f"  {words}"]
    end = next((item.row for item in headers if item.row > header.row), len(lines))
    rows = [entry.last for entry in entries if header.row < entry.first < end]
    at = max([header.row, *rows]) + 1
    indent = re.match(r"\s*", lines[header.row])
    return [*lines[:at], f"{indent.group(0) if indent else ''}  {words}", *lines[at:]]


def _read(text: str) -> tuple[list[Entry], list[Header]]:
    lines = text.splitlines()
    entries: list[Entry] = []
    headers: list[Header] = []
    table: Path = ()
    row = 0
    while row < len(lines):
        words = lines[row].strip()
        if not words or words.startswith("#"):
            row += 1
            continue
        if words.startswith("["):
            header = _header(words, row)
            headers.append(header)
            table = header.path
            row += 1
            continue
        entry = _entry(lines, row, table)
        entries.append(entry)
        row = entry.last + 1
    return entries, headers


def _header(words: str, row: int) -> Header:
    many = words.startswith("[[")
    keys, end = _keys(words, 2 if many else 1, row)
    closing = "]]" if many else "]"
    if not words[end:].startswith(closing) or words[end + len(closing) :].strip()[:1] not in ("", "#"):
        raise StrangeToml(f"line {row + 1} is no header of a table")
    return Header(keys, row, many)


def _keys(words: str, start: int, row: int) -> tuple[Path, int]:
    """No message shows a line's text, which may be a secret."""
    keys: list[str] = []
    at = start
    while True:
        match = _KEY.match(words, at)
        if match is None:
            raise StrangeToml(f"line {row + 1} has no key that can be read")
        bare, basic, literal = match.groups()
        keys.append(bare if bare is not None else literal if literal is not None else re.sub(r"\\(.)", r"\1", basic))
        at = match.end()
        if words[at : at + 1] != ".":
            return tuple(keys), at
        at += 1


def _entry(lines: Sequence[str], row: int, table: Path) -> Entry:
    keys, end = _keys(lines[row], 0, row)
    if lines[row][end : end + 1] != "=":
        raise StrangeToml(f"line {row + 1} is no key with a value")
    raw = lines[row][end + 1 :]
    for last in range(row, len(lines)):
        if last > row:
            raw += "\n" + lines[last]
        closed, size = _closed(raw)
        if closed:
            comment = raw[size:].rstrip()
            return Entry(
                (*table, *keys), table, row, last, raw[:size].strip(), f" {comment.strip()}" if comment else ""
            )
    raise StrangeToml(f"line {row + 1} has a value that does not end")


def _closed(raw: str) -> tuple[bool, int]:
    """Whether a value is whole, and how long it is without the comment behind it."""
    depth = 0
    size = 0
    for kind, end in _tokens(raw):
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
        elif kind == "unfinished":
            return False, len(raw)
        if kind != "comment":
            size = end
    return depth == 0, size


def _tokens(raw: str) -> Iterator[tuple[str, int]]:
    at = 0
    while at < len(raw):
        for quotes in ('"""', "'" * 3, '"', "'"):
            if raw.startswith(quotes, at):
                end = _string_end(raw, at + len(quotes), quotes)
                yield ("unfinished" if end < 0 else "string"), max(end, at)
                if end < 0:
                    return
                at = end
                break
        else:
            char = raw[at]
            if char == "#":
                stop = raw.find("\n", at)
                at = len(raw) if stop < 0 else stop
                yield "comment", at
                continue
            at += 1
            if char in "[{":
                yield "open", at
            elif char in "]}":
                yield "close", at
            elif not char.isspace():
                yield "other", at


def _string_end(raw: str, at: int, quotes: str) -> int:
    while at < len(raw):
        if raw[at] == "\\" and quotes[0] == '"':
            at += 2
        elif raw.startswith(quotes, at):
            return at + len(quotes)
        else:
            at += 1
    return -1
