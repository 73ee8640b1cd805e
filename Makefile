# make            the library, the command line and the Clang shim, under $(BUILD)
# make LLVM=none  the same without the shim: kernels are compiled by libtcc only
# make deps       installs what is needed, from Debian packages (root)
# make check      the tests: no network, no GPU, a few minutes on two cores
# make check-long the same with the longer variant of each test that has one (scripts/deps long: what it needs further)
# make golden     rewrites expectations; review the diff
# make check-asan the tests under AddressSanitizer and UBSan
# make fuzz       ten minutes of fuzzing (FUZZ_SECONDS=600)
# make bench      ratios to the machine's peak, measured in the run
# make bench-peers   … beside other people's kernels
# make bench-sparse  masks against the dense kernel
# make bench-shapes  odd extents against the machine's peak
# make bench-balance how evenly tasks load threads, unequal lengths too
# make bench-lists   walks over lists and gathered rows against the dense kernel
# make gpu-pack   kernels for a machine with a GPU, into .gpu: there .gpu/attune check-gpu tries them (ARCHS=90,80)
# make install    under $(DESTDIR)$(PREFIX)

BUILD  ?= build
PREFIX ?= /usr/local
CC     ?= cc
CXX    ?= c++
LLVM   ?= 19
CFLAGS ?= -O2 -g
WARN    = -Wall -Wextra -Wshadow -Wconversion -Wpedantic
DEFS    = -D_GNU_SOURCE -I. -Iinclude
C17     = -std=c17 $(WARN) $(DEFS) $(CFLAGS) $(SANITIZE) -MMD -MP
LIBS    = -lsqlite3 -lcjson -lpthreadpool -lmd -ltcc -ldl -lm -lpthread

ifeq ($(origin CC),default)
CC = gcc
endif
ifeq ($(origin CXX),default)
CXX = g++
endif

