# The one front door. `make` alone lists what there is.
# Every target may be run again at any time: what is done already is found and skipped.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.SUFFIXES:

# Which cluster: local (made here, no container registry needed), kind (Docker), existing (KUBECONFIG).
CLUSTER ?= local
# Names of the installation. A clone that did not make the local cluster adds a suffix of its own.
RELEASE ?= agentsession
NAMESPACE ?= agentsession-system
SESSIONS_NAMESPACE ?= agents
# Registry prefix to push images to, e.g. PUSH=ghcr.io/me
PUSH ?=
# Examples that make schedules tries in each test
EXAMPLES ?= 10000
# Extra arguments for pytest, e.g. make test ARGS="-k resume"
ARGS ?=

export CLUSTER RELEASE NAMESPACE SESSIONS_NAMESPACE PUSH

PYTHON := .venv/bin/python
export PYTHONPATH := dev/workbench:dev/localcluster:dev/images:dev/load
WORKBENCH := $(PYTHON) -m workbench
STEP := dev/step
SOURCES := core operator gateway bridge orchestrator agent-image cli dev tests

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: CLUSTER=$(CLUSTER) RELEASE=$(RELEASE) NAMESPACE=$(NAMESPACE) SESSIONS_NAMESPACE=$(SESSIONS_NAMESPACE)"
	@echo "  ANTHROPIC_API_KEY in the environment: the demo talks to the real model."
	@echo "  TELEGRAM_TOKEN (and TELEGRAM_USERS, ids of who is let in): the demo is your own bot in Telegram."

.PHONY: demo
demo: install ## Everything up, one AgentSession answered, and a page to talk to it
	@$(WORKBENCH) demo

.PHONY: test
test: check cluster images ## All tests, in pods too, as a release of its own
	@$(WORKBENCH) test $(ARGS)

.PHONY: check
check: env ## Format, lint, types, import contracts, unit tests; no cluster
	@$(STEP) "format" .venv/bin/ruff format --check --quiet $(SOURCES)
	@$(STEP) "lint" .venv/bin/ruff check --quiet $(SOURCES)
	@$(STEP) "types" .venv/bin/mypy
	@$(STEP) "import contracts" .venv/bin/lint-imports
	@$(STEP) "unit tests" $(PYTHON) -m pytest -q tests/unit

.PHONY: unit
unit: env ## Unit tests only, e.g. make unit ARGS="-k plan"
	@$(PYTHON) -m pytest -q tests/unit $(ARGS)

.PHONY: cluster
cluster: env ## Bring up the cluster (or find it healthy)
	@$(WORKBENCH) cluster up

.PHONY: cluster-down
cluster-down: env ## Take the cluster down and leave nothing behind
	@$(WORKBENCH) cluster down

.PHONY: images
images: env cluster ## Build the images and give them to the cluster (PUSH=registry/prefix pushes them)
	@$(WORKBENCH) images

.PHONY: install
install: env cluster images ## Install or upgrade the release in the cluster
	@$(WORKBENCH) install

.PHONY: uninstall
uninstall: env ## Remove the release; sessions and volumes stay
	@$(WORKBENCH) uninstall

.PHONY: bench
bench: install ## Figures beside a plain Job; fewer rounds: make bench ROUNDS=3
	@$(WORKBENCH) bench $(ARGS)

.PHONY: tokens
tokens: env ## Tokens of three conversations: with skills and a command, with every tool in each request
	@.venv/bin/uv pip install --quiet --require-hashes -r requirements/tokens.txt
	@PYTHONPATH=$(PYTHONPATH):tests/support $(PYTHON) -m workbench.tokens $(ARGS)

.PHONY: bench-api
bench-api: env ## Requests a second and p99 of the orchestrator's API, its command's start; no cluster
	@PYTHONPATH=$(PYTHONPATH):tests/support $(PYTHON) -m workbench.rates $(ARGS)

.PHONY: bench-scale
bench-scale: env ## 10,000 sessions on a control plane of its own; fewer: make bench-scale SESSIONS=500
	@$(PYTHON) -m sessionload scale $(ARGS)

.PHONY: chaos
chaos: env cluster ## Faults under traffic for half an hour; SEED, MINUTES, SESSIONS, FAULTS, KINDS, OPERATORS
	@PYTHONPATH=$(PYTHONPATH):dev/chaos:tests/support nice -n 10 $(PYTHON) -m chaos

.PHONY: schedules
schedules: env ## Random schedules of plan() and of the mailbox scripts, 10,000 for each test: EXAMPLES
	@RANDOM_EXAMPLES=$(EXAMPLES) nice -n 10 $(PYTHON) -m pytest -q -rP --timeout=14400 \
		--hypothesis-show-statistics tests/unit/operator/test_plan_schedules.py \
		tests/integration/test_mailbox_schedules.py $(ARGS)

.PHONY: crds
crds: env ## Generate the CRDs and the references of API and Redis from the models
	@$(PYTHON) -m agentsession_core.crd.generate crds charts/agentsession/crds
	@$(PYTHON) -m agentsession_core.crd.reference docs/api.md
	@$(PYTHON) -m agentsession_core.mailbox.reference docs/contract.md

.PHONY: format
format: env ## Format the code and mend what the linter can
	@.venv/bin/ruff format $(SOURCES)
	@.venv/bin/ruff check --fix $(SOURCES)

.PHONY: golden
golden: env ## Write the golden files anew; read the difference before you commit it
	@$(PYTHON) -m pytest -q tests/unit --update-golden

.PHONY: requirements
requirements: env ## Pin the dependencies anew
	@dev/compile-requirements

.PHONY: env
env: ## Python environment for development (.venv)
	@dev/bootstrap
	@$(PYTHON) -m compileall -q $(SOURCES)
