# Quern: make run (set up, build, serve the model in the box), make test (set up, build, run every test).
PORT ?= 8080
JOBS ?= $(shell nproc)
SECONDS_EACH ?= 60
MUTATIONS ?= 2000
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: help setup build run test unit long-context asan tsan fuzz mutations bench interop format lint clean

help:
	@echo "make run     set up, build, and serve the model in the box on http://127.0.0.1:$(PORT) (PORT=...)"
	@echo "make test    set up, build, and run every test"
	@echo "make build   set up and build; the program is build/quern"
	@echo "make long-context   a million tokens through a tiny model of each architecture (minutes)"
	@echo "make bench   measure tokenizer, kernels and server"
	@echo "make asan | tsan   the unit and API tests under sanitizers"
	@echo "make fuzz    every fuzz target for SECONDS_EACH=$(SECONDS_EACH) seconds"
	@echo "make mutations   MUTATIONS=$(MUTATIONS) damaged files of every format, under AddressSanitizer, within 512 MiB"
	@echo "make interop what quern quantize writes, read by llama.cpp (builds llama-cpp-python once, which takes long)"
	@echo "make format | lint"

setup:
	@scripts/setup.sh build

build: setup
	@scripts/build.sh release -j $(JOBS) quern
	@cp -f build/release/src/cli/quern build/quern.new && mv -f build/quern.new build/quern

run: build
	@exec build/quern serve --listen 127.0.0.1:$(PORT)

test:
	@scripts/setup.sh test
	@scripts/test.sh -j $(JOBS)

unit: setup
	@scripts/build.sh release -j $(JOBS) quern_tests
	@ctest --test-dir build/release --output-on-failure

long-context: setup
	@scripts/build.sh release -j $(JOBS) quern_model_test
	@QUERN_LONG_CONTEXT=1048576 build/release/src/model/quern_model_test --gtest_filter='*LongContext*'

asan tsan:
	@scripts/setup.sh test
	@scripts/sanitize.sh $@ -j $(JOBS)

fuzz:
	@scripts/setup.sh test
	@scripts/fuzz.sh $(SECONDS_EACH)

mutations: setup
	@scripts/mutations.sh $(MUTATIONS) -j $(JOBS)

bench: build
	@scripts/setup.sh test
	@scripts/bench.sh

interop: build
	@scripts/interop.sh build/quern

format:
	@scripts/setup.sh lint
	@git ls-files 'src/*.h' 'src/*.cc' 'tests/*.h' 'tests/*.cc' | xargs clang-format -i

lint:
	@scripts/setup.sh lint
	@scripts/lint.sh

clean:
	rm -rf build
