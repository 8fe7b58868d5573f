# Commands for development. `make demo` and `make test` work on a fresh machine; `make help` lists all.
PY := .venv/bin/python
MESH ?= istio
SEED ?= 20
# A test starts dozens of Python processes: without bytecode files, each would compile meshkit again.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.PHONY: help setup demo test check docs conformance cluster soak bench lab dist constraints clean

help:            ## list the commands
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

setup:           ## create .venv with everything
	@tools/setup

demo:            ## walk the whole path on the sandbox: make demo [MESH=linkerd]
	@tools/setup
	@.venv/bin/meshkit demo --mesh $(MESH) --out out/demo

test: check      ## run every test that needs no Go, including the browser tests
	@tools/browser
	@$(PY) tools/helm.py >/dev/null
	@$(PY) tools/run_tests.py -n 2 --dist loadfile --no-loadscope-reorder --durations 12 \
	  --ignore tests/architecture $(ARGS)

check: setup docs  ## check lint, format, types, layers, docs
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@$(PY) -m pytest -q tests/architecture

docs: setup      ## build the documentation site into out/docs; warnings are errors
	@$(PY) -m tools.docs

conformance: setup  ## run the same contracts on real Kubernetes and Istio programs
	@$(PY) tests/conformance/parts.py || [ -z "$$CI" ]
	@tools/prometheus
	@$(PY) tools/run_tests.py -m conformance $(or $(ARGS),tests/contract tests/conformance)

cluster: setup   ## walk the whole path on a real Kubernetes cluster of this machine
	@$(PY) tests/conformance/parts.py || [ -z "$$CI" ]
	@$(PY) tools/helm.py >/dev/null
	@$(PY) -m pytest -x -m cluster $(or $(ARGS),tests/cluster)

soak: setup      ## run the long forms of the tests: make soak [SEED=1]
	@SEED=$(SEED) $(PY) -m pytest -m soak $(ARGS)

bench: setup     ## measure the figures that meshkit promises
	@$(PY) -m benchmarks

lab:             ## open JupyterLab with the notebooks
	@tools/setup
	@.venv/bin/meshkit lab

dist: setup      ## write the wheel, the sdist, an SBOM and their hashes into dist/
	@$(PY) -m tools.dist

constraints: setup  ## write constraints.txt, with hashes: make constraints [ARGS=--upgrade]
	@$(PY) tools/constraints.py $(ARGS)

clean:           ## remove .venv and all build results
	rm -rf .venv out build dist *.egg-info
