# Two commands hold on a fresh machine: `make demo` and `make test`. `make help` lists the others.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
DEMO := examples/tth
DEMO_EVENTS ?= 78000

export TF_CPP_MIN_LOG_LEVEL ?= 3
# Where the testbed's batch systems live; GRIDLOOM_TESTBED says it to the tests.
test-site test-arm64 bench-site: export GRIDLOOM_TESTBED ?= /var/tmp/gridloom-testbed

.PHONY: help env demo test test-site test-arm64 lint types soak bench bench-peers bench-site docs lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

env: $(LOCKED) ## Build the locked environment in .venv

$(LOCKED): requirements/lock.txt requirements/uv.txt pyproject.toml
	@$(PYTHON) requirements/check_python.py
	@echo "Building the locked environment in $(VENV) (about a minute)"
	@$(PYTHON) -m venv $(VENV) || { echo "The venv module is missing: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode --require-hashes -r requirements/lock.txt
	@$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation --quiet --editable .
	@touch $@

demo: $(LOCKED) ## Simulate ttH and tt+jets, train, judge, report (under five minutes on two cores)
	$(BIN)/python $(DEMO)/simulate.py --events $(DEMO_EVENTS) --out $(DEMO)/data --jobs $(JOBS)
	$(BIN)/gridloom run $(DEMO)/analysis.yaml --jobs $(JOBS)

test: lint ## Lint, types, import contracts and all tests (ten to twenty minutes on two cores)
	$(BIN)/python -m pytest -n $(JOBS) --cov --cov-report=term:skip-covered -m "not soak"

lint: $(LOCKED) ## Ruff, mypy and the import contracts
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The tests take turns: each of them has the batch systems, which some stop and start, to itself. One that waits for ever is
# interrupted, so that it is named.
test-site: $(LOCKED) ## Tests on real batch systems and containers: brings testbed/ up (as root on Debian) and down again
	testbed/up htcondor slurm apptainer docker podman
	@code=0; timeout --signal=INT --kill-after=60 2700 $(BIN)/python -m pytest tests/site \
	    -m "site and not accounting and not arm64" --durations=10 || code=$$?; \
	  if [ $$code = 0 ]; then testbed/up accounting && \
	    $(BIN)/python -m pytest tests/site -m "site and accounting" || code=$$?; fi; \
	  testbed/down $(TESTBED_DOWN); exit $$code

test-arm64: $(LOCKED) ## The image for arm64 under emulation: builds, trains, scores alike (as root; half an hour)
	testbed/up docker arm64
	@code=0; $(BIN)/python -m pytest tests/site -m "site and arm64" -s || code=$$?; testbed/down $(TESTBED_DOWN); exit $$code

soak: $(LOCKED) ## The long tests: kills, toys, leakage
	$(BIN)/python -m pytest -n $(JOBS) -m soak

bench: $(LOCKED) ## Throughput and start-up beside their limit and their peers
	$(BIN)/python benchmarks/reading.py
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/startup.py

bench-peers: $(LOCKED) ## Training beside weaver-core, ROOT, tf.data and pandas, each in its own environment (half an hour)
	$(BIN)/python benchmarks/peers.py --environments build/peers

bench-site: $(LOCKED) ## Rates of jobs beside the bare schedulers', on testbed/ (as root)
	testbed/up htcondor slurm
	$(BIN)/python benchmarks/submission.py
	testbed/down

docs: $(LOCKED) ## Regenerate schemas and references of the analysis file and of sites
	$(BIN)/python -m gridloom.analysis.schema
	$(BIN)/python -m gridloom.analysis.reference docs/reference/analysis-file.md
	$(BIN)/python -m gridloom.expressions.reference
	$(BIN)/python -m gridloom.sites.schema
	$(BIN)/python -m gridloom.sites.reference docs/reference/sites.md

lock: $(LOCKED) ## Renew the locked versions
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
	  --extra cpu --extra export --extra htcondor --extra examples --extra jax --group dev pyproject.toml -o requirements/lock.txt
	for variant in cpu cuda; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --upgrade --extra $$variant --extra worker -c requirements/lock.txt pyproject.toml \
	    -o requirements/image-$$variant.txt || exit 1; done
	echo "uv>=0.9" | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --upgrade - -o requirements/uv.txt
	printf '%s\n' uv hatchling | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-header -c requirements/uv.txt -c requirements/lock.txt - -o requirements/image-build.txt

clean: ## Remove the environment, the demo's files and caches
	rm -rf $(VENV) $(DEMO)/data runs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
