# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An API server on the loopback interface, in front of the unit tests' cluster in memory.

Enough of one that real clients take it for real: discovery, lists, patches, server-side apply, eviction.
"""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import Ask
from ansible_collections.nfv.fastpath.tests.unit.cluster_items import namespace, node
from ansible_collections.nfv.fastpath.tests.unit.fake_cluster import ALL, FakeCluster

STEP_SECONDS = 0.1


def two_nodes() -> FakeCluster:
    """A cluster whose nodes were booted with this machine, which stands for them where playbooks look at one."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    nodes = [node(name, boot_id=boot) for name in ("node1", "node2")]
    return FakeCluster(*nodes, namespace("apps"), namespace("default"))


def discovery(path: str, cluster: FakeCluster) -> Any:
    """What clients ask before they ask anything else; None for all other paths."""
    kinds = [kind for kind in ALL.values() if kind.kind not in cluster.unknown]
    groups = sorted({kind.api_version for kind in kinds if "/" in kind.api_version})
    if path == "/version":
        major, minor = cluster.version.lstrip("v").split(".")[:2]
        return {"major": major, "minor": minor, "gitVersion": cluster.version}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        return {
            "kind": "APIGroupList",
            "groups": [
                {
                    "name": version.split("/")[0],
                    "versions": [{"groupVersion": version, "version": version.split("/")[1]}],
                    "preferredVersion": {"groupVersion": version, "version": version.split("/")[1]},
                }
                for version in groups
            ],
        }
    for version, root in [("v1", "/api/v1"), *((group, f"/apis/{group}") for group in groups)]:
        if path == root:
            verbs = ["get", "list", "create", "patch", "delete"]
            return {
                "kind": "APIResourceList",
                "groupVersion": version,
                "resources": [
                    {"name": kind.plural, "kind": kind.kind, "namespaced": kind.namespaced, "verbs": verbs}
                    for kind in kinds
                    if kind.api_version == version
                ],
            }
    return None


def handler(cluster: FakeCluster, lock: threading.Lock) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = yaml.safe_load(self.rfile.read(length)) if length else None
            with lock:
                status, answer = self.answer(url.path.rstrip("/"), dict(parse_qsl(url.query)), body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PATCH = do_POST = do_DELETE = serve

        def answer(self, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
            known = discovery(path, cluster)
            if known is not None:
                return 200, known
            content = self.headers.get("Content-Type") or ""
            if "apply-patch" in content:
                assert query["fieldManager"] == "nfv.fastpath"
                return 200, {key: value for key, value in cluster.apply(body).items() if not key.startswith("__")}
            found = cluster.request(Ask(self.command, path, query, body, content))
            if found.status == 404:
                return 404, {"kind": "Status", "code": 404, "reason": "NotFound", **(found.body or {})}
            answer = found.body
            if self.command == "DELETE" and found.status == 200:
                answer = {"kind": "Status", "apiVersion": "v1", "status": "Success"}
            if isinstance(answer, dict) and "items" in answer:
                answer = {"kind": "List", "apiVersion": "v1", "metadata": {}, **answer}
            return found.status, answer

        def log_message(self, *_words: Any) -> None:
            pass

    return Handler


@contextmanager
def api_server(cluster: FakeCluster, folder: Path) -> Iterator[str]:
    """Path of a kubeconfig for it. Behind it time goes by, so daemons get their pods."""
    lock, over = threading.Lock(), threading.Event()

    def controllers() -> None:
        while not over.wait(STEP_SECONDS):
            with lock:
                cluster.sleep(STEP_SECONDS)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(cluster, lock)) as server:
        threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}),
            threading.Thread(target=controllers),
        ]
        for thread in threads:
            thread.start()
        try:
            yield _kubeconfig(folder, server.server_port)
        finally:
            over.set()
            server.shutdown()
            for thread in threads:
                thread.join()


def _kubeconfig(folder: Path, port: int) -> str:
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(config))
    return str(path)
