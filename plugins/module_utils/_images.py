# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Where container images are pulled from. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_list import IMAGES
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused

REGISTRY_VARIABLE, IMAGES_VARIABLE = "fastpath_registry", "fastpath_images"
REGISTRY = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*\Z")
REFERENCE = re.compile(
    r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)+"
    r"(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?\Z"
)


def image(name: str, registry: Any = "", overrides: Any = None) -> str:
    """The reference of an image. ``registry`` takes the place of the one in the list, and its path stays as it is."""
    entry = IMAGES.get(name)
    if entry is None:
        raise Refused([Problem("image", name, f"is not in the list; known are {', '.join(sorted(IMAGES))}")])
    problems = _problems(overrides)
    if registry and not (isinstance(registry, str) and REGISTRY.fullmatch(registry)):
        problems.append(Problem(REGISTRY_VARIABLE, registry, "must be a registry such as registry.example.com:5000"))
    if problems:
        raise Refused(problems)
    if overrides and name in overrides:
        return str(overrides[name])
    repository = entry["repository"]
    if registry:
        repository = f"{registry}/{repository.split('/', 1)[1]}"
    return f"{repository}:{entry['tag']}"


def _problems(overrides: Any) -> list[Problem]:
    if overrides is None:
        return []
    if not isinstance(overrides, Mapping):
        return [Problem(IMAGES_VARIABLE, overrides, "must be a mapping from names of images to references")]
    found = []
    for name, reference in overrides.items():
        where = f"{IMAGES_VARIABLE}.{name}"
        if name not in IMAGES:
            message = f"is not in the list; known are {', '.join(sorted(IMAGES))}"
            found.append(Problem(where, reference, message))
        elif not (isinstance(reference, str) and REFERENCE.fullmatch(reference)):
            found.append(
                Problem(where, reference, "must be a reference such as registry.example.com/multus-cni:v4.2.0")
            )
        elif not re.search(r"[:@][^/]*\Z", reference) or reference.endswith(":latest"):
            found.append(Problem(where, reference, "must name a version or a digest, else two nodes may differ"))
    return found
