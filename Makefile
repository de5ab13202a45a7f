# `make` prints what there is. `make run` and `make test` each work on a fresh machine, alone.
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help run test bench reset lock check-python

help:
	@echo "make run     the product, running: server 8000, member page 8001, sandbox gateway 8002, worker, demo data"
	@echo "make test    every test and guard"
	@echo "make bench   the speed figures, as ratios (see bench/README.md)"
	@echo "make reset   forget the demo data and begin again"
	@echo "make lock    choose newer library versions (needs the network)"

run: $(STAMP)
	@exec $(BIN)/kumiai dev

test: $(STAMP)
	@$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),-n logical --dist loadfile --no-loadscope-reorder)

bench: $(STAMP)
	@$(BIN)/python -m bench $(ARGS)

reset: $(STAMP)
	@$(BIN)/kumiai reset

$(STAMP): requirements.lock setup.cfg pyproject.toml | check-python
	@echo "installing the exact versions of requirements.lock into .venv (a minute the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

check-python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed; install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, this is $$($(PYTHON) --version); name another: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv is missing; on Debian: apt-get install python3-venv"; exit 1; }

lock:
	@$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv
	@.venv-lock/bin/uv pip compile setup.cfg --all-extras --universal --python-version 3.11 --generate-hashes \
		--upgrade --no-header --no-annotate --no-emit-index-url --quiet -o requirements.lock
	@rm -rf .venv-lock
