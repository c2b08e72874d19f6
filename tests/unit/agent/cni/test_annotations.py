# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Annotations that several write, and the API that they are written through."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_parts import FakePods
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import NAMESPACE, POD, UID, pod
from fastpath_agent.cni.annotations import (
    CONFIGURATION,
    MAPPED_DIR,
    Annotations,
    has_element,
    parse_elements,
    patch_body,
    with_element,
    without_element,
)
from fastpath_agent.cni.errors import CniError
from fastpath_agent.cni.pods import ApiPods, Conflict, PodGone
from fastpath_agent.kube_api import Server
from hypothesis import given
from hypothesis import strategies as st

ids = st.sampled_from(["c1", "c2"])
names = st.sampled_from(["net1", "net2", "net10"])
elements = st.builds(lambda cid, name, note: {"containerId": cid, "ifName": name, "n": note}, ids, names, st.integers())
foreign = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.just({}), st.just({"ifName": 7}))


@given(st.lists(st.one_of(elements, foreign), max_size=6), elements)
def test_an_interface_has_one_element_and_others_stay(present: list[Any], new: dict[str, Any]) -> None:
    after = with_element(present, new)
    mine = [each for each in after if isinstance(each, dict) and each.get("ifName") == new["ifName"]]
    assert mine == [new] and after[-1] == new
    others = [each for each in present if not (isinstance(each, dict) and each.get("ifName") == new["ifName"])]
    assert after[:-1] == others
    assert without_element(after, new["containerId"], new["ifName"]) == others
    assert without_element(after, "another", new["ifName"]) == after


def test_no_name_is_the_beginning_of_another() -> None:
    present = [{"containerId": "c", "ifName": name} for name in ("net1", "net10", "net1x")]
    assert [each["ifName"] for each in without_element(present, "c", "net1")] == ["net10", "net1x"]


@pytest.mark.parametrize("text", [None, "", "[]"])
def test_nothing_there_is_an_empty_list(text: Any) -> None:
    assert parse_elements(text) == []


@pytest.mark.parametrize("text", ["{", "{}", "7", "[" * 60_000, '"x"', 7])
def test_what_is_no_list_is_told_and_never_overwritten(text: Any) -> None:
    with pytest.raises(CniError) as raised:
        parse_elements(text)
    assert raised.value.code == 7 and CONFIGURATION in raised.value.message


def test_patch_is_for_the_pod_as_it_was_read() -> None:
    assert patch_body(pod(resourceVersion="7"), {"a": "b"}) == {
        "metadata": {"resourceVersion": "7", "uid": UID, "annotations": {"a": "b"}}
    }
    assert patch_body({"metadata": 7}, {}) == {"metadata": {"annotations": {}}}


@pytest.fixture
def pods() -> FakePods:
    api = FakePods()
    api.put(pod())
    return api


def element(name: str = "net1", container: str = "c1") -> dict[str, Any]:
    return {"containerId": container, "ifName": name}


def test_conflicts_are_read_again(pods: FakePods) -> None:
    pauses: list[float] = []
    annotations = Annotations(pods, pauses.append)
    stale = dict(pods.get(NAMESPACE, POD))
    pods.writers_between = 5
    annotations.publish(stale, element(), "/mnt")
    assert len(pauses) == 5 and all(0 < pause < 1 for pause in pauses)
    assert len(pods.patches) == 1
    assert has_element(pods.get(NAMESPACE, POD), "c1", "net1")


def test_others_that_are_always_quicker_are_given_up_in_time(pods: FakePods) -> None:
    pods.writers_between = 1000
    for seconds in (20, 0):
        with pytest.raises(CniError, match="kept changing") as raised:
            Annotations(pods, lambda _seconds: None, seconds).publish(pods.get(NAMESPACE, POD), element(), "/mnt")
        assert raised.value.code == 11


def test_fresh_pod_costs_one_request(pods: FakePods) -> None:
    read = pods.get(NAMESPACE, POD)
    pods.fails = [AssertionError("read again")]
    Annotations(pods).publish(read, element(), "/mnt")
    assert len(pods.patches) == 1


