PYTHON ?= python3.11
PROFILE ?= standard
UV := 0.13.9
BIN := .venv/bin
ENV := .venv/.installed
SMOKE := build/smoke
SOURCES := pyproject.toml requirements.lock environment.yml postBuild Makefile _config.yml \
	CHANGELOG.md CITATION.cff CONTRIBUTING.md LICENSE README.md .ci benchmarks book docs notebooks src tests

export PYDEVD_DISABLE_FILE_VALIDATION := 1
export JUPYTER_PLATFORM_DIRS := 1

.DEFAULT_GOAL := help
.PHONY: help report test lint format lock clean FORCE

help:
	@echo "make report   build the report and say which page to open (PROFILE=smoke, standard or full)"
	@echo "make test     run every check: style, types, imports, tests, notebooks, book, browser"
	@echo "make lint     run only the checks of style, types and imports"
	@echo "make format   format the code"
	@echo "make lock     solve requirements.lock anew from pyproject.toml"
	@echo "make clean    remove what was built; the environment in .venv stays"

report: $(ENV)
	@$(BIN)/ecguard report --profile $(PROFILE)

test: lint build/tests-passed
	@echo "All checks passed. To run them again: rm build/tests-passed"

lint: $(ENV)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(ENV)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: $(ENV)
	$(BIN)/uv pip compile --quiet --upgrade --all-extras --generate-hashes --no-header --no-annotate \
		--python-version 3.11 pyproject.toml --output-file requirements.lock

clean:
	rm -rf _build build book/extra book/chapters book/generated

$(ENV): requirements.lock pyproject.toml
	@echo "Installing the environment into .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirements requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# What the tests depend on, by content: written anew only when something differs.
build/test-inputs: FORCE
	@mkdir -p build
	@{ ls -d ../shared 2>/dev/null; command -v chromium; \
	   find $(SOURCES) -type f ! -path '*/__pycache__/*' ! -path '*.egg-info/*' ! -path '*/.ipynb_checkpoints/*' \
	     ! -path 'book/extra/*' ! -path 'book/chapters/*' ! -path 'book/generated/*' -print0 \
	     | LC_ALL=C sort -z | xargs -0 sha256sum; } > $@.new || true
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

build/tests-passed: build/test-inputs $(ENV)
	@mkdir -p $(SMOKE)/book
	@rm -rf $(SMOKE)/notebooks $(SMOKE)/book/_ext $(SMOKE)/book/_static $(SMOKE)/book/*.*
	@tar --create --exclude=book/extra --exclude=book/chapters --exclude=book/generated \
		--exclude=__pycache__ --exclude=.ipynb_checkpoints _config.yml book notebooks \
		| tar --extract --directory $(SMOKE)
	@$(BIN)/ecguard report --profile smoke --root $(SMOKE)
	@ECGUARD_SITE=$(CURDIR)/$(SMOKE)/_build/html $(BIN)/python -m pytest -n 2 --dist loadfile \
		--nbval-lax --nbval-cell-timeout 900 notebooks tests
	@touch $@
