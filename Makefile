# The verbs of meshkit. `make demo` and `make test` work on a fresh machine; `make help` lists the rest.
PY := .venv/bin/python
MESH ?= istio
SEED ?= 20
.DEFAULT_GOAL := help
.PHONY: help setup demo test check docs conformance soak bench lab constraints clean

help:            ## list the verbs
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

setup:           ## make .venv with everything
	@tools/setup sandbox,lab,docs,test

demo:            ## the whole path on the sandbox: make demo [MESH=linkerd]
	@tools/setup sandbox
	@.venv/bin/meshkit demo --mesh $(MESH) --out out/demo

test: check      ## every test that needs no Go, browser included
	@tools/browser
	@$(PY) tools/helm.py >/dev/null
	@$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 12 $(ARGS)

check: setup docs  ## lint, format, types, layers, docs
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@$(PY) -m pytest -q tests/architecture

docs: setup      ## the documentation site, into out/docs; warnings are errors
	@$(PY) -m tools.docs

conformance: setup  ## the same contracts on real parts
	@$(PY) tests/conformance/parts.py || [ -z "$$CI" ]
	@tools/prometheus
	@$(PY) -m pytest -m conformance $(ARGS)

soak: setup      ## the long forms of the tests: make soak [SEED=1]
	@SEED=$(SEED) $(PY) -m pytest -m soak $(ARGS)

bench: setup     ## what is promised here, as numbers
	@$(PY) -m benchmarks

lab:             ## JupyterLab on the notebooks
	@tools/setup sandbox,lab
	@.venv/bin/meshkit lab

constraints: setup  ## write constraints.txt from what .venv holds
	@$(PY) tools/constraints.py > constraints.txt.new && mv constraints.txt.new constraints.txt

clean:           ## remove .venv and what was made
	rm -rf .venv out build *.egg-info
