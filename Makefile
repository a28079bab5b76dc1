# One command sets up and runs the demo, one passes the tests; `make help` lists the rest.
export REFINEBIO_HOME ?= $(CURDIR)/refinebio_home
export DAGSTER_HOME ?= $(CURDIR)
BIN := .venv/bin
PROBE_TAB := /usr/lib/R/site-library/AnnotationDbi/extdata/HG-U95Av2_probe_tab.gz

.PHONY: help setup demo test test-all lint format types dev bench lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: ## install everything that is missing
	@containers/setup.sh

demo: ## set up, process real reads through Dagster, print the first query and its answer
	@containers/setup.sh demo
	@$(BIN)/refinebio reference examples/demo/reference.yaml
	@$(BIN)/python examples/demo/simulate_arrays.py $(PROBE_TAB) $(REFINEBIO_HOME)/simulated_arrays
	@$(BIN)/refinebio survey examples/demo/samples.tsv $(REFINEBIO_HOME)/simulated_arrays/samples.tsv
	@$(BIN)/refinebio process E-MTAB-1147 KALLISTO-EXAMPLE SIMULATED-ARRAYS
	@$(BIN)/python examples/demo/first_query.py

test: ## set up, lint, check types, run the tests
	@containers/setup.sh test
	@$(MAKE) --no-print-directory lint types
	@$(BIN)/pytest -m 'not slow'

test-all: ## the same with the slow tests
	@containers/setup.sh test
	@$(MAKE) --no-print-directory lint types
	@$(BIN)/pytest

lint:
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types:
	@$(BIN)/mypy

format: ## bring the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

dev: ## open the Dagster UI on http://localhost:3000
	@containers/setup.sh
	@cd $(CURDIR) && $(BIN)/dagster dev -w workspace.yaml

bench: ## run the benchmarks (the layout of expression values: small, see its --help)
	@containers/setup.sh test
	@for each in $(filter-out benchmarks/expression_layout.py,$(wildcard benchmarks/*.py)); do \
	  echo "== $$each"; $(BIN)/python $$each || exit 1; done
	@echo "== benchmarks/expression_layout.py"; $(BIN)/python benchmarks/expression_layout.py --quick

lock: ## resolve requirements.lock anew from pyproject.toml
	@uv pip compile pyproject.toml --extra r --group dev --universal --generate-hashes \
	  --no-annotate --no-header -q --upgrade -o requirements.lock

clean: ## remove what the demo made
	@rm -rf $(REFINEBIO_HOME) .dagster
