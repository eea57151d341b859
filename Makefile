#  Makefile - builds, checks and installs umbp; not recursive, all results under $(B). `make help`
#  tells the targets. Variables: B (build folder), CC, CFLAGS, SAN (sanitizers), PREFIX, DESTDIR.
#
#  A source file needs no line here: the folders say what belongs where. bin/NAME.c of PROGS is a
#  main, any other bin/*.c helps them all; each test/unit/test_*.c is a program, and so is each
#  test/fuzz/fuzz_*.c under libFuzzer; test/cluster/*.sh and test/*/check.sh run if executable.

VERSION := 0.1.0
SOVERSION := 0
B ?= build
PREFIX ?= /usr/local
CFLAGS ?= -O2 -g -Wall -Wextra -Werror
PACKAGES := libczmq libzmq libcbor libxxhash jansson libsodium libedit libcurl libmicrohttpd liburing
FUZZ_S ?= 10
TEST_JOBS ?= $(shell expr 2 \* $$(nproc))    #  Tests mostly wait
SCRIPT_JOBS ?= 3
CHAOS_MINUTES ?= 3                          #  Of make check, which breaks the same things each time;
CHAOS_SEED ?= 20261121                      #  ... check-cluster draws others
BENCH_ARGS ?=
SHELL := /bin/bash
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += --jobs=$(shell nproc) --no-print-directory   #  A -j of the user's own counts more
endif

COMMON := $(wildcard proto/*.c cluster/bulk/*.c) cluster/ring.c cluster/topology.c \
          cluster/curve.c cluster/keyring.c cluster/slab.c $(wildcard accel/memory*.c)
CLIENT := $(wildcard client/*.c) $(COMMON)
NODE := $(sort $(wildcard actors/*.c actors/*/*.c cluster/*.c cluster/discovery/*.c accel/*.c) $(COMMON))
MAINS := $(wildcard bin/umbp-node.c bin/umbp-console.c bin/umbp-bench.c)
HELPERS := $(filter-out $(MAINS),$(wildcard bin/*.c))
UNIT := $(wildcard test/unit/test_*.c)
FUZZ := $(wildcard test/fuzz/fuzz_*.c)
CHAOS := $(wildcard test/chaos/*.c)
NODE += $(wildcard actors/worker/*.c)
GUEST := $(wildcard test/guest/*.c)
PLUGIN := $(wildcard cluster/verbs/*.c)          #  Built where libibverbs-dev is
PROVIDERS := $(wildcard accel/providers/*.c)     #  Accelerator libraries, which load their vendor's
FUZZED := $(COMMON) bin/config.c bin/config_value.c bin/node_settings.c bin/suggest.c bin/units.c \
          bin/workload.c cluster/quotas.c actors/tier/log_format.c
SOURCES := $(sort $(CLIENT) $(NODE) $(MAINS) $(HELPERS) $(UNIT) $(FUZZ) $(CHAOS) $(PROVIDERS))
HEADERS := $(wildcard proto/*.h proto/*/*.h cluster/*.h cluster/*/*.h actors/*.h actors/*/*.h client/*.h \
             bin/*.h test/*.h test/*/*.h accel/*.h accel/*/*.h)
SCRIPTS := $(sort $(shell find test -name '*.sh' -executable \
             \( -path 'test/cluster/*' -o -name check.sh \) 2>/dev/null))
BESIDE := test/cluster/chaos.sh              #  Mostly waits: from the start, beside all others
LONG := $(patsubst %,test/cluster/%.sh,churn clock heal killed oneway pressure resync stopped)   #  In check-cluster only

LIBS := $(B)/lib/libumbpnode.a $(B)/lib/libumbp.a
SHARED := $(B)/lib/libumbp.so $(B)/lib/libumbpnode.so
PROGS := $(MAINS:bin/%.c=$(B)/bin/%)
TESTS := $(UNIT:test/unit/%.c=$(B)/test/%)
BREAKERS := $(patsubst test/chaos/%.c,$(B)/test/chaos-%,$(filter-out %/clock.c,$(CHAOS))) \
            $(B)/test/chaos-clock.so
PUBLIC_libumbp := $(wildcard client/umbp.h proto/error.h)
PUBLIC_libumbpnode := $(wildcard actors/umbp_node.h proto/error.h)
PUBLIC := $(sort $(PUBLIC_libumbp) $(PUBLIC_libumbpnode))
objects = $(patsubst %.c,$(B)/obj/%.o,$(1))

