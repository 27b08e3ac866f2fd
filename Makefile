PYTHON ?= python3
BIN := .venv/bin
# Where pip finds a CPU build of PyTorch, for instance: make setup PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_FLAGS ?=

.PHONY: help setup page types screenshots demo reproduce test check fix bench lock

# The page in the browser is built with Node, 20.19 or newer. All else works without.
WEB := service/web
NODE := $(shell node -e 'const [a, b] = process.versions.node.split(".").map(Number); if (a > 20 || (a == 20 && b >= 19)) console.log("node")' 2>/dev/null)
PAGE_SOURCES := $(wildcard $(WEB)/*.json $(WEB)/*.ts $(WEB)/plugins/*.ts) $(shell find $(WEB)/src -type f -not -path '*/node_modules/*')

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.installed ## Make .venv, install SceneRank with its locked dependencies into it, and build its page
ifeq ($(NODE),)
	@echo 'The page is not built: that takes Node.js 20.19 or newer (then: make page). All else works without.'
else
	@$(MAKE) --silent page || echo 'The page is not built, see above; to try again: make page. All else works without.'
endif

.venv/.installed: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "SceneRank needs Python 3.11 or newer; name one: make setup PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

page: $(WEB)/dist/index.html ## Build the page in the browser, if its sources have changed (Node.js 20.19 or newer)

$(WEB)/dist/index.html: $(WEB)/node_modules/.package-lock.json $(PAGE_SOURCES)
	npm --prefix $(WEB) run --silent build -- --logLevel warn
	@touch $@

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json
	npm --prefix $(WEB) ci --loglevel error --no-audit --no-fund --ignore-scripts
	@touch $@

types: .venv/.installed $(WEB)/node_modules/.package-lock.json ## Write the page's types anew from the service's OpenAPI document
	env -i PATH="$$PATH" $(BIN)/scenerank openapi --out $(WEB)/openapi.json
	npm --prefix $(WEB) run --silent types

screenshots: setup ## Take the screenshots of the documents anew; look at them before they are committed
	$(BIN)/python -m tests.e2e.screenshots

demo: setup ## Build the demo world, train, index, serve it, and ask a first question (Ctrl-C ends it)
	$(BIN)/scenerank demo

reproduce: setup ## The paper's tables and figures, small: on a demo world of 600 pictures, seconds a model; writes reproduce-demo/
	test -d reproduce-demo/world || $(BIN)/scenerank demo-world --out reproduce-demo/world --images 600
	test -d reproduce-demo/dataset || $(BIN)/scenerank prepare --visual-genome reproduce-demo/world --min-count 5 \
	    --captions reproduce-demo/world/captions.json --word-vectors reproduce-demo/world/word_vectors.txt --out reproduce-demo/dataset
	$(BIN)/scenerank reproduce reproduce-demo/dataset --out reproduce-demo/report --minutes 0.05 --seeds 2 --no-ablations --set layers=2 --set hidden=128

test: setup ## Run all tests, two files at a time
	$(BIN)/pytest --numprocesses 2 --dist loadfile
	$(if $(NODE),test ! -d $(WEB)/node_modules || npm --prefix $(WEB) test --silent)

check: setup ## Lint, formatting, types, import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(if $(NODE),test ! -d $(WEB)/node_modules || npm --prefix $(WEB) run --silent check)

fix: setup ## Repair what the linter and the formatter can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(if $(NODE),test ! -d $(WEB)/node_modules || npm --prefix $(WEB) run --silent fix)

bench: setup ## Run all benchmarks (an hour); what they build stays in bench/
	$(BIN)/python benchmarks/prepare_visual_genome.py
	$(BIN)/python benchmarks/training_threads.py
	$(BIN)/python benchmarks/lookup.py
	GOMP_SPINCOUNT=1000 $(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/encoding.py
	$(BIN)/python -m benchmarks.search --work bench/search
	$(BIN)/python -m benchmarks.search --work bench/search --large
	$(BIN)/python -m benchmarks.reindex_under_load --work bench/reindex
	$(BIN)/python benchmarks/catalogue_size.py --directory bench/million

lock: ## Renew requirements.lock from the ranges of pyproject.toml
	rm -rf .venv/lock && $(PYTHON) -m venv .venv/lock
	.venv/lock/bin/python -m pip install --quiet --upgrade $(PIP_FLAGS) '.[dev]'
	echo '# What SceneRank is tested with: every dependency, pinned. Made by `make lock` from the ranges of pyproject.toml.' > requirements.lock
	.venv/lock/bin/python -m pip freeze --exclude scenerank | sed -E -e 's/^torch==([0-9.]+).*/torch==\1/' \
	    -e "s/^uvloop==.*/&; sys_platform != 'win32'/" -e "s/^dgl==.*/&; python_version < '3.12' and sys_platform == 'linux' and platform_machine == 'x86_64'/" >> requirements.lock
	rm -rf .venv/lock
