# Needs Python 3.11 or newer with its venv module, make, sh and coreutils; everything else it gets by itself.

PYTHON = python3
# Tests and tools have an environment of their own, so that nothing here changes the one of the README's quick start (.venv).
VENV = .venv-test
BIN = $(VENV)/bin
INSTALLED = $(VENV)/installed

.PHONY: help test check lint format golden designer notebooks screenshots bench mutants chaos clean

help: ## show this list
	@while IFS= read -r line; do \
	    case $$line in [a-z]*:*'## '*) printf '  make %-12s %s\n' "$${line%%:*}" "$${line##*## }" ;; esac; \
	done <Makefile

test: lint ## everything that CI runs: format, lint, types, then all tests
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist worksteal --durations=25

check: test ## the same as test

lint: $(INSTALLED) ## formatting, lint and types, no tests
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy

format: $(INSTALLED) ## format the code and fix what ruff can fix
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

golden: $(INSTALLED) ## rewrite tests/golden and what is generated; read the diff before you commit
	$(BIN)/python docs/generate.py
	PGWEAVE_UPDATE_GOLDEN=1 $(BIN)/pytest --quiet $$(grep -rl --include='test_*.py' PGWEAVE_UPDATE_GOLDEN tests)
	$(BIN)/pgweave render examples/parent_child.df -o docs/parent_child.svg

designer: $(INSTALLED) ## build the designer's page from designer/web; needs Node 18 or newer and npm
	$(BIN)/python -m pgweave.notebooks.codemirror
	$(BIN)/python -m pgweave.designer.colours
	cd designer/web && npm ci --no-audit --no-fund && npm run check && npm run build

notebooks: $(INSTALLED) ## run the tutorials and store what they show now; read the diff before you commit
	PGWEAVE_UPDATE_NOTEBOOKS=1 $(BIN)/pytest --quiet tests/notebooks/test_tutorials.py

screenshots: $(INSTALLED) ## take the pictures of the canvas in the README; needs chromium
	$(BIN)/python tests/browser/screenshots.py

bench: $(INSTALLED) ## run the benchmarks
	@for file in benchmarks/*.py; do $(BIN)/python "$$file" || exit; done

mutants: $(INSTALLED) ## plant bugs one by one and see that tests fail; takes a quarter of an hour
	$(BIN)/python tests/mutants/plant.py

SECONDS = 60
SEED =
chaos: $(INSTALLED) ## kill, cut, stop and fill everything for a while and see that nothing is lost: SECONDS=600 SEED=1
	PYTHONPATH=tests $(BIN)/python -m chaos --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

clean: ## remove the tests' environment and everything that was built or cached; .venv stays
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	$(PYTHON) -c 'import pathlib, shutil; [shutil.rmtree(p) for p in pathlib.Path().rglob("__pycache__") if ".venv" not in p.parts]'

# Made when it is missing, and brought up to date when pyproject.toml is newer. A folder without pip is what
# `python3 -m venv` leaves behind where Debian's python3-venv is missing; then it is made again from nothing.
$(INSTALLED): pyproject.toml
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all,test]'
	@touch $@