#  What pkg-config says, asked once: make writes this file first and then starts again
ifneq ($(filter-out clean help fmt,$(or $(MAKECMDGOALS),all)),)
include $(B)/packages.mk
endif
ifneq ($(VERBS_LIBS),)
PLUGINS := $(B)/lib/libumbp-verbs.so
SOURCES += $(PLUGIN) $(GUEST)
endif

PLUGINS += $(PROVIDERS:accel/providers/%.c=$(B)/lib/libaccelerator_%.so)

ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -I. -iquote proto -fPIC -pthread -fno-semantic-interposition \
             $(CFLAGS) $(SAN) $(PACKAGE_CFLAGS)
ALL_LDFLAGS = -pthread -Wl,--as-needed $(LDFLAGS) $(SAN)

.PHONY: all run check chaos check-cluster tests unit scripts check-adversary check-asan check-tsan check-tiers \
        build-asan build-tsan check-install check-rdma fuzz bench fmt fmt-check lint \
        lint-clang lint-cppcheck check-clang install uninstall clean help FORCE
all: $(LIBS) $(SHARED) $(PROGS) $(PLUGINS)  #  libraries and programs
	@:

$(B)/packages.mk: deploy/setup.sh Makefile
	@mkdir -p $(B)
	@echo '*' >$(B)/.gitignore
	@deploy/setup.sh build
	@cflags=$$(pkg-config --cflags $(PACKAGES)) && libs=$$(pkg-config --libs $(PACKAGES)) \
	    && printf 'PACKAGE_CFLAGS := %s\nPACKAGE_LIBS := %s -lm\n' "$$cflags" "$$libs" >$@
	@! pkg-config --exists hiredis \
	    || printf 'HIREDIS_CFLAGS := -DUMBP_HIREDIS %s\nHIREDIS_LIBS := %s\n' \
	        "$$(pkg-config --cflags hiredis)" "$$(pkg-config --libs hiredis)" >>$@
	@if echo '#include <infiniband/verbs.h>' | $(CC) -E -x c - >/dev/null 2>&1; then \
	    echo 'VERBS_LIBS := -libverbs' >>$@; \
	    else echo 'no infiniband/verbs.h: built without RDMA, libumbp-verbs.so'; fi

$(B)/obj/%.o: %.c $(B)/packages.mk
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@
-include $(patsubst %.c,$(B)/obj/%.d,$(SOURCES))

#  Libraries. A shared one exports what its public headers declare, and nothing else
$(B)/lib/libumbp.a $(B)/lib/libumbp.so.$(SOVERSION): $(call objects,$(CLIENT))
$(B)/lib/libumbpnode.a $(B)/lib/libumbpnode.so.$(SOVERSION): $(call objects,$(NODE))
$(B)/lib/libhelpers.a: $(call objects,$(HELPERS))
$(B)/lib/libfuzzed.a: $(call objects,$(FUZZED))
$(B)/lib/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	$(AR) rcs $@ $^

.SECONDEXPANSION:
$(B)/lib/%.map: $$(PUBLIC_$$*) $(B)/packages.mk
	@mkdir -p $(@D)
	@names=$$(cat /dev/null $(PUBLIC_$*) | $(CC) $(ALL_CFLAGS) -E -P -x c - \
	    | grep -oE '\bumbp_[a-z0-9_]+ *\(' | sed 's/ *($$/;/' | sort -u) || true; \
	    printf 'UMBP_$(SOVERSION) {\nglobal:\n%s\nlocal:\n*;\n};\n' "$$names" >$@

$(B)/lib/%.so.$(SOVERSION): $(B)/lib/%.map
	$(CC) -shared $(ALL_LDFLAGS) -Wl,-soname,$(@F) -Wl,-z,defs -Wl,--version-script=$< \
	    $(filter %.o,$^) $(PACKAGE_LIBS) -o $@
$(B)/lib/%.so: $(B)/lib/%.so.$(SOVERSION)
	@ln -sf $(<F) $@

