# Everything runs in an own virtual environment; a fresh machine needs Python 3.11 to 3.13 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: run dev test test-fast soak load bench lint docs lock clean

# The lineage of a made-up store, to its answers. END=2026-11-16 makes one that ends there, for the same output always.
run: $(VENV)/installed
ifdef END
	$(BIN)/plant-assets sample .plant/demo --end $(END)
	$(BIN)/plant-assets run --source .plant/demo --warehouse .plant/demo.duckdb
else
	$(BIN)/plant-assets run
endif

# Dagster's web server and daemon, on the records of the same warehouse. PORT=3001 where 3000 is taken.
PORT := 3000
dev: $(VENV)/installed
	$(BIN)/plant-assets dev --port $(PORT)

test: $(VENV)/installed-for-tests lint
	$(BIN)/python -m pytest --numprocesses auto --dist loadscope

# Unit tests on DuckDB.
test-fast: $(VENV)/installed-for-tests
	$(BIN)/python -m pytest --numprocesses auto --dist loadscope -m "not (spark or postgres or browser or slow)"

# Faults against real runs and operations, and their tables in docs/reliability.md: kills at drawn moments, full disks,
# spoilt sources, wrong clocks, falsified weeks, changes of definition, mutants. ONLY=full-disks, killed-operations,
# clocks, falsified, definitions or mutants does one part.
KILLS ?= 100
soak: $(VENV)/installed
	$(BIN)/python -m bench.soak --kills $(KILLS) $(if $(ONLY),--only $(ONLY))

# Measures this project against others, into docs/performance.md. SIZES="1_000_000 greenery" REPEATS=3
SIZES ?= 10_000 1_000_000 greenery inventory
REPEATS ?= 3
bench: $(VENV)/installed-for-bench
	$(BIN)/python -m bench.compare --repeats $(REPEATS) $(SIZES)

# Many runs at once beside a reader.
load: $(VENV)/installed
	$(BIN)/python -m bench.load

lint: $(VENV)/installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell README.md CONTRIBUTING.md CHANGELOG.md docs plant_assets plant_assets_tests bench
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/dg check defs

# Regenerates docs/graph.md from the definitions.
docs: $(VENV)/installed
	$(BIN)/python -m docs.graph

# Renews constraints.txt: the newest versions that fit pyproject.toml together.
lock:
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench,test]'
	$(VENV)-lock/bin/python -m pip freeze --exclude-editable > constraints.txt
	rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) $(VENV)-dbt .plant

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .
	touch $@

$(VENV)/installed-for-tests: $(VENV)/installed
	$(INSTALL) --editable '.[bench,test]'
	touch $@

$(VENV)/installed-for-bench: $(VENV)/installed
	$(INSTALL) --editable '.[bench]'
	touch $@
