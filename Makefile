# make app    install what is missing and open the app
# make test   install what tests need and run them
# make test-slow, make benchmarks, make format

VENV ?= .venv
PORT ?= 8501
# The first Python that runs and is 3.11 or 3.12.
PYTHON ?= $(shell for python in python3.12 python3.11 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$python && break; done)
# TensorFlow with CUDA where an NVIDIA driver answers.
REQUIREMENTS ?= $(shell nvidia-smi -L >/dev/null 2>&1 && echo requirements-gpu.txt || echo requirements.txt)

IN_VENV = $(VENV)/bin/
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check
LISTS = constraints.txt requirements-core.txt requirements-app.txt

# Two processes, whatever the machine has: each begins with one half of the tests, and whoever is done first helps.
PYTEST = $(IN_VENV)python -m pytest --numprocesses 2 --dist worksteal

.PHONY: app test test-slow check format benchmarks chromium

app: $(VENV)/.installed
	$(IN_VENV)streamlit run app.py --server.port $(PORT)

test: check $(VENV)-jax/.installed chromium
	SEGMODELS_JAX_PYTHON=$(abspath $(VENV)-jax)/bin/python $(PYTEST) -m "not slow" $(TESTS)

test-slow: check $(VENV)-jax/.installed chromium
	SEGMODELS_JAX_PYTHON=$(abspath $(VENV)-jax)/bin/python $(PYTEST) $(TESTS)

check: $(VENV)/.installed-test
	$(IN_VENV)ruff check .
	$(IN_VENV)ruff format --check .
	$(IN_VENV)mypy

format: $(VENV)/.installed-test
	$(IN_VENV)ruff check --fix .
	$(IN_VENV)ruff format .

benchmarks: $(VENV)/.installed-test chromium
	$(IN_VENV)python -m benchmarks

$(VENV)/.installed: $(REQUIREMENTS) $(LISTS)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed: install one, or name it: make PYTHON=/path/to/python3.12"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a virtual environment: install its venv package (Debian: apt install python3-venv)"; exit 2; }
	@echo "installing $(REQUIREMENTS) into $(VENV), once (about a minute) ..."
	@$(IN_VENV)python $(PIP_INSTALL) -r $(REQUIREMENTS)
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed requirements-test.txt
	@$(IN_VENV)python $(PIP_INSTALL) -r requirements-test.txt
	@touch $@

# A second environment that has JAX and no TensorFlow: the tests prove that the package works there.
$(VENV)-jax/.installed: requirements-jax.txt $(LISTS)
	@$(PYTHON) -m venv $(VENV)-jax
	@echo "installing requirements-jax.txt into $(VENV)-jax, once ..."
	@$(VENV)-jax/bin/python $(PIP_INSTALL) -r requirements-jax.txt
	@touch $@

chromium:
	@if command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing chromium for the browser tests ..."; \
		apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
	else echo "the browser tests need Chromium: sudo apt install chromium (or google-chrome on the PATH)"; exit 2; fi