#  The RDMA plug-in: it has one symbol, and what it shares with the libraries in its own copy
PLUGGED := $(PLUGIN) $(wildcard cluster/bulk/verbs_*.c) cluster/bulk/copy.c cluster/bulk/parts.c cluster/bulk/piece.c
$(B)/lib/libumbp-verbs.so: $(call objects,$(PLUGGED))
	@echo '{ global: umbp_verbs_plugin; local: *; };' >$(B)/lib/verbs.map
	$(CC) -shared $(ALL_LDFLAGS) -Wl,-z,defs -Wl,--version-script=$(B)/lib/verbs.map $^ \
	    $(VERBS_LIBS) -lxxhash -o $@
$(B)/test/test_verbs_cut.status: | $(PLUGINS)

#  Accelerator libraries, ours and those that stand in for others in tests: of each one file, which
#  exports what it says it provides
$(B)/obj/accel/providers/%.o: PACKAGE_CFLAGS += -fvisibility=hidden
$(B)/lib/libaccelerator_%.so: $(B)/obj/accel/providers/%.o
	@mkdir -p $(@D)
	$(CC) -shared $(ALL_LDFLAGS) -Wl,-z,defs $^ -lm -ldl -o $@
FIXTURES := $(patsubst %,$(B)/test/accel/libfixture-%.so,gen1 gen2 gen3 gen4 gen5 wide garbled \
                strange mixed overrun insane bare sick deep)
VENDORS := $(patsubst %,$(B)/test/accel/lib%.so,nvidia-ml amd_smi cuda amdhip64 hsa-runtime64)
$(B)/test/accel/libfixture-%.so: test/accel/fixture.c accel/abi.h accel/providers/provider.h
	@mkdir -p $(@D)
	$(CC) -shared $(ALL_CFLAGS) -fvisibility=hidden -DFIXTURE_$* $(ALL_LDFLAGS) $< -o $@
$(B)/test/accel/libcuda.so $(B)/test/accel/libamdhip64.so: test/accel/vram.h
$(B)/test/accel/lib%.so: test/accel/%.c
	@mkdir -p $(@D)
	$(CC) -shared $(ALL_CFLAGS) $(ALL_LDFLAGS) -Wl,-soname,$(shell sed -nE 's/.*SONAME (.*)/\1/p' $<) $< -o $@
#  The provider for AMD, in a house whose /sys is a folder of the test
$(B)/test/accel/libaccelerator_amd.so: accel/providers/amd.c accel/abi.h accel/providers/provider.h
	@mkdir -p $(@D)
	$(CC) -shared $(ALL_CFLAGS) -fvisibility=hidden -DUMBP_SYSFS='"test/accel/sysfs"' $(ALL_LDFLAGS) \
	    $< -lm -ldl -o $@
accel_tests := test_library test_find test_providers test_device test_device_memory \
    test_worker_devices test_vram
$(accel_tests:%=$(B)/test/%.status): $(FIXTURES) $(VENDORS) $(PLUGINS) \
    $(B)/test/accel/libaccelerator_amd.so
$(accel_tests:%=$(B)/test/%.status): export UMBP_BUILD := $(abspath $(B))
$(B)/test/test_devmem.status: $(VENDORS)
$(B)/test/test_devmem.status: export UMBP_BUILD := $(abspath $(B))
$(B)/test/guest-%: $(B)/obj/test/guest/%.o $(call objects,$(PLUGIN)) $(LIBS)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $^ -lcunit $(VERBS_LIBS) $(PACKAGE_LIBS) -o $@

#  Programs, tests and fuzzers. Only umbp-bench talks to redis, and says so if it cannot
$(B)/obj/bin/bench_redis.o: PACKAGE_CFLAGS += $(HIREDIS_CFLAGS)
$(B)/bin/umbp-bench: PACKAGE_LIBS += $(HIREDIS_LIBS)
$(B)/bin/%: $(B)/obj/bin/%.o $(B)/lib/libhelpers.a $(LIBS)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $^ $(PACKAGE_LIBS) -o $@
$(B)/test/test_%: $(B)/obj/test/unit/test_%.o $(B)/lib/libhelpers.a $(LIBS)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $^ -lcunit $(PACKAGE_LIBS) -o $@
$(B)/test/chaos-%: $(B)/obj/test/chaos/%.o $(B)/lib/libhelpers.a $(LIBS)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $^ $(PACKAGE_LIBS) -o $@
$(B)/test/chaos-load: LDFLAGS += -Wl,--wrap=umbp_wire_send,--wrap=umbp_wire_tell
$(B)/test/chaos-clock.so: $(B)/obj/test/chaos/clock.o
	@mkdir -p $(@D)
	$(CC) -shared $(ALL_LDFLAGS) $^ -o $@
