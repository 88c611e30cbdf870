# Every target sets up .venv by itself, and again when what it is made of has changed.
PYTHON ?= python3
BIN := .venv/bin
# The stamp bears a digest of the list of modules: an editable install knows the modules of its day.
READY := .venv/.ready-$(shell find src -name '*.py' | LC_ALL=C sort | cksum | cut -d' ' -f1)
WORKERS ?= $(shell $(PYTHON) -c "import os; print(min(4, len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()))")

.PHONY: help setup test lint format demo docs sanitize bench clean

help:
	@echo "make demo      train a character model for a minute, see it write, and open its report"
	@echo "make test      the whole test suite"
	@echo "make lint      formatting, lint and types"
	@echo "make format    put the formatting right"
	@echo "make docs      what is written by scripts: docs/cells, docs/figures, the table of docs/options.md"
	@echo "make sanitize  the kernels under address, undefined-behaviour and thread sanitizers"
	@echo "make bench     speed beside torch.nn, ONNX Runtime, OpenVINO and JAX; ARGS=\"--shapes medium\""
	@echo "make clean     remove what was built"

setup: $(READY)

$(READY): pyproject.toml constraints.txt CMakeLists.txt tools/setup.py \
		$(shell find src/unrolled/cells src/unrolled/compiler -name '*.py') \
		$(shell find src/unrolled/engine/cpu -name '*.h' -o -name '*.cpp')
	@$(PYTHON) tools/setup.py
	@touch $@

# One process for each processor, each with one thread: tests that need more ask for them.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

demo: $(READY)
	@$(BIN)/python examples/demo.py

docs: $(READY)
	@$(BIN)/python tools/cells_page.py
	@$(BIN)/python tools/options_table.py
	@$(BIN)/python tools/lens_figures.py

sanitize: $(READY)
	$(BIN)/python tools/sanitize.py

# A peer that cannot be installed leaves a column empty, and is tried again the next time.
BENCH := $(READY)-bench

$(BENCH): $(READY)
	@$(PYTHON) tools/setup.py bench && touch $@ || true

bench: $(BENCH)
	@$(BIN)/unrolled bench $(ARGS)

clean:
	rm -rf .venv build dist runs .mypy_cache .pytest_cache .ruff_cache .hypothesis
