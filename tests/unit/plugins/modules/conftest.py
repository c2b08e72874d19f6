# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.module_utils import basic
from ansible.module_utils.basic import AnsibleModule


@pytest.fixture(autouse=True)
def plain_results(monkeypatch):
    """A module's result as plain JSON, without the tags that newer versions of Ansible put on values."""
    monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)


@pytest.fixture
def warned(monkeypatch):
    """What the module warned of."""
    texts: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text, **_more: texts.append(text))
    return texts