$(B)/test/fuzz_%: $(B)/obj/test/fuzz/fuzz_%.o $(B)/lib/libfuzzed.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer $^ $(PACKAGE_LIBS) -o $@

run: all                                    #  three nodes on this host, and conversations through them; TIERS=all: with four tiers
	@B=$(B) deploy/run-demo.sh

bench:                                      #  umbp-bench suite with $BENCH_ARGS
	@deploy/setup.sh build
	@deploy/setup.sh bench || echo 'bench: not all that it compares with can be installed'
	@$(MAKE) $(B)/mooncake/bin/mooncake_master || echo 'bench: no Mooncake Store: see above'
	@grep -qs HIREDIS $(B)/packages.mk || rm -f $(B)/packages.mk $(B)/obj/bin/bench_redis.o
	@$(MAKE) all
	UMBP_MOONCAKE=$$(ls $(B)/mooncake/bin/mooncake_master >/dev/null 2>&1 && echo $(B)/mooncake/bin/python) \
	    $(B)/bin/umbp-bench suite --out $(B)/bench.json $(BENCH_ARGS)

#  A peer to compare with, in an environment of its own: 200 MB
$(B)/mooncake/bin/mooncake_master:
	python3 -m venv $(B)/mooncake
	$(B)/mooncake/bin/pip install -q --disable-pip-version-check mooncake-transfer-engine-non-cuda

#  Tests. A test succeeds with 0, is skipped with 77 (its last line says why), fails with all else
define RUN_TEST
run_test () {
    name=$$1 limit_s=$$2 log=$(B)/test/$$1.log start=$${EPOCHREALTIME/[.,]/} word=FAIL why=
    shift 2
    timeout -k 10 "$$limit_s" "$$@" >"$$log" 2>&1 </dev/null
    rc=$$?
    [[ $$rc == 0 ]] && word=PASS
    [[ $$rc == 77 ]] && word=SKIP why=": $$(tail -n 1 "$$log")"
    [[ $$rc == 124 || $$rc == 137 ]] && why=": no end after $$limit_s s"
    took_ms=$$(( ($${EPOCHREALTIME/[.,]/} - start) / 1000 ))
    echo "$$word" >"$(B)/test/$$name.status"
    {
        printf '%s  %s (%d.%d s)%s\n' $$word "$$name" $$((took_ms / 1000)) \
            $$((took_ms / 100 % 10)) "$$why"
        [[ $$word == FAIL ]] && echo '      ends with:' && tail -n 12 "$$log" | sed 's/^/      /' \
            && echo '      all it said, or the last 200 lines of it:' \
            && tail -n 200 "$$log" | sed 's/^/      /'
    } >"$$log.report"
    flock "$(B)/test" cat "$$log.report"    #  Whole, whoever else ends now
}
endef
export RUN_TEST
COUNT_TESTS = find $(B)/test -name '*.status' -exec cat {} + | awk '{ n[$$1]++ } END { \
    printf "%d passed, %d failed, %d skipped\n", n["PASS"], n["FAIL"], n["SKIP"]; \
    exit n["FAIL"] > 0 }'

tests: $(TESTS) $(B)/bin/umbp-node $(PLUGINS) $(FIXTURES) $(VENDORS)
	@:
unit: $(patsubst %,$(B)/test/%.status,$(filter-out $(BUT),$(UNIT:test/unit/%.c=%)))
	@:
$(B)/test/test_churn.status $(B)/test/test_return.status: $(B)/bin/umbp-node      #  They start some
$(B)/test/%.status: $(B)/test/% FORCE
	@eval "$$RUN_TEST"; run_test $* 300 $(RUNNER) $<

#  Scripts, which mostly wait for nodes of their own: some at a time. Each has ports, addresses or
#  namespaces of its own. Those that take longest begin first
FIRST := test/cddl/check.sh $(patsubst %,test/cluster/%.sh,drain replay deadline secure etcd)
BRIEF := $(filter-out $(LONG) $(BESIDE),$(SCRIPTS))
scripts: $(patsubst %,run/%,$(filter $(BRIEF),$(FIRST)) $(filter-out $(FIRST),$(BRIEF)))
	@:
