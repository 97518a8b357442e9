# On a fresh machine each of these does all the set-up it needs, in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo docs docs-serve starter table test test-slow lint check speed ablations clean
demo: .venv/ready        ## train on built-in scenes, score, and write runs/demo/report.html
	$(BIN)/soundspot demo --overwrite

starter: .venv/ready     ## train, package and score the model that comes with the library (SOUNDSPOT_REALSET, SOUNDSPOT_REALSET2; over an hour)
	$(BIN)/python examples/starter.py

table: .venv/ready       ## the study `scenes`: every method alike on scenes, with seeds, into docs/table (an hour on two cores)
	$(BIN)/soundspot study scenes -o docs/table

test: .venv/ready        ## the test suite, on as many cores as there are
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal

test-slow: .venv/ready   ## the tests that take minutes
	$(BIN)/pytest -m slow

lint: .venv/ready        ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

check: lint test

speed: .venv/ready       ## ratios against the plain ways, measured in one run
	$(BIN)/python -m benchmarks

docs: .venv/ready        ## the documentation as a site, in site/
	$(BIN)/mkdocs build --strict --quiet

docs-serve: .venv/ready  ## the same at a local address, written anew as pages change
	$(BIN)/mkdocs serve

ablations: .venv/ready   ## the study `ablations`: what makes the alignment method localize, into docs/ablations (about an hour and a half)
	$(BIN)/soundspot study ablations -o docs/ablations

# torch goes first and by itself, so that a machine's own choice of build is kept by what comes after.
.venv/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis dist site
