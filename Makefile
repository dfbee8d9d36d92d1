# `make demo` runs the main job on a fresh machine, `make test` passes the tests, `make results` reproduces
# the README's tables; all do their own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PANGO := libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core
BROWSER := chromium libatomic1
PIP := $(BIN)/pip --disable-pip-version-check install

# One thread per process, and threads that sleep while they wait: spinning ones cost ten times on a busy machine.
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: demo test results chaos mutants lint install clean

demo: $(VENV)/.runtime
	$(BIN)/clinimm demo

test: lint
	@echo "== tests, on two processes"
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not slow"
	@echo "== slow tests"
	$(BIN)/python -m pytest -n 2 --dist loadscope -m slow

# make results DATA=DIR [ONLY="covid gates"] [AGAIN=1]: what is in results/ already is not run again.
results: $(VENV)/.runtime
	@echo "== every table of the README, two benchmarks at a time"
	$(BIN)/python benchmarks/results.py $(if $(DATA),--data "$(DATA)") $(if $(ONLY),--only $(ONLY)) $(if $(AGAIN),--again)

# make chaos [KILLS=1000] [DATABASE=postgresql] [SEED=1]: the service under random SIGKILLs, and what is true after it.
chaos: $(VENV)/.dev
	@echo "== chaos"
	PYTHONPATH=tests:. $(BIN)/python -m chaos --kills $(or $(KILLS),1000) --database $(or $(DATABASE),sqlite) --seed $(or $(SEED),1)

# make mutants [MUTANTS=80] [SEED=1] [AGAIN=1]: which small faults in the code that safety hangs on no test notices.
mutants: $(VENV)/.mutants
	@echo "== mutants"
	$(BIN)/python benchmarks/mutation_scores.py --mutants $(or $(MUTANTS),80) --seed $(or $(SEED),1) $(if $(AGAIN),--again)

lint: $(VENV)/.dev
	@echo "== style, types, import map"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(VENV)/.runtime

$(BIN)/pip:
	@echo "== making $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "clinimm needs Python 3.11 or later"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { [ "$$(id -u)" = 0 ] && apt-get install -y python3-venv; } || \
		{ echo "Python cannot make environments here. Type: sudo apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.txt pyproject.toml | $(BIN)/pip
	@echo "== installing the pinned requirements (about 1.8 GB; a minute or two)"
	$(PIP) -r requirements.txt
	$(PIP) --no-deps --editable .
	@$(BIN)/python -c 'import weasyprint' 2>/dev/null || \
		{ [ "$$(id -u)" = 0 ] && apt-get update && apt-get install -y $(PANGO); } || \
		echo "Reports will be JSON and HTML alone. For PDF type: sudo apt-get install $(PANGO)"
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	@echo "== installing what tests and linters need"
	$(PIP) -r requirements-dev.txt
	@{ command -v chromium && $(BIN)/playwright --version; } >/dev/null 2>&1 || \
		{ [ "$$(id -u)" = 0 ] && apt-get update && apt-get install -y $(BROWSER); } || \
		{ echo "The pages are tested in a browser. Type: sudo apt-get install $(BROWSER)"; exit 1; }
	@touch $@

$(VENV)/.mutants: requirements-mutants.txt $(VENV)/.dev
	@echo "== installing what mutants need"
	$(PIP) -r requirements-mutants.txt
	@touch $@

clean:
	rm -rf $(VENV) demo runs reports mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