run/test/%.sh: FORCE
	@eval "$$RUN_TEST"; run_test $(subst /,_,$*) 600 test/$*.sh

#  What scripts find: the build, its programs, Python and JavaScript packages
check check-cluster: export PATH := $(abspath $(B))/bin:$(abspath $(B))/venv/bin:$(PATH)
check: export LD_LIBRARY_PATH := $(abspath $(B))/lib
check check-cluster: export NODE_PATH := $(abspath $(B))/js/node_modules
check: export UMBP_BUILD := $(abspath $(B))
check:                                      #  all tests but the long ones; chaos beside the others
	@deploy/setup.sh build check
	@$(MAKE) all $(TESTS) $(BREAKERS)
	@rm -f $(B)/test/*.status
	@mkdir -p $(B)/test
	@eval "$$RUN_TEST"; \
	SEED=$(CHAOS_SEED) MINUTES=$(CHAOS_MINUTES) run_test cluster_chaos 1200 $(BESIDE) & beside=$$!; \
	trap 'pkill -P $$beside' EXIT; \
	$(MAKE) --jobs=$(TEST_JOBS) unit; \
	$(MAKE) -k $(B)/venv/.done $(B)/js/.done \
	    || echo 'some packages are missing: tests that need them are skipped'; \
	$(MAKE) --jobs=$(SCRIPT_JOBS) scripts; \
	wait $$beside
	@$(COUNT_TESTS)

chaos:                                      #  breaks nodes under load for $MINUTES, drawn from $SEED
	@deploy/setup.sh build check
	@$(MAKE) all $(BREAKERS)
	@UMBP_BUILD=$(abspath $(B)) LD_LIBRARY_PATH=$(abspath $(B))/lib SEED=$(SEED) \
	    MINUTES=$(or $(MINUTES),3) ARGS='$(ARGS)' test/cluster/chaos.sh

check-cluster: export SECONDS_STOPPED ?= 60
check-cluster: export MINUTES ?= 3
check-cluster: export UMBP_ROUNDS ?= 2000
check-cluster: export UMBP_BUILD := $(abspath $(B))
check-cluster: export LD_LIBRARY_PATH := $(abspath $(B))/lib
check-cluster:                              #  all tests of several nodes, the long ones and adversaries too
	@deploy/setup.sh build check
	@$(MAKE) all $(BREAKERS) $(B)/test/test_churn $(B)/test/test_return
	@$(MAKE) -k $(B)/venv/.done $(B)/js/.done \
	    || echo 'some packages are missing: tests that need them are skipped'
	@mkdir -p $(B)/test
	@rm -f $(B)/test/*.status
	@eval "$$RUN_TEST"; \
	{ for way in seeds gossip beacon; do \
	    ARGS="--discovery $$way" run_test chaos_$$way 1200 $(BESIDE); done; \
	    ARGS=--disks run_test chaos_disks 1200 $(BESIDE); } & beside=$$!; \
	trap 'pkill -P $$beside' EXIT; \
	for script in $(filter-out $(BESIDE),$(filter test/cluster/%,$(SCRIPTS))); do \
	    name=$${script#test/}; name=$${name%.sh}; run_test $${name//\//_} 900 $$script; done; \
	run_test adversaries 1200 $(MAKE) check-adversary; \
	wait $$beside
	@$(COUNT_TESTS)

#  The adversaries of data safety: each of their tests, so many rounds, some side by side
ADVERSARIES := $(B)/test/test_adversary $(B)/test/test_adversary_nodes
check-adversary: export UMBP_ROUNDS ?= 10000
check-adversary:                            #  adversarial tests, each $UMBP_ROUNDS rounds
	@deploy/setup.sh build check
	@$(MAKE) $(ADVERSARIES)
	@for program in $(ADVERSARIES); do $$program list | sed "s,^,$$program ,"; done \
	    | xargs -P 5 -L 1 bash -c 'log=$$0-$$1.log; "$$0" "$$1" >"$$log" 2>&1 </dev/null \
	        && echo "PASS  $$(grep -ao "\[.*rounds, seed.*" "$$log" | head -n 1)" \
	        || { echo "FAIL  $$1, see $$log"; exit 255; }'

#  All tiers: the short tests with several seeds, each crash many times, other file systems, whole nodes
check-tiers: export UMBP_BUILD := $(abspath $(B))
check-tiers: all                            #  every test of the tiers, more often than check has it; $UMBP_ROUNDS crashes a point
	@deploy/setup.sh build check
	@$(MAKE) tests $(BREAKERS)
	@test/tier/all.sh

check-rdma: export UMBP_BUILD := $(abspath $(B))
check-rdma:                                 #  RDMA in a virtual machine: boots, tests, compares; minutes
	@deploy/setup.sh build rdma
	@grep -qs VERBS_LIBS $(B)/packages.mk || rm -f $(B)/packages.mk
	@$(MAKE) $(B)/lib/libumbp-verbs.so $(B)/bin/umbp-node $(B)/bin/umbp-console \
	    $(B)/test/accel/libcuda.so $(GUEST:test/guest/%.c=$(B)/test/guest-%)
	@test/guest/run.sh

$(B)/venv/.done: test/requirements.txt
	python3 -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@
$(B)/js/.done: Makefile
	npm install --silent --no-audit --no-fund --prefix $(@D) zeromq@6 cbor-x@1 </dev/null
	@touch $@

#  The same tests, built with sanitizers. personality: their maps want less random addresses.
#  -O1: they compile in two thirds of the time, but gcc sees less and warns of what cannot be; it is
#  the plain build whose warnings count
build-asan check-asan: SAN := -O1 -Wno-error -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
build-tsan check-tsan: SAN := -O1 -Wno-error -fsanitize=thread -fno-omit-frame-pointer
check-asan: export UBSAN_OPTIONS ?= print_stacktrace=1
check-asan: export LSAN_OPTIONS ?= suppressions=$(CURDIR)/deploy/lsan.supp:print_suppressions=0
check-tsan: export TSAN_OPTIONS ?= suppressions=$(CURDIR)/deploy/tsan.supp second_deadlock_stack=1 history_size=7 ignore_noninstrumented_modules=1
check-tsan: BUT := test_agree test_message test_policy_trace     #  Of one thread, and slow: no race
build-asan build-tsan: build-%:             #  builds what check-% runs
	@deploy/setup.sh build check
	@$(MAKE) B=$(B)/$* SAN='$(SAN)' tests
check-asan check-tsan: check-%:             #  unit tests under sanitizers
	@deploy/setup.sh build check
	@rm -f $(B)/$*/test/*.status
	@mkdir -p $(B)/$*/test
	@$(MAKE) --jobs=$(TEST_JOBS) B=$(B)/$* SAN='$(SAN)' RUNNER='setarch -R' BUT='$(BUT)' unit
	@B=$(B)/$*; $(subst $(B)/test,$$B/test,$(COUNT_TESTS))

