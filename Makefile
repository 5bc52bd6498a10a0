# Two commands are enough for a student:  make lab   make test        All of them:  make help
PYTHON ?= python3
VENV ?= .venv
LAB_ARGS ?=
ONLY ?=
# Tests run in this many processes, and begin in the order of pytest's arguments: those in the browser, which take longest.
JOBS ?= 2
# make install PIP_INSTALL="pip install" shows what pip does.
PIP_INSTALL ?= pip install -qq --disable-pip-version-check

BIN := $(VENV)/bin
NOTEBOOKS := $(wildcard lectures/*.ipynb exercises/solved/*.ipynb)
SIDE_BY_SIDE := -n $(JOBS) --dist loadfile --no-loadscope-reorder
NBVAL := --nbval --nbval-current-env --nbval-cell-timeout=300 --ignore-glob='tests/*.ipynb'

.DEFAULT_GOAL := help
.PHONY: help install lab test test-fast browser notebooks portability bench kernels clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name text; do \
	  printf '%-18s %s\n' "$$name" "$$text"; done

install: $(VENV)/.installed ## create .venv and install lrlab with all that the lab and the tests need

$(VENV)/.installed: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "There is no $(PYTHON) here. Install Python 3.10 or newer, or name one: make install PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) --version 2>&1); lrlab needs Python 3.10 or newer."; \
	  echo "Name another one: make install PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || { echo "Creating $(VENV)"; $(PYTHON) -m venv $(VENV); } || { \
	  echo "Python could not create $(VENV). On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing lrlab and what it needs into $(VENV): PyTorch is large, the first time takes some minutes"
	@$(BIN)/python -m $(PIP_INSTALL) -e '.[lab,test]'
	@# A student's first page asks no question about JupyterLab's news.
	@$(BIN)/jupyter labextension disable "@jupyterlab/apputils-extension:announcements" >/dev/null 2>&1 || true
	@$(MAKE) --no-print-directory kernels || echo "The browser tests on ipykernel 7.3 will be skipped"
	@touch $@
	@echo "Installed. Next: make lab"

kernels: ## install ipykernel 7.3 beside the newest one, for the browser tests
	@echo "Installing ipykernel 7.3 for the browser tests"
	@$(BIN)/python -m $(PIP_INSTALL) --upgrade --no-deps --target $(VENV)/kernels/ipykernel-7.3 'ipykernel==7.3.*'

lab: install ## open JupyterLab on the first lecture (LAB_ARGS="--no-browser --port=8890")
	@$(BIN)/lrlab lab $(LAB_ARGS)

# One thread: the networks of the tests are small, and two threads wait for each other as soon as the machine is busy.
test test-fast browser: export OMP_NUM_THREADS ?= 1

# Every stage runs, whatever the ones before it found; pytest comes last, so that its closing line is the last line.
test: install ## the whole test suite: style, floors, types, notebooks, unit tests, browser tests
	@$(call check,-)

test-fast: install ## the same without the browser and without running the notebooks
	@$(call check,fast)

define check
failed=; \
stage() { echo; echo "== $$*"; "$$@" || failed="$$failed $${1##*/}"; }; \
stage $(BIN)/ruff check .; \
stage $(BIN)/lint-imports; \
stage $(BIN)/mypy; \
stage $(BIN)/lrlab notebooks check; \
stage $(BIN)/python -m pytest --doctest-modules lrlab; \
[ -z "$$failed" ] || { echo; echo "== failed so far:$$failed"; }; \
stage $(BIN)/python -m pytest $(SIDE_BY_SIDE) \
  $(if $(filter fast,$(1)),-m 'not browser' tests,$(NBVAL) tests $(NOTEBOOKS)); \
[ -z "$$failed" ]
endef

browser: install ## the browser tests alone
	$(BIN)/python -m pytest -m browser tests

notebooks: install ## run the sources of lectures and workbooks and write the notebooks with their outputs
	@$(BIN)/lrlab notebooks build $(ONLY)

portability: install ## run the lectures as other processors would: without AVX-512, with one thread and with two
	@for capability in default avx2; do for threads in 1 2; do \
	  echo; echo "== ATEN_CPU_CAPABILITY=$$capability OMP_NUM_THREADS=$$threads"; \
	  ATEN_CPU_CAPABILITY=$$capability OMP_NUM_THREADS=$$threads $(BIN)/python -m pytest $(NBVAL) $(NOTEBOOKS) || exit 1; \
	done; done

bench: $(VENV)/.bench ## all benchmarks, or one of them (ONLY=run)
	@$(BIN)/python -m benchmarks $(ONLY)

$(VENV)/.bench: $(VENV)/.installed
	@echo "Installing what the benchmarks compare with"
	@$(BIN)/python -m $(PIP_INSTALL) -e '.[bench]'
	@touch $@

clean: ## remove caches and builds; .venv stays
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
