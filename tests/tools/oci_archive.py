# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes an OCI archive of an image with one file in it, without a tool for images.

Usage: ``oci_archive.py NAME TAG FILE ARCHIVE``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from fastpath_lab.oci import Image, Item, Layout


def main(name: str, tag: str, file: str, archive: str) -> None:
    with tempfile.TemporaryDirectory() as folder, open(archive, "wb") as target:
        made = Layout(Path(folder))
        made.add(Image(name, tag, (Item(f"/{Path(file).name}", source=Path(file)),)))
        target.writelines(made.archive("localhost"))


if __name__ == "__main__":
    main(*sys.argv[1:])
