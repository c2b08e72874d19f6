# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Images on a node: the concern. They are imported into containerd where pods find them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_fetch import file_sha256
from ansible_collections.nfv.fastpath.plugins.module_utils._bundle_shipping import ship
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern, Request
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._image_builds import (
    LOAD_IMAGES,
    NAME,
    REMOVE_IMAGE,
    ImagesState,
    parse_bundle,
    parse_listed,
    plan_images,
    plan_images_teardown,
    record_images,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan

CTR = ("ctr", "--namespace", "k8s.io", "images")
IMPORT_SECONDS = 900.0
REMEDY = "Run the role images again; the kubelet removes images that no pod uses when its disk is full."


class ImagesConcern(Concern[ImagesState, "Mapping[str, str]"]):
    """Spec: ``{"bundle": manifest}``. ``archive``: where the archive of all images was put for this run."""

    name = NAME

    def __init__(self, host: Host, spec: Any = None, archive: str | None = None, looking_ahead: bool = False) -> None:
        super().__init__(host)
        self.archive = archive
        self.looking_ahead = looking_ahead
        self._spec = spec
        self._imported = False

    def parse(self, spec: Any) -> Mapping[str, str]:
        return parse_bundle(spec)

    def discover(self) -> ImagesState:
        listed = self.host.run([*CTR, "list"])
        return ImagesState(parse_listed(listed.out) if listed.rc == 0 else {}, listed.rc == 0, self.store.record())

    def plan(self, current: ImagesState, desired: Mapping[str, str]) -> Plan:
        return plan_images(current, desired, self.looking_ahead)

    def plan_teardown(self, current: ImagesState) -> Plan:
        return plan_images_teardown(current)

    def needs_archive(self, plan: Plan) -> bool:
        return self.archive is None and any(step.action == LOAD_IMAGES for step in plan.operations)

    def record(self, current: ImagesState, plan: Plan) -> dict[str, Any]:
        return record_images(current, plan)

    def perform(self, operation: Operation) -> None:
        if operation.action == LOAD_IMAGES and not self._imported:
            self._import()
        elif operation.action == REMOVE_IMAGE:
            if operation.before is not None:
                self.host.must_run([*CTR, "remove", operation.target])
            record = self.store.record()
            left = {name: digests for name, digests in record.get("loaded", {}).items() if name != operation.target}
            self.store.save_record({**record, "loaded": left})

    def _import(self) -> None:
        """One archive has all, and what is there already is not written twice."""
        bundle = (self._spec or {}).get("bundle") or {}
        if not self.archive or not os.path.exists(self.archive):
            raise FastpathError("The archive with the images did not arrive on the node.")
        seen = file_sha256(self.archive)
        if seen != bundle.get("sha256"):
            raise FastpathError(
                f"The archive has sha256 {seen}, its manifest says {bundle.get('sha256')}; it is not used."
            )
        self.host.must_run([*CTR, "import", self.archive], timeout=IMPORT_SECONDS)
        self._imported = True

    def check(self, current: ImagesState, desired: Mapping[str, str]) -> list[Check]:
        wanted = desired or parse_bundle(self.store.desired())
        return [
            Check("images.loaded", NAME, name, digest, current.there.get(name), REMEDY)
            for name, digest in sorted(wanted.items())
        ]


def images_result(
    host: Host, params: Mapping[str, Any], dry_run: bool, warn: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """The module's result: first every refusal, then the archive is asked for, then the work is done."""
    spec = {"bundle": params.get("bundle")}
    present = params["state"] == "present"
    archive = params.get("archive")
    concern = ImagesConcern(host, spec, archive, looking_ahead=dry_run)
    return ship(concern, Request(spec, present, dry_run, bool(params.get("disruption_ok"))), archive, warn)
