# Every target makes what it needs under this directory; a repeated run starts at once.
# Needs: python3 >= 3.11. Everything else (npm, go, mvn, gcloud, curl, dcmtk) is used where it is found.

PORT ?= 8080
DATA ?= demo-data
SIZE ?= small
JOBS ?= auto
# Tests against a running server wait more than they compute.
SERVER_JOBS ?= 4
APT_PACKAGES := chromium curl dcmtk

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { command -v $$python; break; }; done)
PIP := .venv/bin/python -m pip --disable-pip-version-check
PYTEST := .venv/bin/python -m pytest

.PHONY: help demo serve test test-long check lint unit bench docs examples tools lock sbom audit-dependencies clean
help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1\t\2/' | expand -t 18

demo: .venv/.runtime  ## the main job from end to end, on real files, in under two minutes
	@.venv/bin/python examples/demo.py

serve: .venv/.runtime  ## the embedded server on 127.0.0.1:PORT, data in DATA
	@.venv/bin/fileroom serve --data $(DATA) --port $(PORT)

test: tools check node_modules/.stamp .tools/ohif/.stamp examples  ## check, then every other test but the long ones
	$(PYTEST) -n $(SERVER_JOBS) --dist=worksteal --ignore=tests/unit --ignore=tests/test_tidy.py

test-long: tools .venv/.dev node_modules/.stamp .tools/ohif/.stamp examples  ## every test
	$(PYTEST) -m 'long or not long' --timeout=3600 -o faulthandler_timeout=3500  # which can end a process

check: .venv/.dev  ## format, lint, types, layers, spelling, unit tests: five minutes on 2 cores
	@$(MAKE) --no-print-directory -j2 --output-sync=target lint unit

lint: .venv/.dev
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/typos

unit: .venv/.dev
	$(PYTEST) -q -n $(JOBS) --maxprocesses=4 tests/unit tests/test_tidy.py

bench: .venv/.dev  ## the published figures, at SIZE=small (minutes) or SIZE=full
	.venv/bin/python -m benchmarks --size $(SIZE)

docs: tools .venv/.dev node_modules/.stamp .tools/ohif/.stamp examples  ## write the pages that come from code and tests
	.venv/bin/python -m tests.reference_pages
	$(PYTEST) -q -n $(JOBS) -m 'long or not long' --write-conformance --ignore=tests/test_tidy.py

tools:  ## Debian packages that some tests use; does nothing where there is no apt or no root
	@if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && ! dpkg -s $(APT_PACKAGES) >/dev/null 2>&1; then \
		apt-get update -qq; for package in $(APT_PACKAGES); do \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$package >/dev/null \
		|| echo "make tools: could not install $$package; the tests that use it are skipped by name"; done; fi

lock: | .python  ## write constraints.txt, requirements.lock and package-lock.json anew
	rm -rf .tools/lock && $(PYTHON) -m venv .tools/lock
	.tools/lock/bin/python -m pip install -q --upgrade pip
	.tools/lock/bin/python -m pip install -q . --group dev
	echo '# What pyproject.toml asks for, at the versions tested. Written by: make lock' > constraints.txt
	.tools/lock/bin/python -m pip freeze --all --exclude fileroom --exclude setuptools >> constraints.txt
	@$(MAKE) --no-print-directory requirements.lock
	npm install --package-lock-only

# With the oldest Python that is served: it needs what later ones have built in.
requirements.lock: constraints.txt pyproject.toml | .tools/supply-chain
	echo '# All that a server runs, extras included: pip install --require-hashes -r requirements.lock' > $@
	echo '# Written by: make lock' >> $@
	.tools/supply-chain/bin/pip-compile -q --generate-hashes --strip-extras --all-extras -c constraints.txt \
	--no-header --no-annotate --no-emit-find-links --no-emit-index-url -o .tools/requirements.lock pyproject.toml
	cat .tools/requirements.lock >> $@

sbom: .tools/supply-chain  ## what is installed for a server, as CycloneDX: .tools/sbom.json
	.tools/supply-chain/bin/cyclonedx-py requirements --output-reproducible --pyproject pyproject.toml \
	-o .tools/sbom.json requirements.lock

audit-dependencies: .tools/supply-chain  ## known vulnerabilities of what a server runs; asks osv.dev
	.tools/supply-chain/bin/pip-audit -r requirements.lock --require-hashes --disable-pip -s osv

.tools/supply-chain: | .python
	@$(PYTHON) -m venv $@
	@$@/bin/python -m pip --disable-pip-version-check install -q pip-tools==7.6.2 pip-audit==2.10.1 cyclonedx-bom==7.5.0

clean:  ## remove what the targets above made (not DATA)
	rm -rf .venv .tools node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: .python
.python:
	@test -n "$(PYTHON)" || { echo "Fileroom needs Python 3.11 or newer: no such python3 is on PATH" >&2; exit 1; }

.venv/.runtime: pyproject.toml constraints.txt | .python
	@echo "Installing Fileroom into .venv ..."
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@$(PIP) install -q --upgrade -c constraints.txt pip
	@$(PIP) install -q -c constraints.txt -e .
	@touch $@

.venv/.dev: .venv/.runtime
	@echo "Installing what the tests need into .venv ..."
	@$(PIP) install -q -c constraints.txt --group dev
	@touch $@

node_modules/.stamp: package.json package-lock.json
	@mkdir -p node_modules
	@if command -v npm >/dev/null; then npm ci --no-progress --loglevel=error --cache .tools/npm-cache && touch $@; \
	else echo "npm is absent: the tests of the Node.js client are skipped by name"; fi

examples: .tools/examples/go-client .tools/examples/java  ## build the example clients that have to be built

.tools/examples/go-client: examples/go/go.mod examples/go/go.sum examples/go/main.go
	@if command -v go >/dev/null; then echo "Building examples/go ..."; \
	GOPATH=$(CURDIR)/.tools/go GOCACHE=$(CURDIR)/.tools/go/cache GOFLAGS="-mod=readonly -modcacherw" \
	go build -C examples/go -o $(CURDIR)/$@ .; \
	else echo "go is absent: the tests of the Go client are skipped by name"; fi

.tools/examples/java: examples/java/pom.xml $(shell find examples/java/src -name '*.java')
	@if command -v mvn >/dev/null; then echo "Building examples/java ..."; \
	mvn -q -B -f examples/java/pom.xml -Dmaven.repo.local=$(CURDIR)/.tools/m2 \
	-DbuildDirectory=$(CURDIR)/$@ package && touch $@; \
	else echo "mvn is absent: the tests of the Java client are skipped by name"; fi

# The built viewer: 50 MB to fetch, 200 MB on disk.
.tools/ohif/.stamp: tests/browser/install_ohif.py
	@mkdir -p .tools/ohif
	@if command -v npm >/dev/null; then $(PYTHON) -m tests.browser.install_ohif .tools/ohif/dist && touch $@; \
	else echo "npm is absent: the tests of the OHIF viewer are skipped by name"; fi
