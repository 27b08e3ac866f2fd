PYTHON ?= python3
BIN := .venv/bin
# Where pip finds a CPU build of PyTorch, for instance: make setup PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_FLAGS ?=

.PHONY: help setup demo reproduce test check fix bench lock

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.installed ## Make .venv and install SceneRank with its locked dependencies into it

.venv/.installed: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "SceneRank needs Python 3.11 or newer; name one: make setup PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: setup ## Build the demo world, train, index, serve it, and ask a first question (Ctrl-C ends it)
	$(BIN)/scenerank demo

reproduce: setup ## The paper's tables and figures, small: on a demo world of 600 pictures, seconds a model; writes reproduce-demo/
	test -d reproduce-demo/world || $(BIN)/scenerank demo-world --out reproduce-demo/world --images 600
	test -d reproduce-demo/dataset || $(BIN)/scenerank prepare --visual-genome reproduce-demo/world --min-count 5 \
	    --captions reproduce-demo/world/captions.json --word-vectors reproduce-demo/world/word_vectors.txt --out reproduce-demo/dataset
	$(BIN)/scenerank reproduce reproduce-demo/dataset --out reproduce-demo/report --minutes 0.05 --seeds 2 --no-ablations --set layers=2 --set hidden=128

test: setup ## Run all tests
	$(BIN)/pytest

check: setup ## Lint, formatting, types, import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: setup ## Repair what the linter and the formatter can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup ## Measure: preparation at the size of the whole of Visual Genome, training beside a busy process, a training step
	$(BIN)/python benchmarks/prepare_visual_genome.py
	$(BIN)/python benchmarks/training_threads.py
	$(BIN)/python benchmarks/lookup.py
	GOMP_SPINCOUNT=1000 $(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/encoding.py

lock: ## Renew requirements.lock from the ranges of pyproject.toml
	rm -rf .venv/lock && $(PYTHON) -m venv .venv/lock
	.venv/lock/bin/python -m pip install --quiet --upgrade $(PIP_FLAGS) '.[dev]'
	echo '# What SceneRank is tested with: every dependency, pinned. Made by `make lock` from the ranges of pyproject.toml.' > requirements.lock
	.venv/lock/bin/python -m pip freeze --exclude scenerank | sed -E -e 's/^torch==([0-9.]+).*/torch==\1/' \
	    -e "s/^uvloop==.*/&; sys_platform != 'win32'/" -e "s/^dgl==.*/&; python_version < '3.12' and sys_platform == 'linux' and platform_machine == 'x86_64'/" >> requirements.lock
	rm -rf .venv/lock
