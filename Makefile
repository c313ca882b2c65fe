# Building, testing and installing dotsock: `make help` says what there is.

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DOCDIR ?= $(PREFIX)/share/doc/dotsock
DESTDIR ?=

CARGO ?= cargo
STRIP ?= strip
PYTHON ?= python3

# Everything that names the version has it from here.
field = $(shell sed -n 's/^$(1) = "\(.*\)"$$/\1/p' Cargo.toml | head -n 1)
VERSION := $(call field,version)
DESCRIPTION := $(call field,description)
MAJOR := $(firstword $(subst ., ,$(VERSION)))

# Cargo is told where to put what it makes: its configuration might name another place, and what
# lies here from before would be installed.
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
RELEASE := $(TARGET_DIR)$(addprefix /,$(CARGO_BUILD_TARGET))/release
LIBRARIES := $(RELEASE)/libdotsock.so $(RELEASE)/libdotsock.a
SOURCES := Cargo.toml Cargo.lock build.rs config/settings.toml $(shell find src -name '*.rs')
STAGE := $(CURDIR)/build/stage

.PHONY: help build demo test faults soak install uninstall header format lint type-check all-checks clean

help:
	@echo 'make build       the libraries, in $(RELEASE)'
	@echo 'make demo        a C server and two C clients, and what they say to each other'
	@echo 'make test        every test: about ten minutes; installs packages when run as root'
	@echo 'make faults      the long form of the tests of docs/reliability.md: about an hour'
	@echo 'make fuzz        SECONDS=$(SECONDS) of each fuzz target, sanitized where it can be (TARGETS=...)'
	@echo 'make sanitize    the C tests with the library itself under sanitizers, where a nightly'
	@echo '                 toolchain is found (PROGRAMS=...)'
	@echo 'make models      the hand-over of wake-ups under a model checker (PREEMPTIONS=$(PREEMPTIONS))'
	@echo 'make soak        MINUTES=$(MINUTES) of everything at once, every message accounted for'
	@echo 'make budgets     instructions and system calls for each message, against their budgets'
	@echo 'make budgets-where   where these instructions go: a tree of each path'
	@echo 'make budgets-write   where a path may cost what it costs now: writes the budgets anew'
	@echo 'make bench       this library beside raw sockets and others: docs/benchmarks.md'
	@echo '                 (to build/bench: QUICK=1, under two minutes; SECTIONS=rtt, only those)'
	@echo 'make bench-micro its pieces alone: envelopes, a send beside the bare system call, JSON'
	@echo 'make test-go     those of the Go module'
	@echo 'make install     PREFIX=$(PREFIX) LIBDIR=$(LIBDIR)'
	@echo '                 INCLUDEDIR=$(INCLUDEDIR) DOCDIR=$(DOCDIR)'
	@echo '                 DESTDIR=$(DESTDIR); with debug information: STRIP=:'
	@echo 'make uninstall   with the same variables: removes what install installed'
	@echo 'make header      writes include/ anew, from src/ffi'
	@echo 'make abi-write   what programs are linked against from now on: tests/abi/dotsock.abi'
	@echo 'make format      formats the code'
	@echo 'make lint        clippy, warnings are errors'
	@echo 'make type-check  compiles without making anything'
	@echo 'make all-checks  formatting, lint, type-check'
	@echo 'make clean       removes what was built'

build: $(LIBRARIES)

# Only if something has changed: so that an install as root, after a build as a user, just copies.
$(LIBRARIES) &: $(SOURCES)
	@command -v $(CARGO) > /dev/null || \
	    { echo 'cargo is not in the PATH: build first (make build), or set CARGO' >&2; exit 1; }
	@rm -f $(LIBRARIES)
	$(CARGO) build --release --locked --lib --target-dir '$(TARGET_DIR)'
	@test -f $(RELEASE)/libdotsock.so -a -f $(RELEASE)/libdotsock.a || \
	    { echo 'cargo has put the libraries elsewhere than in $(RELEASE). Does its configuration set' \
	    'build.target? Then set CARGO_BUILD_TARGET to the same' >&2; exit 1; }
	@touch $(LIBRARIES)

demo:
	@tests/tools.sh cc pkg-config
	@$(MAKE) --no-print-directory stage
	examples-c/demo.sh $(STAGE)

