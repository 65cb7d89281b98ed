# Two commands do everything on a fresh Debian 12 machine with Python 3.11: `make demo` and `make test`.
# `make test-infra` adds kill storms, a real Slurm and real shared file systems (tests/infra/README.md says what they need).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo
INFRA := storm or slurm or sharedfs

# opencv-python needs the system's libGL.so.1; where that is missing, its headless twin does the same work.
CV2_WITHOUT_LIBGL = $(BIN)/python -c "import cv2" 2>/dev/null || { echo "no libGL.so.1: using opencv-python-headless"; \
	$(BIN)/python -m pip uninstall --quiet --yes opencv-python && $(BIN)/python -m pip install --quiet --force-reinstall --no-deps opencv-python-headless; }

.PHONY: demo test test-programs test-pictures test-others test-spool test-infra check check-light format clean

demo: $(VENV)/.light
	$(BIN)/waterz-spool demo $(DEMO)

# two at a time: whole programs, the tests of pictures and networks, those of the spool, and all others
test: $(VENV)/.full check
	$(MAKE) --jobs=2 --output-sync=line test-programs test-pictures test-others test-spool

PROGRAMS := tests/integration
PICTURES := tests/detect tests/media tests/propainter tests/restore

test-programs: $(VENV)/.full
	$(BIN)/python -m pytest $(PROGRAMS) -m "not ($(INFRA))"

test-pictures: $(VENV)/.full
	$(BIN)/python -m pytest $(PICTURES) -m "not ($(INFRA))"

test-others: $(VENV)/.full
	$(BIN)/python -m pytest $(PROGRAMS:%=--ignore=%) $(PICTURES:%=--ignore=%) --ignore=tests/spool -m "not ($(INFRA))"

# with the floor of what its quick tests must reach (pyproject.toml)
test-spool: $(VENV)/.full
	$(BIN)/python -m coverage run -m pytest tests/spool -m "not ($(INFRA) or slow)"
	$(BIN)/python -m coverage report
	$(BIN)/python -m pytest tests/spool -m "slow and not ($(INFRA))"

test-infra: $(VENV)/.full
	$(BIN)/python -m pytest -m "$(INFRA)"

check: $(VENV)/.full
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# lint, types and the quick tests, without the neural extra (torch alone is some 5 GB)
check-light: $(VENV)/.checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/unit tests/spool -m "not ($(INFRA) or neural or slow)"

format: $(VENV)/.checks
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(VENV)/.light: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	$(CV2_WITHOUT_LIBGL)
	touch $@

$(VENV)/.checks: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable . --group dev
	$(CV2_WITHOUT_LIBGL)
	touch $@

$(VENV)/.full: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[neural,text]" --group dev
	$(CV2_WITHOUT_LIBGL)
	touch $@

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
