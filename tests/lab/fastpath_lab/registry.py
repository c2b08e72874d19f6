# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pushes images to the lab's registry. Only what it does not have is sent."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

from .errors import LabError
from .netns import Connection
from .oci import Layout

_OK = (200, 201, 202)


class Registry:
    """The registry of a lab, reached from outside of the lab's network."""

    def __init__(self, netns: str, host: str, port: int) -> None:
        self._address = (netns, host, port)

    def _ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        connection = Connection(*self._address, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.headers
        except (OSError, http.client.HTTPException) as error:
            raise LabError(f"the registry does not answer: {error}") from error
        finally:
            connection.close()

    def ready(self) -> bool:
        """Tell whether it answers."""
        try:
            return self._ask("GET", "/v2/")[0] == 200
        except LabError:
            return False

    def push(self, images: Layout) -> int:
        """Push all images of a folder; return the number of those that were not there."""
        new = 0
        for name, descriptor in images.images().items():
            repository, tag = name.rsplit(":", 1)
            manifest = f"/v2/{repository}/manifests/{tag}"
            accept = {"Accept": descriptor["mediaType"]}
            status, headers = self._ask("HEAD", manifest, headers=accept)
            if status == 200 and headers["Docker-Content-Digest"] == descriptor["digest"]:
                continue
            for digest in images.blobs_of(descriptor):
                self._blob(repository, digest, images.blob(digest))
            data = images.blob(descriptor["digest"]).read_bytes()
            self._must("PUT", manifest, data, {"Content-Type": descriptor["mediaType"]})
            new += 1
        return new

    def _blob(self, repository: str, digest: str, path: Path) -> None:
        if self._ask("HEAD", f"/v2/{repository}/blobs/{digest}")[0] == 200:
            return
        headers = self._must("POST", f"/v2/{repository}/blobs/uploads/")
        place = headers["Location"].partition("/v2/")[2]
        joint = "&" if "?" in place else "?"
        size = {"Content-Type": "application/octet-stream", "Content-Length": str(path.stat().st_size)}
        with open(path, "rb") as stream:
            self._must("PUT", f"/v2/{place}{joint}digest={digest}", stream, size)

    def _must(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        status, found = self._ask(method, path, body, headers)
        if status not in _OK:
            raise LabError(f"the registry answered {status} to {method} {path.partition('?')[0]}")
        return found