test: tools all-checks
	$(CARGO) test --locked
	fuzz/run.sh
	$(MAKE) --no-print-directory stage
	tests/install.sh $(STAGE)
	tests/abi/run.sh $(STAGE)
	tests/abi/breaks.sh
	tests/c/run.sh $(STAGE)
	CHECK_SPIN=300 tests/c/run.sh $(STAGE)
	tests/c/run.sh $(STAGE) --valgrind
	tests/faults/run.sh $(STAGE) --quick
	tests/c/run.sh $(STAGE) --sanitize address,undefined
	$(MAKE) --no-print-directory models
	$(MAKE) --no-print-directory budgets
	$(MAKE) --no-print-directory -C bindings/lua test-lua STAGE=$(STAGE)
	$(MAKE) --no-print-directory -C bindings/go test-go-where-it-is STAGE=$(STAGE)
	tests/conformance/run.sh $(STAGE)

.PHONY: budgets budgets-write
budgets budgets-write: stage
	@tests/tools.sh $(BUDGET_TOOLS)
	$(PYTHON) -m unittest discover -q -b -s tests/budgets
	$(PYTHON) -m unittest discover -q -b -s benches
	tests/budgets/check.py $(STAGE) $(if $(filter budgets-write,$@),--write)

.PHONY: budgets-where
budgets-where: stage
	@tests/tools.sh $(BUDGET_TOOLS)
	@tests/budgets/where.py $(STAGE)

.PHONY: bench
bench: stage
	@$(MAKE) --no-print-directory -C benches bench QUICK='$(QUICK)' SECTIONS='$(SECTIONS)' \
	    TARGET_DIR='$(abspath $(TARGET_DIR))' RELEASE='$(abspath $(RELEASE))'

.PHONY: bench-micro
bench-micro:
	$(CARGO) bench --locked --features micro --bench micro

.PHONY: test-go
test-go: stage
	@tests/tools.sh cc pkg-config go gofmt
	$(MAKE) --no-print-directory -C bindings/go test-go STAGE=$(STAGE)

faults: tools
	$(MAKE) --no-print-directory stage
	tests/faults/run.sh $(STAGE)

SECONDS ?= 300
.PHONY: fuzz
fuzz:
	@tests/tools.sh c++ cargo-fuzz
	fuzz/run.sh --sanitize --seconds $(SECONDS) $(TARGETS)

.PHONY: sanitize
sanitize: stage
	@tests/tools.sh cc pkg-config valgrind clang
	tests/sanitize.sh $(STAGE) $(PROGRAMS)

# PREEMPTIONS=3 looks at many more interleavings, for hours.
PREEMPTIONS ?= 2
.PHONY: models
models:
	cd tests/models && LOOM_MAX_PREEMPTIONS=$(PREEMPTIONS) $(CARGO) test --locked --quiet -- --nocapture

MINUTES ?= 30
soak:
	@tests/tools.sh cc pkg-config
	$(MAKE) --no-print-directory stage
	tests/faults/run.sh $(STAGE) --soak $(MINUTES)

BUDGET_TOOLS := cc readelf valgrind strace $(PYTHON)

.PHONY: tools stage
tools:
	@tests/tools.sh cc c++ readelf abidw pkg-config cmake valgrind luajit venv rustfmt clippy cargo-fuzz \
	    $(BUDGET_TOOLS)

# Installs to where the tests and the demo look for it, with the debug information that they show.
stage: $(LIBRARIES)
	@rm -rf $(STAGE)
	@$(MAKE) --no-print-directory install PREFIX=$(STAGE) LIBDIR=$(STAGE)/lib \
	    INCLUDEDIR=$(STAGE)/include DOCDIR=$(STAGE)/share/doc/dotsock \
	    DESTDIR= STRIP=:

# --- Installing ----------------------------------------------------------------------------------

has_space = $(word 2,x$($(1)))
$(foreach place,PREFIX LIBDIR INCLUDEDIR DOCDIR,$(if $(call has_space,$(place)),$(error \
    $(place) is '$($(place))': a path with spaces in it is not possible here. DESTDIR may have some)))

override PREFIX := $(abspath $(PREFIX))
override LIBDIR := $(abspath $(LIBDIR))
override INCLUDEDIR := $(abspath $(INCLUDEDIR))
override DOCDIR := $(abspath $(DOCDIR))

