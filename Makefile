# Two commands: `make demo` and `make test`. Each makes its own environment from the lock.
# What follows `##` is what `make help` prints.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
DEMO_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?= --write
DURATION ?= 600
SEED ?=

.DEFAULT_GOAL := help
.PHONY: help demo shell test quick chaos screenshots bench bench-functions check format schemas wheel lock clean

help:  ## What can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/embedded.stamp  ## Kafka, engine, store, traffic and page on this machine
	@exec $(BIN)/rater demo $(DEMO_ARGS)

shell: $(VENV)/embedded.stamp  ## A shell that has `rater` on its path
	@PATH="$(CURDIR)/$(BIN):$$PATH" exec "$${SHELL:-/bin/sh}"

# In the order of the folders: the files of tests/faults are the longest, so they go first.
test: check  ## Format, types, lint and all tests, real Kafka included
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# Whatever a rule can break: no broker, no browser, no wheel. Red here is red in `make test`.
QUICK := tests/rater tests/streams/test_batch.py tests/streams/test_columns.py \
	tests/test_contracts.py tests/test_docs.py tests/test_repository.py
quick: $(VENV)/dev.stamp  ## Lint, the rules' tests and the repository's own, in less than a minute
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -q -n 2 $(QUICK) $(PYTEST_ARGS)

bench: $(VENV)/bench.stamp  ## All tables of this machine, into docs/benchmarks.md; BENCH_ARGS="--only line,ages" prints some
	$(BIN)/python -m tests.bench.run $(BENCH_ARGS)

bench-functions: $(VENV)/dev.stamp  ## Each step of the line as a function; compare the rows of a run
	$(BIN)/python -m pytest tests/bench/functions.py --benchmark-warmup=on --benchmark-disable-gc \
		--benchmark-group-by=func --benchmark-columns=min,median,iqr,rounds $(PYTEST_ARGS)

chaos: $(VENV)/dev.stamp  ## Random faults for DURATION seconds, by SEED; status 1 on a difference
	$(BIN)/python -m tests.faults.chaos --duration $(DURATION) $(if $(SEED),--seed $(SEED))

screenshots: $(VENV)/dev.stamp  ## Pictures of the pages, into docs/images (needs Chromium)
	$(BIN)/python -m tests.support.screenshots

check: $(VENV)/dev.stamp  ## Format, lint and types, without tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/dev.stamp  ## Formats all files and mends what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schemas: $(VENV)/dev.stamp  ## Writes schemas/events and schemas/asyncapi.json from the structs
	$(BIN)/python -m streams.kafka.contracts

wheel: $(VENV)/dev.stamp  ## dist/usage_rater-VERSION-py3-none-any.whl
	$(BIN)/python -m build --wheel --no-isolation --outdir dist

$(VENV)/python.stamp:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none was found (PYTHON=... names one)"; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/embedded.stamp: $(VENV)/python.stamp requirements/embedded.lock pyproject.toml
	@echo "installing from requirements/embedded.lock (once, a few minutes at most) ..."
	@$(PIP) install --require-hashes -r requirements/embedded.lock
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/embedded.stamp requirements/dev.lock
	@echo "installing from requirements/dev.lock (once) ..."
	@$(PIP) install --require-hashes -r requirements/dev.lock
	@touch $@

# Without pip's own resolving: bench.override says which bound of the rivals does not hold.
$(VENV)/bench.stamp: $(VENV)/dev.stamp requirements/bench.lock
	@echo "installing from requirements/bench.lock (once) ..."
	@$(PIP) install --require-hashes --no-deps -r requirements/bench.lock
	@touch $@

# Universal: one lock for Python 3.11 and newer on every platform; no index address in it.
UV_COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" --no-emit-index-url --no-emit-find-links

lock:  ## Resolves the locks again (needs uv)
	$(UV_COMPILE) pyproject.toml -o requirements/runtime.lock
	$(UV_COMPILE) requirements/build.in -o requirements/build.lock
	$(UV_COMPILE) pyproject.toml requirements/build.in --extra embedded \
		-c requirements/runtime.lock -o requirements/embedded.lock
	$(UV_COMPILE) pyproject.toml requirements/build.in --extra embedded --extra dev \
		-c requirements/embedded.lock -o requirements/dev.lock
	$(UV_COMPILE) pyproject.toml requirements/build.in --extra embedded --extra dev --extra bench \
		-c requirements/dev.lock --override requirements/bench.override \
		-o requirements/bench.lock

clean:  ## Removes the environment, what was built and the demo's data
	rm -rf $(VENV) .rater build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
