# Each target sets up what it needs: a virtual environment in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint fuzz bench conformance conformance-live docs site screenshots clean pyz packages

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

$(VENV)/bench-installed: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[bench,arrays]'
	touch $@

$(VENV)/fuzz-installed: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	touch $@

# The main job: a real QEMU boot, then a recording with refusals, explained.
demo: $(VENV)/installed
	$(BIN)/memslots explain examples/recordings/qemu72-q35-lifecycle.strace
	$(BIN)/memslots explain examples/refused-overlap.strace || test $$? -eq 1
	$(BIN)/memslots accounting --host-bits 32 --slot-pages 524272 --slots 411

# On all cores; JOBS=0 runs one test after the other, in one process.
JOBS ?= auto
test: $(VENV)/installed lint
	$(BIN)/python -m pytest -n $(JOBS)

lint: $(VENV)/installed
	$(BIN)/ruff check src tests benchmarks website
	$(BIN)/ruff format --check src tests benchmarks website
	$(BIN)/mypy

# Hours on all cores, guided by coverage; SECONDS=60 is a minute.  docs/fuzzing.md says what it prints.
SECONDS ?= 14400
fuzz: $(VENV)/fuzz-installed
	PYTHONPATH=src:tests $(BIN)/python -m fuzz.run --seconds $(SECONDS) --log fuzz.log --save fuzz-faults

conformance: $(VENV)/installed
	$(BIN)/memslots conformance tests/verify/recorded/answers.tar.xz

# Boots the recorded kernels under QEMU and asks them again: minutes a kernel, gigabytes for all of them.
# KERNELS="debian-6.1-i386 host" asks only these; REFRESH=1 writes what they answer into the archive.
conformance-live: $(VENV)/installed
	$(BIN)/python -m memslots.verify.farm $(if $(REFRESH),--refresh) tests/verify/recorded/answers.tar.xz $(KERNELS)

bench: $(VENV)/bench-installed
	$(BIN)/python benchmarks/run.py

docs: $(VENV)/installed
	$(BIN)/python -m memslots.docs

$(VENV)/fleet-installed: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[fleet-dask]'
	touch $@

# Static folder build/site, from local files; npm fetches what the playground needs, once (docs/site.md).
$(VENV)/site-installed: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[site]'
	touch $@

site: $(VENV)/site-installed
	$(BIN)/python website/site_build.py

# The pictures of docs/images, taken again in Chromium.
screenshots: site
	$(BIN)/python website/screenshots.py

clean:
	rm -rf $(VENV)

# One file for hosts without pip: every core command, on any Python from 3.11 on.  It is compiled for
# the Python that makes it; others read the sources beside that.
pyz:
	rm -rf build/pyz && mkdir -p build/pyz
	cp -r src/memslots build/pyz/ && find build/pyz -name __pycache__ -prune -exec rm -r {} +
	cp -r examples build/pyz/memslots/
	printf 'import sys\nfrom memslots.cli.main import program\nsys.exit(program())\n' > build/pyz/__main__.py
	$(PYTHON) -m compileall -q -b --invalidation-mode unchecked-hash build/pyz
	$(PYTHON) -m zipapp build/pyz -p '/usr/bin/env python3' -o build/memslots.pyz

# Wheel and source distribution, in dist/.
packages: $(VENV)/installed
	$(BIN)/python -m build -o dist .
