# Every target sets itself up: the stamp's name holds a digest of what decides the virtual environment's content,
# so a changed pin installs anew and an unchanged one costs nothing.
PYTHON ?= python3
export PYTHON

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-$(shell { pwd -P; cat pyproject.toml constraints.txt scripts/setup.sh; } | cksum | cut -d ' ' -f 1)

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test test-all lint bench clean

help: ## list the targets
	@echo 'make TARGET; each sets itself up. PYTHON=python3.12 chooses the interpreter of a new $(VENV).'
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS='	' read -r target what; do \
		printf '  %-10s %s\n' "$$target" "$$what"; done

setup: $(READY) ## make .venv with the pinned packages, or say what the machine lacks

$(READY):
	@scripts/setup.sh $@

demo: $(READY) ## run all stations over the bundled demo region and print where the pictures are
	@$(BIN)/geo-assets demo

dev: $(READY) ## open the Dagster UI on the region of GEO_ASSETS_REGION, the demo's by default
	@$(BIN)/geo-assets dev

test: $(READY) ## the tests that take seconds
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: $(READY) ## all tests: kills, full demo, daemon
	$(BIN)/python -m pytest

lint: $(READY) ## ruff, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY) ## measure against the targets; BENCH=name runs one
	$(BIN)/python -m benchmarks $(BENCH)

clean: ## remove .venv and caches; what the demo wrote stays
	rm -rf $(VENV) .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find geo_assets geo_assets_tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
