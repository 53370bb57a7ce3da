# What a developer types; CONTRIBUTING.md says when.  `make test` is the README's second command.

PYTHON ?= python3
VENV ?= .venv

.PHONY: develop check test quick build clean

develop:            ## an editable install with everything a developer needs
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -e '.[test,dev]'

check:              ## style, types, floor plan
	ruff check .
	mypy
	lint-imports

quick:              ## the tests that need no cluster
	pytest -m 'not cluster'

test:
	python3 -m venv --clear .venv-test && .venv-test/bin/pip install '.[test,dev]' && .venv-test/bin/pytest

build:              ## sdist and wheel, in dist/
	$(PYTHON) -m build

clean:
	rm -rf build dist .venv-test src/*.egg-info
	rm -f src/_native/genome.c src/_native/nonce.c src/_native/pieces.c src/_native/syncer.c src/_native/nonce_generated_*.h src/_native/*.html src/tasksprint/native/*.so