#  What a fuzzer finds new stays in $(B)/fuzz/corpus; what all begin with is kept in test/fuzz/corpus.
#  An input that breaks a claim is left in $(B)/fuzz as NAME-crash-*, to be run again by its path
fuzz:                                       #  each fuzzer for $FUZZ_S seconds
	@deploy/setup.sh build lint && deploy/setup.sh fuzz
	@$(MAKE) B=$(B)/fuzz CC=clang SAN='-fsanitize=fuzzer-no-link,address,undefined \
	    -fno-sanitize-recover=all' $(FUZZ:test/fuzz/%.c=$(B)/fuzz/test/%)
	@test/fuzz/run.sh $(B)/fuzz $(FUZZ_S) $(FUZZ:test/fuzz/%.c=%)

#  Layout and static analysis. tidy looks at a file once it compiles with $(CC), and not again
#  before it, or a header of it, changes
fmt:                                        #  gives every file the project's layout
	@deploy/setup.sh lint
	@deploy/fmt.sh write $(SOURCES) $(HEADERS)
fmt-check:                                  #  is every file in that layout?
	@deploy/setup.sh lint
	@deploy/fmt.sh check $(SOURCES) $(HEADERS)

lint: fmt-check lint-clang lint-cppcheck    #  fmt-check, clang's warnings, clang-tidy, cppcheck
	@:
check-clang:                                #  does everything compile with clang, without warnings?
	@deploy/setup.sh build check lint
	@$(MAKE) B=$(B)/clang CC=clang $(SOURCES:%.c=$(B)/clang/obj/%.o)
lint-clang:
	@deploy/setup.sh build check lint
	@$(MAKE) B=$(B)/clang CC=clang $(SOURCES:%.c=$(B)/clang/tidy/%.ok)