FOLDERS  = base dsl codegen targets cache search gpu runtime
# Texts that generated code or the language needs at run time, embedded.
EMBED    = dsl/prelude.att gpu/probe_kernels.h targets/x86_levels.h $(wildcard codegen/prelude/*.h) $(wildcard cache/*.sql)
LIB_SRC  = $(foreach d,$(FOLDERS),$(wildcard $(d)/*.c))
LIB_OBJ  = $(LIB_SRC:%.c=$(BUILD)/%.o) $(EMBED:%=$(BUILD)/embed/%.o) $(BUILD)/codegen_digest.o
CLI_OBJ  = $(patsubst %.c,$(BUILD)/%.o,$(wildcard cli/*.c))
TEST_SRC = $(wildcard tests/*_test.c)
TESTS    = $(TEST_SRC:%.c=$(BUILD)/%)
LIB      = $(BUILD)/libattune.a
ifneq ($(LLVM),none)
SHIM     = $(BUILD)/libattune-clang.so
endif

all: lib $(BUILD)/attune $(SHIM)

lib: $(LIB)

$(LIB): $(LIB_OBJ)
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/attune: $(CLI_OBJ) $(LIB)
	$(CC) $(SANITIZE) -o $@ $(CLI_OBJ) $(LIB) $(LIBS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(C17) -DATTUNE_LIBDIR='"$(PREFIX)/lib"' -c -o $@ $<

# The one piece of C++: Clang and LLVM in process, opened at run time. Never sanitised: LLVM is not.
LLVM_LIB = $(shell llvm-config-$(LLVM) --libdir)
$(BUILD)/libattune-clang.so: targets/clang_shim.cpp targets/clang_shim.h targets/names.h
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O1 -fPIC -shared -fno-rtti -fno-exceptions -Wall -I. \
	  -isystem $(shell llvm-config-$(LLVM) --includedir) -o $@ $< \
	  -L$(LLVM_LIB) -l:libclang-cpp.so.$(LLVM).1 -lLLVM-$(LLVM) -Wl,-rpath,$(LLVM_LIB)

$(BUILD)/embed/%.o: % scripts/embed
	@mkdir -p $(@D)
	scripts/embed $< > $(@:.o=.c)
	$(CC) -std=c17 -c -o $@ $(@:.o=.c)

# Part of every cache key: what turns a cascade into C.
DIGEST_SRC = $(sort $(wildcard dsl/*.c dsl/*.h dsl/*.att codegen/*.c codegen/*.h codegen/prelude/*.h))
$(BUILD)/codegen_digest.o: $(DIGEST_SRC)
	@mkdir -p $(@D)
	printf 'const char *codegen_digest(void);\nconst char *codegen_digest(void)\n{\n\treturn "%s";\n}\n' \
	  $$(cat $^ | sha256sum | cut -d' ' -f1) > $(@:.o=.c)
	$(CC) -std=c17 -c -o $@ $(@:.o=.c)

$(BUILD)/tests/%: tests/%.c tests/tap.h $(LIB)
	@mkdir -p $(@D)
	$(CC) $(C17) -o $@ $< $(filter %.o,$^) $(LIB) $(LIBS)

$(BUILD)/tests/npy_test: $(BUILD)/cli/npy.o

# A driver for the tests of what calls one.
$(BUILD)/tests/cuda_target_test: $(BUILD)/tests/fake/libcuda.so.1
$(BUILD)/tests/fake/libcuda.so.1: tests/fake_cuda.c
	@mkdir -p $(@D)
	$(CC) -std=c17 $(WARN) $(DEFS) $(CFLAGS) -fPIC -shared -o $@ $<

check: all $(BUILD)/bench-server $(TESTS)
	ATTUNE=$(BUILD)/attune BUILD=$(BUILD) prove -j2 --timer --exec '' $(TESTS) $(wildcard tests/*.t)

golden: $(BUILD)/tests/parse_test
	$(BUILD)/tests/parse_test golden

check-long:
	LONG=1 $(MAKE) check

# Code made at run time and LLVM are not sanitised; what they are handed and hand back is. The option: the search
# for leaks crashes itself on the thread-local storage of libraries opened late, which LLVM's are.
ASAN = BUILD=build-asan CFLAGS='-O1 -g' SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=undefined'
check-asan:
	ASAN_OPTIONS=intercept_tls_get_addr=0 $(MAKE) $(ASAN) check

# Seeds are the examples, the cases and some texts of later stages; what is found goes to tests/fuzz/found by hand, and is replayed by make check.
FUZZ_SECONDS ?= 600
FUZZ = BUILD=build-fuzz CC=clang-$(LLVM) CFLAGS='-O1 -g' SANITIZE='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined'
fuzz:
	$(MAKE) $(FUZZ) build-fuzz/libattune.a
	clang-$(LLVM) $(C17) -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
	  -o build-fuzz/parse_fuzz tests/fuzz/parse_fuzz.c build-fuzz/libattune.a $(LIBS)
	@mkdir -p build-fuzz/corpus build-fuzz/seeds
	cp -r examples/*.att tests/cases tests/errors tests/fuzz/seeds tests/fuzz/found build-fuzz/seeds
	rm -f build-fuzz/seeds/*/*.err
	build-fuzz/parse_fuzz -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=2048 -max_len=4096 \
	  -dict=tests/fuzz/att.dict -artifact_prefix=build-fuzz/ build-fuzz/corpus build-fuzz/seeds

# The defaults of some cases, D = 64 and 128; for a tuned kernel: attune bench.
BENCH_CASES = full causal alibi softcap sigmoid differential
BENCH_TILES = $(foreach d,64 128,$(foreach c,$(BENCH_CASES),$(BUILD)/bench/$c$d.tile))
$(BUILD)/bench/%.tile: $(wildcard bench/*.att) $(BUILD)/attune
	@mkdir -p $(@D)
	d=$$(echo $* | tr -dc 0-9); $(BUILD)/attune emit bench/$$(echo $* | tr -d 0-9).att -r D=$$d E=$$d \
	  --cache none --stage tile > $@

$(BUILD)/bench/%_bench: bench/%_bench.c bench/bench.h $(LIB)
	@mkdir -p $(@D)
	$(CC) $(C17) -rdynamic -o $@ $< $(LIB) $(LIBS)

$(BUILD)/bench-server: bench/server.c $(LIB)
	@mkdir -p $(@D)
	$(CC) $(C17) -rdynamic -o $@ $< $(LIB) $(LIBS)

bench: all $(BUILD)/bench/kernel_bench $(BENCH_TILES)
	$(BUILD)/bench/kernel_bench $(BENCH_TILES)

# Masks against the dense kernel: does the cost follow the work?
bench-sparse: $(BUILD)/bench/sparse_bench $(SHIM)
	$(BUILD)/bench/sparse_bench
	$(BUILD)/bench/sparse_bench -w

# Odd extents: D, E, M and N that are no multiple of anything.
bench-shapes: $(BUILD)/bench/shapes_bench $(SHIM)
	$(BUILD)/bench/shapes_bench

# Tasks of unequal work.
bench-balance: $(BUILD)/bench/balance_bench $(SHIM)
	$(BUILD)/bench/balance_bench

LISTS = -n 11 -r B=1 -r H=1 -r N=16384 -r M=16384 -r D=64 -r E=64
bench-lists: $(BUILD)/bench/forms_bench $(SHIM)
	$(BUILD)/bench/forms_bench $(LISTS) -r T=32 -p C=512 -p k=3 bench/causal.att examples/moba.att examples/moba.att:all
	$(BUILD)/bench/forms_bench $(LISTS) -r T=128 -p C=128 -p k=9 bench/causal.att examples/moba.att

# Peers from PyPI, in a virtual environment of their own (some GB); PEERS names another that has them.
PEERS ?= $(HOME)/.cache/attune/peers
$(PEERS)/bin/python:
	python3 -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet torch onnxruntime onnx numpy scipy-openblas64
# PEERS_OPTIONS: "-t 1", "-r 11", "--tuned 30", names of cases: see scripts/bench_peers.py.
PEERS_OPTIONS ?=
bench-peers: all $(BUILD)/bench-server $(PEERS)/bin/python
	$(PEERS)/bin/python scripts/bench_peers.py -s $(BUILD)/bench-server -o $(BUILD)/peers $(PEERS_OPTIONS)
# What bench-peers measured last, into the pages that show it.
peers-table:
	python3 scripts/peers_report.py $(BUILD)/peers/peers.json docs/peers.svg docs/performance.md README.md

# What the program needs beside the C library goes along: that machine may have none of it.
ARCHS ?= 90,80
gpu-pack: all
	@rm -rf .gpu/lib && mkdir -p .gpu/lib
	$(CC) -o .gpu/attune $(CLI_OBJ) $(LIB) $(LIBS) -Wl,-rpath,'$$ORIGIN/lib'
	ldd .gpu/attune | awk '/=> \// && !/lib(c|m|dl|pthread)\.so/ {print $$3}' | xargs -I{} cp -L {} .gpu/lib
	$(BUILD)/attune gpu-pack perf/gpu/plan.json -o .gpu --archs $(ARCHS)

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig \
	  $(DESTDIR)$(PREFIX)/share/man/man1
	install $(BUILD)/attune $(DESTDIR)$(PREFIX)/bin
	install -m 644 include/attune.h $(DESTDIR)$(PREFIX)/include
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 man/attune.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 $(LIB) $(SHIM) $(DESTDIR)$(PREFIX)/lib
	install -m 644 man/attune.1 $(DESTDIR)$(PREFIX)/share/man/man1
	printf '%s\n' 'Name: attune' 'Description: fused kernels from cascades of Einsums' \
	  "Version: $$(sed -n 's/.*ATTUNE_VERSION "\(.*\)"/\1/p' include/attune.h)" \
	  'Cflags: -I$(PREFIX)/include' 'Libs: -L$(PREFIX)/lib -lattune $(LIBS)' \
	  > $(DESTDIR)$(PREFIX)/lib/pkgconfig/attune.pc

deps:
	scripts/deps

clean:
	rm -rf $(BUILD)

.PHONY: all lib check golden check-long check-asan fuzz install deps clean bench bench-peers peers-table bench-sparse bench-shapes bench-balance bench-lists gpu-pack
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
