# make app | test | lint | bench | weights; each sets up its own virtual environment first.
#
# PYTHON=python3.12 make test   uses .venv-python3.12 instead of .venv
# make test VENV=folder         uses that one, whatever VENV is in the environment

ifdef PYTHON
VENV := .venv-$(notdir $(PYTHON))
else
PYTHON := python3
VENV := .venv
endif
BIN := $(VENV)/bin
SOURCES := ddg_explorer apps tests benchmarks docs
PORT ?= 5006

.PHONY: help app test lint format types unit bench weights build constraints clean

help:
	@echo "make app          serve the explorer at http://localhost:$(PORT)/explorer and open it"
	@echo "make test         lint, types and all tests, also those in a browser"
	@echo "make lint         ruff and pyright only;  make format: let ruff rewrite"
	@echo "make unit         the tests that need no browser"
	@echo "make bench        the timed comparisons with other packages"
	@echo "make weights      train the shipped models that are missing"
	@echo "make build        source distribution and wheel in dist/"
	@echo "make constraints  write the versions now installed to constraints.txt"

app: $(VENV)/.app
	$(BIN)/ddg-explorer serve --port $(PORT) --open

test: lint
	$(BIN)/python -m pytest -m "not browser" -n logical --dist loadscope
	$(BIN)/python -m pytest -m browser

lint: $(VENV)/.dev
	$(BIN)/ruff check $(wildcard $(SOURCES))
	$(BIN)/ruff format --check $(wildcard $(SOURCES))
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/.dev
	$(BIN)/ruff check --fix $(wildcard $(SOURCES))
	$(BIN)/ruff format $(wildcard $(SOURCES))

unit: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not browser" -n logical --dist loadscope

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

weights: $(VENV)/.dev
	$(BIN)/python -m ddg_explorer.weights

build: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet build
	$(BIN)/python -m build --outdir dist

constraints: $(VENV)/.dev
	head -1 constraints.txt > constraints.tmp
	$(BIN)/python -m pip freeze --all --exclude-editable --exclude pip --exclude build \
		--exclude pyproject_hooks > constraints.all
	awk -F== '{gsub("_", "-", $$1); sub(/\+.*/, "", $$2); print tolower($$1) "==" $$2}' constraints.all \
		| LC_ALL=C sort -t= -k1,1 >> constraints.tmp
	rm constraints.all
	mv constraints.tmp constraints.txt

# A stamp is older than the files it depends on when the environment has to be brought up to date.
$(VENV)/.app $(VENV)/.dev: $(VENV)/.%: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[$*]"
	@touch $@

$(BIN)/python:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed')"
	$(PYTHON) -m venv $(VENV)

# Removes no environment that lies elsewhere, or has a name of its own.
clean:
	rm -rf $(if $(findstring /,$(VENV)),,$(filter .venv%,$(VENV))) build dist .pytest_cache .ruff_cache