def test_two_writers_lose_nothing(pods: FakePods) -> None:
    annotations = Annotations(pods, lambda _seconds: None)
    guard = threading.Lock()
    patch = pods.patch

    def locked(*arguments: Any) -> None:
        with guard:
            patch(*arguments)

    pods.patch = locked  # type: ignore[method-assign]
    threads = [
        threading.Thread(target=lambda n=n: annotations.publish(pods.get(NAMESPACE, POD), element(f"net{n}"), "/mnt"))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = json.loads(pods.annotations()[CONFIGURATION])
    assert sorted(each["ifName"] for each in found) == ["net0", "net1", "net2", "net3"]


def test_last_element_takes_both_annotations_with_it(pods: FakePods) -> None:
    annotations = Annotations(pods)
    for name in ("net1", "net2"):
        annotations.publish(pods.get(NAMESPACE, POD), element(name), "/mnt")
    annotations.withdraw(NAMESPACE, POD, UID, "c1", "net1")
    assert pods.annotations()[MAPPED_DIR] == "/mnt"
    annotations.withdraw(NAMESPACE, POD, UID, "c1", "net2")
    assert pods.annotations() == {}
    patches = len(pods.patches)
    annotations.withdraw(NAMESPACE, POD, UID, "c1", "net2")
    assert len(pods.patches) == patches


def test_a_former_sandboxs_element_is_replaced_and_not_taken(pods: FakePods) -> None:
    annotations = Annotations(pods)
    annotations.publish(pods.get(NAMESPACE, POD), element(container="old"), "/mnt")
    annotations.publish(pods.get(NAMESPACE, POD), element(container="new"), "/mnt")
    annotations.withdraw(NAMESPACE, POD, UID, "old", "net1")
    assert json.loads(pods.annotations()[CONFIGURATION]) == [element(container="new")]


def test_pod_that_is_gone_needs_no_withdrawal(pods: FakePods) -> None:
    pods.pods.clear()
    Annotations(pods).withdraw(NAMESPACE, POD, UID, "c1", "net1")
    with pytest.raises(CniError) as raised:
        Annotations(pods).publish(pod(uid=""), element(), "/mnt")
    assert raised.value.code == 11


def test_annotation_has_bounds(pods: FakePods) -> None:
    with pytest.raises(CniError) as raised:
        Annotations(pods).publish(pods.get(NAMESPACE, POD), {**element(), "x": "y" * 300_000}, "/mnt")
    assert raised.value.code == 105


class Api(BaseHTTPRequestHandler):
    """Answers as told, and keeps what it was asked."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, str, dict[str, str], bytes]]
    answers: list[tuple[int, bytes] | str]

    def do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.command, self.path, dict(self.headers), body))
        answer = self.answers.pop(0) if self.answers else (200, b"{}")
        if isinstance(answer, str):
            self.close_connection = True
            if answer == "half":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            return
        self.send_response(answer[0])
        self.send_header("Content-Length", str(len(answer[1])))
        self.end_headers()
        self.wfile.write(answer[1])

    do_GET = do_PATCH = do

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def api(tmp_path: Path) -> Iterator[tuple[ApiPods, type[Api]]]:
    handler = type("Handler", (Api,), {"asked": [], "answers": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    (tmp_path / "token").write_text("secret\n")

    def plain(where: Server, timeout: float) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(where.host, where.port, timeout=timeout)

    pods = ApiPods(Server("127.0.0.1", server.server_port, str(tmp_path)), 2, plain)
    yield pods, handler
    pods._close()
    server.shutdown()
    server.server_close()
    thread.join()


def test_requests(api: Any, tmp_path: Path) -> None:
    pods, handler = api
    handler.answers = [(200, b'{"metadata": {"name": "a"}}'), (200, b"{}")]
    assert pods.get("apps", "a/../b") == {"metadata": {"name": "a"}}
    (tmp_path / "token").write_text("rotated")
    pods.patch("apps", "a", {"metadata": {}})
    first, second = handler.asked
    assert first[:2] == ("GET", "/api/v1/namespaces/apps/pods/a%2F..%2Fb")
    assert first[2]["Authorization"] == "Bearer secret"
    assert second[:2] == ("PATCH", "/api/v1/namespaces/apps/pods/a/status")
    assert second[2]["Content-Type"] == "application/merge-patch+json"
    assert second[2]["Authorization"] == "Bearer rotated" and json.loads(second[3]) == {"metadata": {}}


@pytest.mark.parametrize(
    ("status", "expected"),
    [(404, PodGone), (409, Conflict), (500, 11), (503, 11), (429, 11), (401, 105), (403, 105), (413, 105), (422, 105)],
)
def test_answers_that_are_none(api: Any, status: int, expected: Any) -> None:
    pods, handler = api
    handler.answers = [(status, b'{"message": "told so"}')]
    with pytest.raises(CniError if isinstance(expected, int) else expected, match="told so") as raised:
        pods.get("apps", "a")
    if isinstance(expected, int):
        assert raised.value.code == expected


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"[" * 60_000, b"\xff"])
def test_pod_that_is_no_json(api: Any, body: bytes) -> None:
    pods, handler = api
    handler.answers = [(200, body)]
    with pytest.raises(CniError) as raised:
        pods.get("apps", "a")
    assert raised.value.code == 11


def test_connection_that_was_closed_meanwhile_is_opened_again(api: Any) -> None:
    pods, handler = api
    handler.answers = [(200, b"{}"), "hang up", (200, b"{}")]
    pods.get("apps", "a")
    pods.get("apps", "a")
    assert len(handler.asked) == 3


@pytest.mark.parametrize("how", ["hang up", "half"])
def test_api_that_hangs_up_is_away(api: Any, how: str) -> None:
    pods, handler = api
    handler.answers = [how, how, how]
    with pytest.raises(CniError) as raised:
        pods.get("apps", "a")
    assert raised.value.code == 11
    handler.answers = []
    assert pods.ready()


def test_api_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")

    def plain(where: Server, timeout: float) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(where.host, where.port, timeout=timeout)

    pods = ApiPods(Server("127.0.0.1", 1, str(tmp_path)), 2, plain)
    with pytest.raises(CniError) as raised:
        pods.get("apps", "a")
    assert raised.value.code == 11 and not pods.ready()
    missing = ApiPods(Server("127.0.0.1", 1, str(tmp_path / "none")), 2, plain)
    assert not missing.ready()


def test_certificate_authority_that_is_missing_is_an_api_away(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    pods = ApiPods(Server("127.0.0.1", 1, str(tmp_path)))
    with pytest.raises(CniError) as raised:
        pods.get("apps", "a")
    assert raised.value.code == 11


def test_server_in_a_pod(tmp_path: Path) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    assert Server.in_cluster(environment, str(tmp_path)) is None
    (tmp_path / "token").write_text("x")
    found = Server.in_cluster(environment, str(tmp_path))
    assert found is not None and (found.host, found.port) == ("10.96.0.1", 443)
    assert Server.in_cluster({}, str(tmp_path)) is None