SHARED := libdotsock.so.$(VERSION)
CMAKEDIR := $(LIBDIR)/cmake/dotsock
DOCUMENTS := README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE config/settings.toml examples-c/Makefile \
    $(wildcard docs/*.md docs/img/*.svg examples-c/*.c examples/*.rs examples-lua/*.lua)
INSTALLED := \
    $(addprefix $(LIBDIR)/,$(SHARED) libdotsock.so.$(MAJOR) libdotsock.so libdotsock.a) \
    $(addprefix $(INCLUDEDIR)/,dotsock.h dotsock.cdef) \
    $(LIBDIR)/pkgconfig/dotsock.pc \
    $(addprefix $(CMAKEDIR)/,dotsockConfig.cmake dotsockConfigVersion.cmake) \
    $(addprefix $(DOCDIR)/,$(DOCUMENTS))

# A path as seen from another one, where both are below PREFIX: what is installed may be moved then.
below_prefix = $(filter $(PREFIX)/%,$(1)/)
seen_from = $(shell realpath --canonicalize-missing --no-symlinks --relative-to='$(1)' '$(2)')
PC_PREFIX = $(if $(call below_prefix,$(LIBDIR)),$${pcfiledir}/$(call \
    seen_from,$(LIBDIR)/pkgconfig,$(PREFIX)),$(PREFIX))
PC_LIBDIR = $(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))
PC_INCLUDEDIR = $(patsubst $(PREFIX)/%,$${prefix}/%,$(INCLUDEDIR))
CMAKE_INCLUDEDIR = $(if $(and $(call below_prefix,$(LIBDIR)),$(call \
    below_prefix,$(INCLUDEDIR))),$(call seen_from,$(LIBDIR),$(INCLUDEDIR)),$(INCLUDEDIR))

install: $(LIBRARIES)
	install -d '$(DESTDIR)$(LIBDIR)/pkgconfig' '$(DESTDIR)$(CMAKEDIR)' '$(DESTDIR)$(INCLUDEDIR)'
	install -m 755 '$(RELEASE)/libdotsock.so' '$(DESTDIR)$(LIBDIR)/$(SHARED)'
	ln -sf $(SHARED) '$(DESTDIR)$(LIBDIR)/libdotsock.so.$(MAJOR)'
	ln -sf libdotsock.so.$(MAJOR) '$(DESTDIR)$(LIBDIR)/libdotsock.so'
	install -m 644 '$(RELEASE)/libdotsock.a' '$(DESTDIR)$(LIBDIR)/libdotsock.a'
	$(STRIP) --strip-debug '$(DESTDIR)$(LIBDIR)/$(SHARED)' '$(DESTDIR)$(LIBDIR)/libdotsock.a'
	install -m 644 include/dotsock.h include/dotsock.cdef '$(DESTDIR)$(INCLUDEDIR)'
	for file in $(DOCUMENTS); do \
	    install -D -m 644 $$file '$(DESTDIR)$(DOCDIR)/'$$file || exit 1; \
	done
	sed -e 's|@PREFIX@|$(PC_PREFIX)|' -e 's|@LIBDIR@|$(PC_LIBDIR)|' \
	    -e 's|@INCLUDEDIR@|$(PC_INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|' \
	    -e 's|@DESCRIPTION@|$(DESCRIPTION)|' dotsock.pc.in \
	    > '$(DESTDIR)$(LIBDIR)/pkgconfig/dotsock.pc'
	for file in dotsockConfig dotsockConfigVersion; do \
	    sed -e 's|@INCLUDEDIR@|$(CMAKE_INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|g' \
	        -e 's|@MAJOR@|$(MAJOR)|g' cmake/$$file.cmake.in \
	        > '$(DESTDIR)$(CMAKEDIR)/'$$file.cmake || exit 1; \
	done
	chmod 644 '$(DESTDIR)$(LIBDIR)/pkgconfig/dotsock.pc' '$(DESTDIR)$(CMAKEDIR)'/*.cmake
	@# The loader looks a library up in a cache, which only root may renew.
	@if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ]; then ldconfig || true; fi

uninstall:
	rm -f $(foreach file,$(INSTALLED),'$(DESTDIR)$(file)')
	@rmdir '$(DESTDIR)$(CMAKEDIR)' $(foreach directory,docs/img $(filter-out docs/img/ ./,$(sort \
	    $(dir $(DOCUMENTS)))) .,'$(DESTDIR)$(abspath $(DOCDIR)/$(directory))') 2> /dev/null || true
	@if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ]; then ldconfig || true; fi

# --- Developing ----------------------------------------------------------------------------------

header:
	DOTSOCK_WRITE_HEADER=1 $(CARGO) test --quiet --locked --test header

.PHONY: abi-write
abi-write: tools stage
	tests/abi/run.sh $(STAGE) --write

format:
	$(CARGO) fmt
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml
	$(CARGO) fmt --manifest-path tests/models/Cargo.toml

lint:
	$(CARGO) clippy --locked --all-targets --features micro -- -D warnings

type-check:
	$(CARGO) check --locked --all-targets --features micro

all-checks: lint type-check
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) fmt --check --manifest-path tests/models/Cargo.toml

clean:
	$(CARGO) clean
	rm -rf build $(RELEASE)