lint-cppcheck:
	@deploy/setup.sh build check lint
	@mkdir -p $(B)/cppcheck
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
	    --error-exitcode=1 -j$$(nproc) --cppcheck-build-dir=$(B)/cppcheck -D_GNU_SOURCE -I. \
	    -D'CU_ASSERT(value)={}' \
	    --suppressions-list=deploy/cppcheck.supp $(SOURCES)

#  In a test it is no defect to go on after a failed CU_ASSERT, to count narrowly, or to ask twice
#  for a random number
$(B)/tidy/test/%.ok: TIDY_FLAGS := --checks=-clang-analyzer-*,-misc-redundant-expression,$\
             -bugprone-integer-division,-bugprone-too-small-loop-variable
$(B)/tidy/%.ok: $(B)/obj/%.o deploy/clang-tidy
	@mkdir -p $(@D)
	@echo clang-tidy $*.c
	@clang-tidy --quiet --config-file=deploy/clang-tidy $(TIDY_FLAGS) $*.c -- $(ALL_CFLAGS) \
	    >$@.log 2>&1 || { cat $@.log; exit 1; }
	@touch $@

#  A public header names others from the root of the tree; installed, they are neighbours
INCLUDEDIR = $(DESTDIR)$(PREFIX)/include/umbp
LIBDIR = $(DESTDIR)$(PREFIX)/lib
BINDIR = $(DESTDIR)$(PREFIX)/bin
install: all                                #  under $DESTDIR$PREFIX
	@mkdir -p $(INCLUDEDIR) $(LIBDIR)/pkgconfig $(BINDIR)
	for header in $(PUBLIC); do sed -E 's,^#include "[a-z/]+/([a-z_]+\.h)",#include "\1",' $$header \
	    >$(INCLUDEDIR)/$${header##*/} || exit 1; done
	install -m 644 $(LIBS) $(LIBDIR)
	install -m 755 $(SHARED:=.$(SOVERSION)) $(LIBDIR)
	for name in $(notdir $(SHARED)); do ln -sf $$name.$(SOVERSION) $(LIBDIR)/$$name || exit 1; done
	for name in umbp umbpnode; do sed -e 's,@PREFIX@,$(PREFIX),; s,@VERSION@,$(VERSION),' \
	    deploy/$$name.pc.in >$(LIBDIR)/pkgconfig/$$name.pc || exit 1; done
	$(if $(PROGS),install -m 755 $(PROGS) $(BINDIR))
	$(if $(PLUGINS),install -m 755 $(PLUGINS) $(LIBDIR))
	@[[ -n "$(DESTDIR)" || $$(id -u) != 0 ]] || ldconfig

uninstall:                                  #  what install put there
	rm -f $(addprefix $(INCLUDEDIR)/,$(notdir $(PUBLIC))) $(addprefix $(BINDIR)/,$(notdir $(PROGS)))
	rm -f $(addprefix $(LIBDIR)/,$(notdir $(LIBS) $(SHARED) $(SHARED:=.$(SOVERSION))) libumbp-verbs.so $(notdir $(PLUGINS)))
	rm -f $(LIBDIR)/pkgconfig/umbp.pc $(LIBDIR)/pkgconfig/umbpnode.pc
	@rmdir --ignore-fail-on-non-empty $(INCLUDEDIR) 2>/dev/null || true

check-install: all                          #  installs into $B/stage and builds against that
	@deploy/setup.sh build check
	@rm -rf $(B)/stage
	@$(MAKE) install DESTDIR=$(abspath $(B)/stage) PREFIX=/usr >$(B)/install.log
	@deploy/check-install.sh $(abspath $(B)/stage)
	@$(MAKE) uninstall DESTDIR=$(abspath $(B)/stage) PREFIX=/usr >>$(B)/install.log
	@left=$$(find $(B)/stage -not -type d) \
	    && [[ -z "$$left" ]] || { echo "left behind: $$left"; exit 1; }

clean:                                      #  removes the build folder
	rm -rf $(B)

help:                                       #  this list
	@sed -nE 's/^([a-z%][-a-z %]*):.*  #  (.*)/\1\t\2/p' Makefile | sed 's/: check-%//' \
	    | while IFS=$$'\t' read -r target text; do printf '  %-24s %s\n' "$$target" "$$text"; done
