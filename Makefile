# `make` alone lists what there is. Works with GNU make 3.81 and later, on Linux and macOS.

PYTHON ?= python3
VENV := .venv
VENV8 := .venv-client8
BIN := $(VENV)/bin
# Most tests wait most of the time. What measures times or costs runs alone, after them.
WORKERS ?= 2
CODE := $(foreach folder,unomi_scheduler rest/unomi_rest shell/unomi_shell tests integration_tests benchmarks examples,\
	$(if $(wildcard $(folder)/*.py),$(folder)))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help venv run test test-client8 lint package bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/.stamp ## make the virtual environment, once and after a change of pyproject.toml

run: $(VENV)/.stamp ## one node with REST, dashboard and the sample application; Ctrl-C drains and stops
	@exec $(BIN)/unomi-scheduler serve --app examples.geonames:scheduler

test: lint $(VENV)/.stamp ## everything: lint, unit, integration on a real Elasticsearch, with client 9 and client 8
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope -m "not measured" integration_tests tests
	$(BIN)/python -m pytest -m measured tests integration_tests
	$(MAKE) test-client8

test-client8: $(VENV8)/.stamp ## the store's contract with client 8 on a server of version 8
	UNOMI_TEST_SERVER_VERSION=8.19.7 $(VENV8)/bin/python -m pytest integration_tests -m "store_contract or smoke"

lint: $(VENV)/.stamp ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CODE)

package: $(VENV)/.stamp ## the wheel in fresh environments: oldest and newest dependencies, every Python there is
	UNOMI_TEST_PACKAGE=all $(BIN)/python -m pytest integration_tests/test_packaging.py

bench: $(VENV)/.stamp ## measure: throughput, pick-up, idle cost
	$(BIN)/python -m benchmarks

clean: ## remove the virtual environments and everything generated
	rm -rf $(VENV) $(VENV8) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	find . -type d -name __pycache__ -exec rm -rf {} +

$(VENV)/.stamp: EXTRAS := dev,sample
$(VENV8)/.stamp: EXTRAS := dev,es8
$(VENV)/.stamp $(VENV8)/.stamp: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -e ".[$(EXTRAS)]"
	@touch $@
