# Two commands: `make demo` shows the main job on real data, `make test` passes the tests. Both need a C++ compiler.
# Both set up a virtual environment of their own; PYTHON chooses the interpreter, 3.11 or newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check clean

demo: $(VENV)/ready
	@$(BIN)/pellucid sample digits demo/digits
	@$(BIN)/pellucid compare demo/digits --out demo/run

test: $(VENV)/ready
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest

# The linter, the formatter's opinion, and the type checker.
check: $(VENV)/ready
	@$(BIN)/ruff check src tests
	@$(BIN)/ruff format --check src tests
	@$(BIN)/mypy

# torch is installed by its exact version: another spelling may bring builds of several gigabytes.
$(VENV)/ready: pyproject.toml constraints.txt CMakeLists.txt $(wildcard native/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Pellucid needs Python 3.11 or newer; name one with make PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) (a minute or so, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 -c constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lab,dev]'
	@touch $@

clean:
	rm -rf $(VENV) demo build dist
