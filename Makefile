# `make demo` and `make test` set up all they need in .venv: a Python 3.11 to 3.14 and make are enough.
# What is installed is remembered, so that later runs need no network; `make PYTHON=python3.13 test` picks the
# Python of a new .venv.

VENV := .venv
BIN := $(VENV)/bin
PYTHONS := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)
CUDA ?= cuda13
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-all check format fuzz soak audit peers bench bench-full bench-compare growth report wrong-answers docs gpu coverage mutation clean

help:  ## these lines
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(VENV)/installed-demo  ## match images, speech and written words; picture and matches land in demo-output/
	$(BIN)/crossmodal-fast demo --output demo-output

# worksteal: neighbours stay in one worker, which need the same kernels. One thread of BLAS for each worker: more of them
# wait for each other while they spin, and a product of small matrices then took up to ten times as long.
# Bytecode is kept, whatever the environment says: some eighty processes of the tests import the package.
test test-all: export OPENBLAS_NUM_THREADS := 1
test test-all: export PYTHONDONTWRITEBYTECODE :=

test: check docs  ## all that CI runs: ruff, mypy, the documentation and the tests
	$(BIN)/python -m pytest -n auto --dist worksteal

test-all: check docs  ## the tests that take minutes as well, 25 minutes
	$(BIN)/python -m pytest -n auto --dist worksteal -m ''

check: $(VENV)/installed-test  ## ruff and mypy
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

format: $(VENV)/installed-test  ## let ruff mend what it can
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

fuzz: $(VENV)/installed-test  ## random calls on all backends against the law, SECONDS=300 of them
	$(BIN)/python tests/fuzz.py --seconds $(or $(SECONDS),300)

coverage: $(VENV)/installed-test  ## branch coverage, of kernels too, an hour of two cores; under 95 % fails
	$(BIN)/python -m pip install --quiet 'coverage>=7.10'
	$(BIN)/python tests/covered.py

mutation: $(VENV)/installed-test  ## faults planted in dispatch, validation and certificate, hours of a core
	$(BIN)/python tests/mutation/run.py

soak: $(VENV)/installed-test  ## 64 threads call, answers compared, memory and files must not grow; SECONDS=600 of it
	$(BIN)/python tests/soak.py --seconds $(or $(SECONDS),600)

# --strict: what the service of advisories does not answer for is a failure, not a success
audit: $(VENV)/installed-test  ## rules of bandit, and what is installed against known advisories; needs a network
	$(BIN)/python -m pip install --quiet bandit pip-audit
	$(BIN)/python -m bandit --quiet --recursive --configfile pyproject.toml crossmodal_fast kernels
	$(BIN)/python -m pip_audit --strict --skip-editable

peers: $(VENV)/installed-peers  ## tests of SciPy and scikit-learn on our functions, ours beside torchmetrics, FAISS and more (installs torch)
	$(BIN)/python tests/peers/run.py
	$(BIN)/python -m pytest tests/test_peers_retrieval.py tests/test_dropin.py tests/test_compat_*.py tests/test_arrays*.py

bench: $(VENV)/installed-bench  ## time the operations against their peers, 10 minutes (installs FAISS, torch and more); MISSING=1 goes on
	$(BIN)/python -m pytest benchmarks/bench.py $(if $(MISSING),--missing)
	$(BIN)/python benchmarks/report.py

bench-compare: $(VENV)/installed-test  ## this tree against the revision BASE, in turns; CASES=part-of-a-name,.. picks cases
	$(BIN)/python benchmarks/compare.py --cases='$(CASES)' -- '$(BASE)'

growth: $(VENV)/installed-test  ## how the time grows with the numbers of queries, rows, features, neighbours: a minute
	$(BIN)/python benchmarks/growth.py

report: $(VENV)/installed-demo  ## tables and pictures of the newest rows, the README's too; a page lands in build/benchmarks
	$(BIN)/python benchmarks/report.py --readme

wrong-answers: $(VENV)/installed-bench  ## known failures of FAISS, scikit-learn and torch, and ours beside them
	$(BIN)/python benchmarks/wrong_answers.py

docs: $(VENV)/installed-docs  ## the documentation as HTML, a warning is an error; pages land in build/docs/html
	$(BIN)/python docs/build_site.py build/docs

gpu: $(VENV)/installed-test $(VENV)/installed-$(CUDA)  ## on a machine with an NVIDIA GPU: its tests, then its timings (CUDA=cuda12 for an older driver)
	$(BIN)/python -m pytest -n auto tests/test_cuda_hardware*.py
	$(BIN)/python benchmarks/gpu.py
	$(BIN)/python benchmarks/gpu_matrices.py

bench-full: $(VENV)/installed-bench  ## the cross product of all sizes, many hours
	$(BIN)/python -m pytest benchmarks/bench.py --full $(if $(MISSING),--missing)
	$(BIN)/python benchmarks/report.py

clean:  ## remove .venv and all that the other commands wrote
	rm -rf $(VENV) build dist demo-output example-output *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One file per installed extra. It is written last, so an interrupted installation is done again. An extra that
# contains others writes theirs too.
CONTENTS_test := demo
CONTENTS_docs := demo
CONTENTS_bench := test demo
CONTENTS_peers := test demo

$(VENV)/installed-%: $(VENV)/created setup.py pyproject.toml
	$(BIN)/python -m pip install --editable '.[$*]'
	@touch $(addprefix $(VENV)/installed-,$(CONTENTS_$*) $*)

# A .venv that is there already and has a fitting Python is used as it is.
$(VENV)/created:
	@if $(BIN)/python -c '$(SUPPORTED)' 2>/dev/null; then \
	    $(BIN)/python -m ensurepip >/dev/null && touch $@ && exit; \
	fi; \
	for name in $(PYTHONS); do \
	    $$name -c '$(SUPPORTED)' 2>/dev/null || continue; \
	    supported=$$name; \
	    $$name -c 'import ensurepip, venv' 2>/dev/null || continue; \
	    echo "Creating $(VENV) with $$($$name --version)"; \
	    $$name -m venv --clear $(VENV) && touch $@ && exit; \
	    exit 1; \
	done; \
	if [ -n "$$supported" ]; then \
	    echo "$$supported has no ensurepip: install $$(basename $$supported)-venv (Debian, Ubuntu) or another Python." >&2; \
	else \
	    echo "Python 3.11 to 3.14 is needed and none of these is one: $(PYTHONS). Install one, or name it:" \
	        "make PYTHON=/path/to/python $(or $(MAKECMDGOALS),test)" >&2; \
	fi; \
	exit 1
