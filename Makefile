# make app    install what is missing and open the app
# make test   install what tests need and run them
# make test-slow, make benchmarks, make docs, make format

VENV ?= .venv
PORT ?= 8501
# The first Python that runs and is 3.11 or 3.12.
PYTHON ?= $(shell for python in python3.12 python3.11 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$python && break; done)
# TensorFlow with CUDA where an NVIDIA driver answers.
REQUIREMENTS ?= $(shell nvidia-smi -L >/dev/null 2>&1 && echo requirements-gpu.txt || echo requirements.txt)

IN_VENV = $(VENV)/bin/
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check
venv = $(PYTHON) -m venv $(1) >/dev/null 2>&1 && exit 0; \
	test "$$(df -Pk $(dir $(abspath $(1))) | awk 'NR == 2 {print $$4}')" -gt 50000 || \
		{ echo "the disk is full: free about 4 GB on the disk of $(abspath $(1))"; exit 2; }; \
	{ echo "$(PYTHON) cannot make a virtual environment: install its venv package (Debian: apt install python3-venv)"; exit 2; }
# $(call install,ENVIRONMENT,REQUIREMENTS): what pip says is kept in a file; what a person can do about it is one line.
define install
	@$(1)/bin/python $(PIP_INSTALL) -r $(2) >$(1)/install.log 2>&1 || { \
	if grep -q "No space left" $(1)/install.log; then \
		echo "the disk is full: free about 4 GB on the disk of $(abspath $(1)) (or make VENV=/another/disk/venv), then run make again"; \
	elif grep -qE "NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|No matching distribution" $(1)/install.log; then \
		echo "packages cannot be fetched: connect to the network, or name a mirror (pip config set global.index-url URL), then run make again; see $(1)/install.log"; \
	else echo "$(2) cannot be installed: see the end of $(1)/install.log"; fi; exit 2; }
endef
LISTS = constraints.txt requirements-core.txt requirements-app.txt

# Two processes, whatever the machine has: each begins with one half of the tests, and whoever is done first helps.
PYTEST = $(IN_VENV)python -m pytest --numprocesses 2 --dist worksteal

.PHONY: app test test-slow check format benchmarks docs chromium

app: $(VENV)/.installed
	@$(IN_VENV)python -m segmodels.serve --port $(PORT)

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

# The API reference, from the docstrings: open site/index.html.
docs: $(VENV)/.installed-test
	$(IN_VENV)python -m docs.api.build site

$(VENV)/.installed: $(REQUIREMENTS) $(LISTS)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed: install one, or name it: make PYTHON=/path/to/python3.12"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || { echo "$(PYTHON) is not Python 3.11 or 3.12: install one, or name it: make PYTHON=/path/to/python3.12"; exit 2; }
	@$(call venv,$(VENV))
	@echo "installing $(REQUIREMENTS) into $(VENV), once (about a minute) ..."
	$(call install,$(VENV),$(REQUIREMENTS))
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed requirements-test.txt
	$(call install,$(VENV),requirements-test.txt)
	@touch $@

# A second environment that has JAX and no TensorFlow: the tests prove that the package works there.
$(VENV)-jax/.installed: requirements-jax.txt $(LISTS)
	@$(call venv,$(VENV)-jax)
	@echo "installing requirements-jax.txt into $(VENV)-jax, once ..."
	$(call install,$(VENV)-jax,requirements-jax.txt)
	@touch $@

chromium:
	@if command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing chromium for the browser tests ..."; \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } >/dev/null 2>&1 || \
			{ echo "Chromium, which the browser tests need, cannot be fetched: connect to the network, or install it yourself"; exit 2; }; \
	else echo "the browser tests need Chromium: sudo apt install chromium (or google-chrome on the PATH)"; exit 2; fi
