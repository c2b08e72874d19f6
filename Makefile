# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo mirror plan site verify teardown test ci lint unit fuzz sanity molecule playbooks integration integration-full bench bench-pods \
	docs lab-build lab-up lab-down lab-status lab-ssh lab-control-plane collection lock clean

CHECKOUT := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
COLLECTIONS := $(CHECKOUT).build/collections
LAB := $(CHECKOUT)tests/lab/lab
PYTHON ?= python3
# An environment is made at its first use; the recipe's shell expands it, not make.
VENV = $$($(PYTHON) requirements/venv.py requirements/dev.lock)
IN_VENV = venv=$(VENV) && export PATH="$$venv/bin:$$PATH"

export ANSIBLE_CONFIG := $(CHECKOUT)ansible.cfg
export ANSIBLE_COLLECTIONS_PATH := $(COLLECTIONS)
export PYTHONDONTWRITEBYTECODE := 1

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

demo: collection ## Two emulated nodes, through a real reboot, to pods with VFs that exchange packets, and verified
	@$(LAB) members
	@$(IN_VENV) && python tests/demo.py

plan site verify teardown: collection ## The playbooks on the lab (or INVENTORY=)
	@$(IN_VENV) && ansible-playbook $(if $(INVENTORY),-i $(INVENTORY)) playbooks/$@.yml $(ARGS)

test: collection ## Everything: lint, unit, sanity, Molecule and integration tests on emulated nodes
	@$(IN_VENV) && python tests/run.py

lint: collection ## Style, types, licences, changelog, ansible-lint in its production profile
	@$(IN_VENV) && ruff check . && ruff format --check . && yamllint -s . && reuse lint -q && antsibull-changelog lint \
	  && (cd $(COLLECTIONS) && export MYPYPATH=$(CHECKOUT)agent:$(COLLECTIONS) \
	    && mypy --config-file $(CHECKOUT)pyproject.toml ansible_collections/nfv/fastpath/plugins \
	    && mypy --config-file $(CHECKOUT)pyproject.toml $(CHECKOUT)agent/fastpath_agent) \
	  && python docs/generate.py --check && ansible-lint

unit: collection ## Unit tests, also under the newest Python found
	@$(IN_VENV) && python -m pytest -q -n 2 tests/unit
	@newer=$$($(PYTHON) tests/tools/newer_python.py); [ -z "$$newer" ] || { \
	  venv=$$($(PYTHON) requirements/venv.py requirements/unit.lock $$newer) && $$venv/bin/python -m pytest -q -n 2 tests/unit; }

fuzz: collection ## 10,000 hostile configurations, annotations and lists for the node agent
	@$(IN_VENV) && FASTPATH_FUZZ=10000 python -m pytest -q -n 2 tests/unit/agent/cni/test_fuzz.py tests/unit/agent/test_fuzz_lists.py

sanity: ## ansible-test sanity
	@$(IN_VENV) && python tests/tools/sanity.py $$venv/bin/ansible-test

molecule: collection lab-up ## Every role's scenario, two nodes at a time (SCENARIO= for one)
	@$(IN_VENV) && python tests/tools/molecule.py $(SCENARIO)

playbooks: collection ## The cluster's playbooks and roles on an API server in memory, without nodes
	@$(IN_VENV) && python -m pytest -q --durations=10 -m no_nodes tests/integration

# Tests of one node run on both at a time, the others after them.
FORM = and not slow
integration-full: FORM =
integration: collection ## Tests on emulated nodes, short forms
integration-full: collection ## Tests on emulated nodes, full forms
integration integration-full:
	@$(IN_VENV) && code=0; \
	  python -m pytest -q --durations=10 -n 2 --dist worksteal -m "one_node $(FORM)" tests/integration || code=1; \
	  python -m pytest -q --durations=20 -m "not one_node and not no_nodes $(FORM)" tests/integration || code=1; exit $$code

bench: collection lab-up ## Ratios against peers and the kernel's own time, measured side by side
	@$(IN_VENV) && python tests/benchmarks/run.py

bench-pods: collection ## Pods with VFs against pods without, 20 rounds of seven
	@$(IN_VENV) && FASTPATH_BENCH_ROUNDS=20 python tests/benchmarks/run.py bench_pods

docs: collection ## The generated reference, docs/reference
	@$(IN_VENV) && python docs/generate.py

mirror: collection ## Fill a mirror for a site without internet: make mirror DIR=/srv/mirror
	@$(IN_VENV) && ansible-playbook -i localhost, playbooks/mirror.yml -e fastpath_mirror_export=$(DIR) $(ARGS)

lab-build: ## Fill the cache with what the lab and its cluster need
	@$(LAB) build
	@$(LAB) control-plane build

lab-up: ## Fresh virtual nodes
	@$(LAB) up

lab-down: ## Take the virtual nodes down
	@$(LAB) down

lab-status: ## What runs
	@$(LAB) status

lab-control-plane: ## An API server and a registry for the nodes, ready in seconds; the first time it builds Kubernetes
	@$(LAB) control-plane up

lab-ssh: ## A shell on a node: make lab-ssh NODE=node1
	@$(LAB) ssh $(NODE)

collection:
	@mkdir -p $(COLLECTIONS)/ansible_collections/nfv && ln -sfn $(CHECKOUT) $(COLLECTIONS)/ansible_collections/nfv/fastpath

lock: ## Resolve the pins into locks again
	@$(IN_VENV) && cd requirements && compile="uv pip compile --generate-hashes --universal --no-header -q" \
	  && $$compile --python-version 3.11 dev.in -o dev.lock && $$compile --python-version 3.12 unit.in -o unit.lock \
	  && $$compile --python-version 3.11 bootstrap.in -o bootstrap.lock \
	  && $$compile --python-version 3.11 --no-deps peer.in -o peer.lock

clean: lab-down ## Take the lab down and remove what was made in the checkout
	@rm -rf .build .lab
