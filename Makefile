# Two commands matter: `make demo` and `make test`. Each makes its own .venv the first time.
# PYTHON=/path/to/python3.12 chooses the interpreter; ARGS="…" goes to the command behind the target.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# An environment made at another path (a checkout that was moved or copied) is made again.
ifneq ($(shell cat $(VENV)/.home 2>/dev/null),$(CURDIR))
STALE := stale
endif

.PHONY: help demo test test-long test-pythons lint format bench peers clean stale
help:
	@echo 'make demo          triage the support tickets: the main job, from start to table'
	@echo 'make test          everything that fits into 12 minutes on 2 cores'
	@echo 'make test-long     the long tests: crashes, soak, load'
	@echo 'make test-pythons  the tests under Python 3.11, 3.12 and 3.13, where they exist'
	@echo 'make lint          ruff and strict mypy (make format repairs what can be repaired)'
	@echo 'make bench         our engine beside others, in one run (make peers installs the others)'
	@echo 'make clean         remove what these targets made; stores of yours stay'

demo: $(VENV)/.demo
	@$(BIN)/raywf demo $(ARGS)

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -q $(ARGS)

test-long: $(VENV)/.dev
	@$(BIN)/python -m pytest -q -m long $(ARGS)

test-pythons:
	@.ci/pythons -m 'not kill and not long' $(ARGS)

lint: $(VENV)/.dev
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format --check -q .
	@$(BIN)/mypy

format: $(VENV)/.dev
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

bench: $(VENV)/.dev
	@$(BIN)/python benchmarks/engine.py $(ARGS)

peers: $(VENV)/.dev
	@$(BIN)/python benchmarks/make_peers.py $(ARGS)

clean:
	rm -rf $(VENV) .venv-3.* build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov benchmarks/.peers
	find raywf actors tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(VENV)/.demo: pyproject.toml constraints.txt $(STALE)
	@.ci/venv demo $(VENV)

$(VENV)/.dev: pyproject.toml constraints.txt $(STALE)
	@.ci/venv demo,cluster,dev $(VENV)
