# `make demo` and `make test` set up all they need in .venv, then run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# A file of fast tests stays in one worker, so that what its tests share is started once. Slow tests
# wait more than they compute, and the longest begin first.
WORKERS ?= 3
SLOW_WORKERS ?= 5
PYTEST := $(BIN)/pytest -q --no-loadscope-reorder
LONGEST := $(addprefix tests/,test_soak.py test_soak_object_store.py flows/cli/test_app.py \
	test_kill.py test_prefect_away.py test_deployments.py)

# The demo has a Prefect home of its own, so that it neither needs nor touches yours.
DEMO := env -u PREFECT_API_URL -u PREFECT_API_KEY -u PREFECT_PROFILE -u OPENAI_API_KEY \
	-u OPENAI_BASE_URL PREFECT_HOME=$(CURDIR)/.prefect PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1

.PHONY: demo demo-ui test test-pythons lint house format docs pictures bench bootstrap system setup clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

setup: $(READY)

# 100 articles, English and Chinese, into lake/: no key, no network.
demo: $(READY)
	@$(DEMO) $(BIN)/article-flows run demo --lake lake --recipe digest --base-url mock

# The demo's runs in Prefect's UI.
demo-ui: $(READY)
	@$(DEMO) $(BIN)/prefect server start

test: lint
	$(PYTEST) -m 'not slow' -n $(WORKERS) --dist loadfile
	$(PYTEST) -m slow -n $(SLOW_WORKERS) --dist loadgroup --maxschedchunk 1 $(LONGEST) tests

# The built package on every supported Python that is installed here: the demo and the fast tests.
test-pythons:
	.ci/test-pythons

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Lines, files of each folder, the order of imports, public class names that stand twice.
house: $(READY)
	@$(BIN)/python -m tests.house

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The documentation site, in site/. What it needs comes with the extra `docs`.
DOCS_READY := $(VENV)/.docs-ready
$(DOCS_READY): $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	touch $(DOCS_READY)

docs: $(DOCS_READY)
	$(BIN)/python docs/generate_cli.py
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict --quiet

# The pictures of README and docs/: the terminal's is of a real run of the demo.
pictures: $(READY)
	@$(DEMO) $(BIN)/python docs/generate_pictures.py

# Side by side with the naive ways; about 20 minutes. Some of it: make bench BENCH='--only rpm'.
bench: $(READY)
	$(BIN)/python -m benchmarks $(BENCH)

# The work pool and the concurrency limits, on the Prefect server that is set.
bootstrap: $(READY)
	$(BIN)/article-flows bootstrap

# On a Debian that has no venv for its Python yet; needs root.
system:
	apt-get update
	apt-get install --yes python3 python3-venv make

clean:
	rm -rf $(VENV) .prefect build lake site
