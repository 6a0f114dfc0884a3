# The commands for work on the template. `make` lists them; README.md has them without make.

PYTHON ?= python3
BIN := .venv/bin
QUICK := $(addprefix tests/test_,fleet.py lockfile.py naming.py questions.py release.py update_parts.py)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Render the default service, serve it, send it a question (PORT=8001 for another port)
	@$(PYTHON) scripts/demo.py

.PHONY: test
test: .venv/installed ## Run the whole suite: questions, extensions, rendered projects, the first run
	$(BIN)/pytest

.PHONY: test-quick
test-quick: .venv/installed ## Run what takes less than three minutes: questions, extensions, two projects rendered
	$(BIN)/pytest $(QUICK) --deselect tests/test_questions.py::test_a_bad_answer_is_refused_before_anything_is_written
	$(BIN)/pytest tests/test_rendered.py tests/test_matrix.py -k "defaults or full or pairwise"

.PHONY: lint
lint: .venv/installed ## Check format, code and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

.PHONY: lock
lock: .venv/installed ## Re-compile every lock with the newest versions
	$(BIN)/python locks/compile.py --uv $(BIN)/uv

.PHONY: release
release: .venv/installed ## Check and tag a release (VERSION=1.2.0)
	$(BIN)/python scripts/release.py $(RELEASE) "$(VERSION)"

.PHONY: fleet
fleet: .venv/installed ## List services and how far behind they are (SERVICES="~/services git@…")
	@$(BIN)/python scripts/fleet.py $(SERVICES)

.PHONY: bench
bench: .venv/installed ## Measure speed beside other products (ONLY=gateway,queue SIZE=smoke, quick or full, OUT=folder)
	$(BIN)/python bench/run.py

.PHONY: clean
clean: ## Remove the files that these commands made
	rm -rf .venv .tools .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/installed: requirements.lock scripts/get_uv.py
	@uv=$$($(PYTHON) scripts/get_uv.py) || exit 1; \
	  "$$uv" venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv && \
	  "$$uv" pip sync --quiet --python .venv --require-hashes requirements.lock
	@touch $@
