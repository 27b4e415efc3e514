# Needs only make and Python 3.11 or later; everything else goes into .venv, no activation needed.
PYTHON ?= python3
BIN = .venv/bin
READY = .venv/.ready
WORKERS = 2
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.PHONY: train test test-lowest test-newest test-wheel test-unit test-training test-system lint audit lock docs gallery notebooks pictures gallery-check bench ui clean

train: $(READY) ## train a CNN on real handwritten digits
	$(BIN)/samerun train

test: test-unit test-training test-system ## run the tests, without the slow ones

test-system: WORKERS = 3 # its tests wait for other processes half of the time
test-unit test-training test-system: test-%: $(READY) ## one room of them
	$(BIN)/pytest tests/$* -m "not slow and not gallery" -n $(WORKERS) --dist worksteal $(PYTEST)

test-lowest test-newest: $(READY) ## run the unit tests with the lowest or the newest versions that pyproject.toml allows
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/$@
	$(BIN)/uv pip install --quiet --python .venv/$@ --resolution $(if $(filter %lowest,$@),lowest-direct,highest) -e '.[test]'
	.venv/$@/bin/python -m pytest tests/unit -m "not slow" -p no:cacheprovider

test-wheel: $(READY) ## import every module of the built wheel in an empty environment
	rm -rf .venv/wheels && $(BIN)/python -m build --wheel --outdir .venv/wheels . >/dev/null
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/$@
	$(BIN)/uv pip install --quiet --python .venv/$@ .venv/wheels/*.whl
	cd .venv/wheels && ../$@/bin/python ../../.ci/imports.py

lint: $(READY) ## style, spelling and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

audit: $(READY) ## known vulnerabilities of what requirements.lock pins
	$(BIN)/python .ci/audit.py

lock: $(READY) ## resolve the dependencies of pyproject.toml again, for all systems
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --quiet --upgrade --extra dev pyproject.toml -o requirements.lock

docs: $(READY) ## build the documentation: open build/docs/index.html; links to other sites are in build/docs/external-links.txt
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet --fresh-env --write-all --jobs 2 docs build/docs

gallery: $(READY) ## write experiments/README.md and the options in README.md
	$(BIN)/samerun experiments --markdown > experiments/README.md
	$(BIN)/python tools/options.py > /dev/null

notebooks: $(READY) ## run docs/notebooks/*.md and store what they show as .ipynb
	$(BIN)/python tools/notebooks.py

pictures: $(READY) ## train what the pictures of README and docs/ show, and take them with Chromium
	$(BIN)/python tools/pictures.py

gallery-check: $(READY) ## before a release: every experiment to its score, every model on every data set, README's and the how-to pages' commands
	$(BIN)/pytest tests -m gallery -n 2 --dist worksteal

bench: $(READY) ## run the rows of goals in less than an hour, or ROWS="1 3"; write benchmarks/RESULTS.md and README's table
	$(BIN)/python benchmarks/run_all.py $(ROWS)

ui: $(READY) ## open the MLflow UI on the runs
	$(BIN)/samerun ui

clean: ## remove the environment and what tools left behind; runs stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache build dist src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for the whole environment: made again when a dependency changes. uv installs the lock
# file in a fraction of pip's time; pip takes over where uv fails, since only pip reads pip.conf.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else f"samerun needs Python 3.11 or later, and {sys.executable} is {v[0]}.{v[1]}: use make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	@awk '/^[a-z]/ {keep = /^uv==/} keep' requirements.lock >.venv/uv.txt
	@{ $(PIP) -r .venv/uv.txt --only-binary :all: && $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock; } \
		>.venv/uv.log 2>&1 || { echo "uv could not install the packages (.venv/uv.log); pip does, which takes longer."; $(PIP) -r requirements.lock; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $(READY)
