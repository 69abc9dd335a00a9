# Every target does its own set-up. `make help` lists them.

# torch is pinned in constraints.txt for these; the first that is there and can make environments wins.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& { echo $$python; break; }; done)

# Which build of torch: cpu or cuda. Where nvidia-smi finds a card it is cuda.
TORCH ?= $(shell nvidia-smi -L >/dev/null 2>&1 && echo cuda || echo cpu)

# Asked for the CPU build only where pip's own index has not got it.
ifeq ($(TORCH),cpu)
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
endif

VENV ?= .venv
OUT ?= demo-out
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed-$(TORCH)

.DEFAULT_GOAL := help
.PHONY: help install web demo test lint test-real torture bench wheel clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo "  options         TORCH=cpu|cuda  PYTHON=python3.12  OUT=demo-out  TORCH_INDEX=https://..."

install: $(INSTALLED) ## make .venv with the pinned dependencies (the other targets do it by themselves)

web: $(INSTALLED) ## fetch NiiVue, which draws the images of `diascope view`
	$(BIN)/python hatch_build.py

# Without NiiVue the page shows slices that the server cuts: no reason to stop on a machine without a network.
demo: $(INSTALLED) ## make a small cohort on the spot, run it, and leave the results in demo-out
	@$(BIN)/python hatch_build.py || echo "going on without NiiVue"
	$(BIN)/diascope demo -o $(OUT)

test: lint ## everything that must hold on any machine: style, types, floors, tests
	$(BIN)/python -m pytest

lint: $(INSTALLED) ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# pytest ends with 5 when a tier holds no test; anything else but 0 is a failure.
test-real: $(INSTALLED) ## real servers, a browser, the image's install steps (.ci/run installs what they need)
	@$(BIN)/python hatch_build.py || echo "going on without NiiVue"
	$(BIN)/python -m pytest -m "real and not gpu" || [ $$? -eq 5 ]

torture: $(INSTALLED) ## mutants, kills and load
	$(BIN)/python -m pytest -m "torture and not gpu" || [ $$? -eq 5 ]

# Those that need nothing but this folder. The others need data: each says in its first lines which.
BENCHMARKS := brain_on_real_scans catalogue_many_files compare_readers evaluation explain one_head start_up viewer

bench: $(INSTALLED) ## measure speed and memory, where that takes no data; nothing here passes or fails
	@for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

wheel: $(INSTALLED) ## build dist/*.whl, with the models and configs inside
	$(BIN)/python -m build --no-isolation --wheel

clean: ## remove what the targets above made, except .venv
	rm -rf dist build $(OUT) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt docker/install.sh
	@[ -n "$(PYTHON)" ] || { echo "diascope needs Python 3.11, 3.12 or 3.13 with its venv module"; \
	  echo "  try: install python3.11 and python3.11-venv, or name one: make PYTHON=/path/to/python3.11"; exit 2; }
	PYTHON=$(PYTHON) TORCH=$(TORCH) TORCH_INDEX=$(TORCH_INDEX) sh docker/install.sh $(VENV) developer
	@rm -f $(VENV)/.installed-*
	@touch $@
