# `make help` lists what there is. Nothing has to be installed by hand on Debian 12 as root.
.DEFAULT_GOAL := help
.PHONY: help setup check generate site images test demo up down

KUBE_CONTEXT ?=

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## the whole line on this machine, or on a cluster of yours: make demo KUBE_CONTEXT=NAME
	@scripts/setup.sh $(if $(KUBE_CONTEXT),,--programs)
	@KUBE_CONTEXT='$(KUBE_CONTEXT)' .venv/bin/python examples/semanlink/demo.py

test: ## every test, also those on the local cluster
	@scripts/setup.sh --programs --lanes
	@scripts/test.sh

down: ## remove the local cluster: no process, mount or address is left
	@if [ -x .venv/bin/python ]; then .venv/bin/python tests/cluster down; else echo "There is no cluster: nothing is set up here."; fi

setup: ## Debian packages (as root), uv, .venv
	@scripts/setup.sh

check: ## format, lint, types, layers, generated files, docs, fast tests
	@scripts/setup.sh
	@scripts/check.sh

generate: ## CRDs and reference from the API types, pages of models, formats and commands from tests and types
	@scripts/setup.sh
	@.venv/bin/python -m bluetune_api.generate
	@.venv/bin/python scripts/models_page.py
	@.venv/bin/python scripts/formats_page.py
	@.venv/bin/python scripts/cli_page.py

site: ## the docs as a site, in out/site
	@scripts/setup.sh
	@scripts/site.sh
	@echo "out/site/index.html"

images: ## the container images of operator and trainer
	@scripts/setup.sh
	@scripts/images.sh

up: ## the local cluster
	@scripts/setup.sh --programs
	@.venv/bin/python tests/cluster up
