# clusterd: plain make. `make` builds, `make check` tests, `make install`
# installs. Compiler, flags and places can all be set on the command line:
#   make CC=clang  make WERROR=1  make install PREFIX=/usr DESTDIR=/tmp/x

# Of all that is made here: the packages and the programs have it from here.
VERSION	= 0.2.0
PREFIX	= /usr/local
BINDIR	= $(PREFIX)/bin
SBINDIR	= $(PREFIX)/sbin
MANDIR	= $(PREFIX)/share/man
DOCDIR	= $(PREFIX)/share/doc/clusterd
BASHDIR	= $(PREFIX)/share/bash-completion/completions
ZSHDIR	= $(PREFIX)/share/zsh/site-functions
UNITDIR	= $(PREFIX)/lib/systemd/system
SYSUSERSDIR = $(PREFIX)/lib/sysusers.d
DESTDIR	=

PKG_CONFIG ?= pkg-config
INSTALL	= install
# Where objects and programs go; the sanitizer builds use others.
B	= build

OPT	= -Os
CFLAGS	= -g
WARN	= -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes \
	  -Wmissing-prototypes -Wwrite-strings -Wundef -Wvla \
	  -Wformat=2 -Wimplicit-fallthrough
HARDEN	= -D_FORTIFY_SOURCE=2 -fPIE -fstack-protector-strong
LDHARDEN = -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack
ifdef WERROR
WARN	+= -Werror
endif

INIH_CFLAGS := $(shell $(PKG_CONFIG) --cflags inih 2>/dev/null)
INIH_LIBS := $(shell $(PKG_CONFIG) --libs inih 2>/dev/null || echo -linih)

# clusterd-web is built where its library is; WEB= leaves it out.
WEB	:= $(shell $(PKG_CONFIG) --exists libmicrohttpd 2>/dev/null && echo yes)
MHD_CFLAGS := $(shell $(PKG_CONFIG) --cflags libmicrohttpd 2>/dev/null)
MHD_LIBS := $(shell $(PKG_CONFIG) --libs libmicrohttpd 2>/dev/null)

# Where it was built makes no difference to what is built, whatever CFLAGS are given.
ALL_CFLAGS = -std=gnu11 $(OPT) $(WARN) $(HARDEN) -iquote src \
	  -D_GNU_SOURCE -DCLUSTERD_VERSION='"$(VERSION)"' \
	  -ffile-prefix-map=$(CURDIR)=. $(INIH_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(LDHARDEN) $(LDFLAGS)

# Every .c file of a room, a folder below src/, belongs to it; src/rooms.mk says
# which rooms there are and who may know whom.
include src/rooms.mk
sources	= $(sort $(wildcard src/$(1)/*.c))
objects	= $(patsubst src/%.c,$(B)/%.o,$(call sources,$(1)))
library	= $(B)/rooms/$(subst /,-,$(1)).a

# clusterctl is the rest of cli/.
DAEMON_MAIN = src/cli/clusterd.c src/cli/options.c
CTL_SRC	= $(filter-out $(DAEMON_MAIN),$(call sources,cli))
MAN	= man/clusterctl.1 man/clusterd.8 man/clusterd-web.8 man/clusterd.ini.5 \
	man/clusterd-control.7 man/clusterd-migrate.7 \
	man/clusterd-recipes.7

LIBRARY_ROOMS = $(filter-out cli web,$(ROOMS))
LIBRARIES = $(foreach r,$(LIBRARY_ROOMS),$(call library,$(r)))
OBJ	= $(patsubst src/%.c,$(B)/%.o,$(DAEMON_MAIN))
CTL_OBJ	= $(patsubst src/%.c,$(B)/%.o,$(CTL_SRC))
WEB_OBJ	= $(if $(WEB),$(call objects,web))
ALL_OBJ	= $(foreach r,$(filter-out web,$(ROOMS)),$(call objects,$(r))) $(WEB_OBJ)

# The layers below one, and the rooms that a room may know, and so on down.
LAYERS_BELOW_base =
LAYERS_BELOW_core = base
LAYERS_BELOW_linux = core/% base
LAYERS_BELOW_daemon = linux/% core/% base
down	= $(sort $(1) $(foreach r,$($(1)),$(call down,$(r))))
# From the top down, as the linker wants them: it would not find what is asked
# for from below.
rooms_of = $(filter $(LAYERS_BELOW_$(firstword $(subst /, ,$(1)))) \
	$(call down,$(1)),$(ROOMS))
libraries_of = $(foreach r,$(call rooms_of,$(1)),$(call library,$(r)))

.PHONY: all help
## all: clusterd, clusterctl, clusterd-web, the example; what `make` does
all: $(B)/clusterd $(B)/clusterctl $(if $(WEB),$(B)/clusterd-web,no-web) \
    examples/hello-server

.PHONY: no-web
## no-web: says that clusterd-web is left out, where its library is not there
no-web:
	@echo 'clusterd-web is left out: there is no libmicrohttpd (README)'

## help: this list
help:
	@sed -n 's/^## \([a-z0-9-]*\): /\1\t/p' Makefile \
	    conf/packaging/packages.mk | expand -t 20

.PHONY: objects
## objects: all objects, linking nothing
objects: $(ALL_OBJ)

$(B)/clusterd: $(OBJ) $(LIBRARIES)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(INIH_LIBS) $(LDLIBS)

# Of the rooms it takes what it uses: nothing of daemon/, little of linux/.
CTL_LIBRARIES = $(foreach r,$(filter linux/% core/% base,$(ROOMS)), \
	$(call library,$(r)))
$(B)/clusterctl: $(CTL_OBJ) $(CTL_LIBRARIES)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(INIH_LIBS) $(LDLIBS)

$(WEB_OBJ): ALL_CFLAGS += $(MHD_CFLAGS)
# Its page is in it.
$(B)/web/assets.o: $(wildcard src/web/page/*)
$(B)/clusterd-web: $(WEB_OBJ) $(CTL_LIBRARIES)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(INIH_LIBS) $(MHD_LIBS) \
	    $(LDLIBS)

# The folder too: what has left it leaves the library.
define room_library
$(call library,$(1)): $(call objects,$(1)) src/$(1)
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(AR) rcs $$@ $$(filter %.o,$$^)
endef
$(foreach r,$(LIBRARY_ROOMS),$(eval $(call room_library,$(r))))

$(B)/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

examples/hello-server: examples/hello-server.c
	$(CC) -std=gnu11 $(OPT) $(WARN) $(HARDEN) -D_GNU_SOURCE $(CFLAGS) \
	    $(LDHARDEN) $(LDFLAGS) -o $@ $<

-include $(ALL_OBJ:.o=.d)

# ---- tests ----

CORE_OBJ = $(foreach r,$(filter core/%,$(ROOMS)),$(call objects,$(r)))
BASE_OBJ = $(call objects,base)

# tests/unit/ROOM/test_X.c is linked with the room and those below it.
UNIT_TESTS = $(patsubst tests/unit/%.c,%,$(sort \
	$(foreach r,$(ROOMS),$(wildcard tests/unit/$(r)/test_*.c))))
UNIT_PROGRAMS = $(UNIT_TESTS:%=$(B)/tests/%)
unit	= $(filter %/test_$(1),$(UNIT_PROGRAMS))

$(B)/tests/%.o: tests/unit/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -iquote tests/unit -MMD -MP -c -o $@ $<

define unit_test
$(B)/tests/$(1): Makefile src/rooms.mk $(B)/tests/$(1).o \
    $(call libraries_of,$(patsubst %/,%,$(dir $(1))))
	$$(CC) $$(ALL_CFLAGS) $$(ALL_LDFLAGS) -o $$@ $$(filter %.o,$$^) \
	    $$(filter %.a,$$^) $(patsubst test_%,$$(WRAP_%:%=$$(wrap)%),$(notdir $(1))) \
	    $$(INIH_LIBS) -lcmocka $$(LDLIBS)
endef
$(foreach t,$(UNIT_TESTS),$(eval $(call unit_test,$(t))))

# What a test puts its own function before.
comma	= ,
wrap	= -Wl$(comma)--wrap=
WRAP_app_rollout = adopt_review_soon mono_now steer_away steer_away_crew \
	steer_keeps_waiting steer_note steer_proof steer_sight worker_free \
	worker_kill worker_new worker_pass worker_retire worker_start worker_stop
WRAP_adopt_doubt = adopt_holds adopt_waits adopt_waits_but_for app_spec_has \
	app_spec_listener app_spec_n_listeners mono_now orphans_look_for_crew \
	spec_lanes_find worker_ready
WRAP_adopt_held = spec_lanes_find spec_lanes_inodes waiting_holds waiting_look
WRAP_adopt_review = adopt_doubt_ends adopt_doubt_goes_on adopt_hint_late \
	adopt_hint_public adopt_may_be_served app_spec_has_taken \
	app_spec_listener app_spec_n_listeners epoll_wait hint_is_unbound \
	listener_suspend mono_now worker_ready
WRAP_adopt_tryout = adopt_has_taken adopt_holds_inode adopt_waits \
	adopt_waits_but_for app_spec_find_lane app_spec_has_taken \
	app_spec_is_settled app_spec_rival app_spec_take app_spec_try_listener \
	epoll_wait lanes_claim mono_now readiness_expect spec_lanes_find \
	worker_note worker_ready
WRAP_apps = $(WRAP_app_rollout)
WRAP_start_list = $(WRAP_app_rollout) ledger_publish
WRAP_ledger = ledger_publish ledger_store
WRAP_life = log_vital mono_now process_child_in_group process_kill \
	process_kill_group process_reap spawn
WRAP_look_queue = mono_now
WRAP_ending = apps_only_killed_left epoll_wait mono_now
WRAP_pidfile = fchmod mono_now rename
WRAP_readiness = drain_sight_open drain_sight_queue epoll_wait hint_unseen \
	looks_are_many looks_await looks_forget looks_waiting mono_now \
	spec_lanes_inodes worker_log_often worker_post
WRAP_reaper = mono_now process_is_dead process_next_dead process_reap worker_died
WRAP_orphans = process_proc_is_ours process_env
WRAP_waiting = executing_is
WRAP_cgroup_tree = cgroup_may_be_delegated cgroup_own mkdir rmdir write
WRAP_control = control_socket_accept epoll_wait mono_now reload_request
WRAP_control_places = $(WRAP_control)
WRAP_control_socket = bind keeper_supervisor mono_now pwrite
WRAP_out_kept = malloc
WRAP_out_place = $(WRAP_outputs)
WRAP_out_readers = $(WRAP_outputs)
WRAP_output = $(WRAP_outputs)
WRAP_outputs = __poll_chk epoll_wait mono_now poll
WRAP_sink = pwritev2
WRAP_steer = lanes_live_apply mono_now steer_watch
WRAP_stopping = above_tell_more above_tell_stop apps_drain apps_have_retired apps_stop \
	epoll_wait listeners_shut mono_now reload_cancel
WRAP_loop = epoll_wait mono_now
WRAP_take_over = close listen steering_ebpf_set_lane
WRAP_sockdiag = recvmsg sendto socket

# Those for which memory fails when they say so: see tests/unit/lib/alloc_fail.h.
ALLOC_TESTS = adoption conf_print connections cpu_quota error lanes line_split \
	looks loop metrics restart ring sockdiag status status_view steering_cbpf str \
	worker_env
ALLOC	= __asprintf_chk __vasprintf_chk asprintf calloc malloc realloc \
	reallocarray strdup strndup vasprintf
$(foreach t,$(ALLOC_TESTS),$(eval WRAP_$(t) += $(ALLOC)) \
	$(eval $(call unit,$(t)): $(B)/tests/lib/alloc_fail.o))

# The sample of status that several tests read.
$(foreach t,metrics status status_view status_well,$(call unit,$(t))): \
    $(B)/tests/core/status/status_lines.o

# A configuration, of its text.
$(foreach t,app_rollout apps app_spec life start_list,$(call unit,$(t))): \
    $(B)/tests/lib/config.o

# Workers that are no processes.
$(foreach t,app_rollout apps start_list,$(call unit,$(t))): \
    $(B)/tests/daemon/apps/fake_workers.o

# The room with a socket, and its clients.
$(foreach t,control control_places,$(call unit,$(t))): \
    $(B)/tests/daemon/control/control_room.o

# Their clock, the log in memory, and pipes that nobody has to wait for.
$(foreach t,out_place out_readers output outputs,$(call unit,$(t))): \
    $(B)/tests/daemon/output/turns.o $(B)/tests/daemon/output/room.o

# Listeners, their workers and clients.
$(foreach t,lane_holders lanes_check listeners take_over,$(call unit,$(t))): \
    $(B)/tests/daemon/sockets/house.o

# Its slow network is a thread.
$(call unit,steering_ebpf): $(B)/tests/linux/bpf/delay_net.o
$(call unit,steering_ebpf): LDLIBS += -pthread

# The workers of the end-to-end tests.
WORKERS	= $(B)/probe $(B)/binder
$(WORKERS): $(B)/%: tests/e2e/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(OPT) $(WARN) -D_GNU_SOURCE $(CFLAGS) $(LDFLAGS) \
	    -pthread -o $@ $<

# The load generator for drains, and whether it tells the truth.
$(B)/openloop: tests/bench/openloop.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(OPT) $(WARN) -D_GNU_SOURCE $(CFLAGS) $(LDFLAGS) \
	    -o $@ $< -lm

# How long the turns of clusterd's loop are, for the chaos.
$(B)/looptime: tests/bench/looptime.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(OPT) $(WARN) -D_GNU_SOURCE $(CFLAGS) $(LDFLAGS) \
	    -o $@ $<

# What the soak supervises.
$(B)/soak-server: tests/soak/server.c
$(B)/soak-edge: tests/soak/servers/edge.c
$(B)/soak-server $(B)/soak-edge:
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(OPT) $(WARN) -D_GNU_SOURCE $(CFLAGS) $(LDFLAGS) \
	    -o $@ $<

# Each fuzz target's corpus, replayed by a plain main(). `make fuzz` fuzzes.
FUZZ_TARGETS = adoption conf control http import ledger

$(B)/tests/replay_%: tests/fuzz/replay.c tests/fuzz/fuzz_%.c tests/fuzz/fuzz.h
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter-out %.h,$^) \
	    $(INIH_LIBS) $(LDLIBS)

$(B)/tests/replay_adoption: $(call libraries_of,core/sockets)
$(B)/tests/replay_conf: $(call libraries_of,core/conf)
$(B)/tests/replay_control: $(call libraries_of,core/status)
$(B)/tests/replay_import: $(call libraries_of,core/import)
$(B)/tests/replay_http: $(call libraries_of,core/health)
$(B)/tests/replay_ledger: $(call libraries_of,core/ledger)

-include $(UNIT_PROGRAMS:=.d) $(B)/tests/core/status/status_lines.d \
    $(B)/tests/daemon/apps/fake_workers.d $(B)/tests/linux/bpf/delay_net.d \
    $(B)/tests/lib/alloc_fail.d $(B)/tests/lib/config.d \
    $(B)/tests/daemon/control/control_room.d \
    $(B)/tests/daemon/output/turns.d $(B)/tests/daemon/output/room.d \
    $(B)/tests/daemon/sockets/house.d

# The first Python that has pytest.
PYTHON	= $$(for p in /usr/bin/python3 python3; do \
	$$p -c 'import pytest' 2>/dev/null && { echo $$p; break; }; done) -B
PYTEST	= $(PYTHON) -m pytest -p no:cacheprovider
ASAN_FLAGS = -g -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
ASAN	= B=build-asan OPT=-O1 HARDEN= LDHARDEN= CFLAGS='$(ASAN_FLAGS)'
# Tests that start thousands of processes or measure are left out of the slow
# runs, not out of `make check`: the plain run has them all.
SLOW	= not heavy

VALGRIND = valgrind -q --error-exitcode=99 --leak-check=full \
	--trace-children=no --child-silent-after-fork=yes

.PHONY: check check-rooms check-core check-unit check-fuzz check-man \
	check-contributing check-metrics check-openloop check-soak check-chaos check-e2e check-asan check-valgrind \
	check-unit-asan check-fuzz-asan check-clang \
	check-cross check-inih fuzz \
	$(FUZZ_TARGETS:%=fuzz-%) soak chaos bench

# What `make check` runs: check-X for each X. Those joined by a plus run beside
# each other: the two long ones wait for events most of the time, and are over in
# much less than one after the other would take.
# soak measures how late the machine is, and stays alone.
SUITES	= rooms core contributing bpf man unit fuzz metrics openloop soak \
	unit-asan fuzz-asan e2e+asan valgrind

## check: all the suites below; SUITES='unit e2e' for some of them
check: all $(WORKERS)
	@case '$(SUITES)' in *asan*) \
	    $(MAKE) $(ASAN) build-asan/clusterd build-asan/clusterctl \
		$(if $(WEB),build-asan/clusterd-web) ;; esac
	@python3 -B tests/run-suites.py '$(MAKE)' $(B)/check $(SUITES)

## check-rooms: are includes and calls as src/rooms.mk says?
check-rooms: $(ALL_OBJ)
	python3 -B tests/check-rooms.py . $(B)
	CC='$(CC)' python3 -B tests/check-rooms-test.py

## check-core: is core/ pure, by the symbols it needs?
check-core: $(CORE_OBJ) $(BASE_OBJ)
	@sh tests/check-core-pure.sh $(CORE_OBJ) $(BASE_OBJ)

## check-contributing: is what CONTRIBUTING.md names there?
check-contributing:
	@python3 -B tests/check-contributing.py

## check-man: mandoc's warnings about the manual pages, and what they quote
check-man:
	mandoc -T lint -W warning $(MAN)
	python3 -B tests/check-diagnostics.py

# All of them, or those of a room or a program.
UNIT	=
unit_chosen = $(if $(UNIT),$(filter $(UNIT:%=$(B)/tests/%) \
	$(UNIT:%=$(B)/tests/%/%),$(UNIT_PROGRAMS)),$(UNIT_PROGRAMS))

## check-unit: the unit tests; UNIT=core/conf or core/conf/test_man for some
check-unit: $(unit_chosen)
	@sh tests/run-unit.sh $(B)/tests $(unit_chosen)

## check-fuzz: the fuzzers' corpora once more
check-fuzz: $(FUZZ_TARGETS:%=$(B)/tests/replay_%)
	@set -e; for t in $(FUZZ_TARGETS); do \
	    $(B)/tests/replay_$$t tests/fuzz/corpus/$$t/*; \
	done

## check-unit-asan: the unit tests under the sanitizers
## check-fuzz-asan: the corpora under the sanitizers
check-unit-asan check-fuzz-asan: check-%-asan:
	$(MAKE) $(ASAN) check-$*

## check-metrics: can those who read metrics read ours?
check-metrics: $(call unit,metrics)
	/usr/bin/python3 -B tests/check-metrics.py $(call unit,metrics)

## check-openloop: does the load generator tell what happens?
check-openloop: $(B)/openloop
	python3 -B tests/bench/check_openloop.py $(B)/openloop

# How long, and what of it again: see tests/soak/soak.py.
SOAK_SECONDS = 3600
SEED	=
EPISODE	=
soak	= CLUSTERD=$(B)/clusterd SOAK_SERVER=$(B)/soak-server \
	$(PYTHON) tests/soak/soak.py

## soak: whatever happens to workers, at random, for SOAK_SECONDS=3600; SEED=…
soak: all $(B)/soak-server $(B)/soak-edge
	$(soak) '$(SOAK_SECONDS)' '$(SEED)' '$(EPISODE)'

# A failure there is to be one again, when it is looked into.
CHECK_SEED = $(if $(SEED),$(SEED),check)

## check-soak: a minute of it, first what has found something once; SEED=check
check-soak: all $(B)/soak-server $(B)/soak-edge
	$(PYTEST) -q tests/soak
	$(soak) known 60 '$(CHECK_SEED)'

# Which clusterd, of how many apps, and what of it: see tests/bench/chaos.py.
CLUSTERD = $(B)/clusterd
CHAOS_SECONDS = 600
APPS	= 300
INSTANCES = 10
CHAOS	=
chaos	= CLUSTERD='$(1)' PROBE=$(B)/probe BINDER=$(B)/binder \
	LOOPTIME=$(B)/looptime $(PYTHON) tests/bench/chaos.py

## chaos: all floods there are, one by one and together, CHAOS_SECONDS=600; SEED=…
chaos: all $(WORKERS) $(B)/looptime
	$(call chaos,$(CLUSTERD)) --seconds '$(CHAOS_SECONDS)' --seed '$(SEED)' \
	    --apps '$(APPS)' --instances '$(INSTANCES)' $(CHAOS)

## check-chaos: five seconds of it, without the figures
check-chaos: all $(WORKERS) $(B)/looptime
	$(call chaos,$(B)/clusterd) --seconds 5 --apps 3 --instances 2 \
	    --mode together

# What pytest runs: E2E=tests/e2e/life/test_stop.py for a file, with ::test_name for a
# test, E2E='tests/e2e -k name' for what has a name in common. Of a choice there
# may be nothing to run in some way; of the whole that is an error.
E2E	= tests/e2e
pytest	= $(PYTEST) $(1) $(E2E) || { code=$$?; \
	[ $$code = 5 ] && [ "$(E2E)" != tests/e2e ]; }
E2E_PROGRAMS = PROBE=$(B)/probe BINDER=$(B)/binder

## check-e2e: the end-to-end tests; E2E=tests/e2e/life/test_X.py for some
check-e2e: all $(WORKERS)
	CLUSTERD=$(B)/clusterd $(E2E_PROGRAMS) $(call pytest)

## check-asan: the end-to-end tests with clusterd under the sanitizers
check-asan: $(WORKERS)
	$(MAKE) $(ASAN) build-asan/clusterd build-asan/clusterctl \
	    $(if $(WEB),build-asan/clusterd-web)
	CLUSTERD=build-asan/clusterd $(E2E_PROGRAMS) CLUSTERD_TEST_SLOW=3 \
	    ASAN_OPTIONS=abort_on_error=0:detect_leaks=1 \
	    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	    $(call pytest,-m '$(SLOW)')

## check-valgrind: a choice of the end-to-end tests with clusterd under valgrind
check-valgrind: all $(WORKERS)
	CLUSTERD=$(B)/clusterd $(E2E_PROGRAMS) CLUSTERD_TEST_SLOW=5 \
	    CLUSTERD_FORK=1 CLUSTERD_WRAP='$(VALGRIND)' $(call pytest,-m valgrind)

## check-clang: all compiled by clang; a warning is an error
check-clang:
	$(MAKE) B=build-clang CC=clang WERROR=1 build-clang/clusterd \
	    build-clang/clusterctl $(if $(WEB),build-clang/clusterd-web) \
	    build-clang/probe build-clang/binder

# Another machine's system call numbers and struct layouts, compiled and not
# run; inih's header is the same for all, its library is not needed for that.
CROSS	= aarch64-linux-gnu-gcc
## check-cross: all compiled for aarch64, where that compiler is at hand
check-cross:
	@if command -v $(CROSS) >/dev/null; then \
	    mkdir -p build-cross/include && \
	    cp /usr/include/ini.h build-cross/include && \
	    $(MAKE) B=build-cross CC=$(CROSS) WERROR=1 WEB= \
		INIH_CFLAGS=-Ibuild-cross/include objects; \
	else \
	    echo "$(CROSS) is not at hand: nothing is compiled for it"; \
	fi

## check-inih: unit tests with upstream's inih as in INIH=DIRECTORY
check-inih:
	@mkdir -p build-inih
	$(CC) -O1 -fPIE -c -o build-inih/ini.o $(INIH)/ini.c
	$(MAKE) B=build-inih INIH_CFLAGS=-I$(INIH) INIH_LIBS=build-inih/ini.o \
	    check-unit check-fuzz

## fuzz: the fuzzers, SECONDS=60 for each; fuzz-conf runs one
fuzz: $(FUZZ_TARGETS:%=fuzz-%)

$(FUZZ_TARGETS:%=fuzz-%): fuzz-%:
	@mkdir -p build-fuzz/corpus/$*
	clang -std=gnu11 -g -O1 -D_GNU_SOURCE -iquote src $(INIH_CFLAGS) \
	    -fsanitize=fuzzer,address,undefined -o build-fuzz/fuzz_$* \
	    tests/fuzz/fuzz_$*.c $(foreach r,$(filter core/% base,$(ROOMS)),$(call sources,$(r))) \
	    $(INIH_LIBS)
	build-fuzz/fuzz_$* -max_total_time=$${SECONDS:-60} \
	    build-fuzz/corpus/$* tests/fuzz/corpus/$*

# ---- eBPF ----

# The programs in src/bpf/ are compiled by whoever changes them. What comes of it
# is committed, so that a build needs no clang.
BPF_CLANG = clang
BPF_SRC	= src/bpf/count.bpf.c src/bpf/flows.bpf.c src/bpf/steer.bpf.c
BPF_OBJ	= $(patsubst src/%.c,$(B)/%.o,$(BPF_SRC))
BPF_CFLAGS = -std=gnu11 -target bpfel -mcpu=v3 -O2 -fno-unroll-loops \
	-Wall -Wextra -Werror -iquote src \
	-I/usr/include/$(shell $(CC) -print-multiarch 2>/dev/null)

.PHONY: bpf check-bpf

$(B)/bpf/%.o: src/bpf/%.c src/bpf/kernel.h src/bpf/cell.h \
    src/linux/bpf/steering_layout.h
	@mkdir -p $(@D)
	$(BPF_CLANG) $(BPF_CFLAGS) -c -o $@ $<

## bpf: compile src/bpf/ anew, for whoever has changed it
bpf: $(BPF_OBJ)
	python3 -B src/bpf/bytecode.py $(BPF_OBJ) >$(B)/bpf/bytecode.h
	mv $(B)/bpf/bytecode.h src/linux/bpf/steering_bytecode.h

# Another clang makes other code of the same source: only the one that made the
# committed code, whose version stands in it, can be compared with.
## check-bpf: is the committed eBPF code what its source says?
check-bpf:
	@version=$$($(BPF_CLANG) --version 2>/dev/null | head -n 1); \
	if [ -n "$$version" ] && \
	    grep -qF "$$version" src/linux/bpf/steering_bytecode.h; then \
	    $(MAKE) --no-print-directory $(BPF_OBJ) && \
	    BPF_CLANG=$(BPF_CLANG) python3 -B src/bpf/bytecode.py $(BPF_OBJ) | \
		diff src/linux/bpf/steering_bytecode.h - && \
	    echo "bpf: the code is what its source says"; \
	else \
	    echo "bpf: not by this clang, not compared"; \
	fi

## bench: measure the figures of the README
bench: all
	python3 -B tests/bench/figures.py
	python3 -B tests/bench/adopt.py
	python3 -B tests/bench/balance.py
	python3 -B tests/bench/reload.py
	python3 -B tests/bench/many.py
	python3 -B tests/bench/output.py

# ---- a new machine ----

BUILD_PACKAGES = gcc libc6-dev pkg-config libinih-dev
# For clusterd-web.
WEB_PACKAGES = libmicrohttpd-dev
# Servers that read LISTEN_FDS unasked, and those that a protocol is for.
TAKERS	= uwsgi-core uwsgi-plugin-python3 unicorn puma nbdkit gunicorn \
	pgbouncer stunnel4 python3-cheroot php-fpm starlet starman h2o \
	libserver-starter-perl python3-systemd uvicorn python3-celery celery
TEST_PACKAGES = $(BUILD_PACKAGES) $(WEB_PACKAGES) clang libcmocka-dev python3 python3-pytest \
	valgrind strace mandoc procps curl util-linux libcap2-bin iproute2 nodejs \
	golang-go php-cli busybox-static nginx-light redis-server socat ruby \
	ruby-webrick ruby-sd-notify tarantool zsh prometheus \
	python3-prometheus-client python3-twisted python3-yaml systemd haproxy \
	$(TAKERS) gcc-aarch64-linux-gnu libc6-dev-arm64-cross
BUILD_NEEDS = $(CC) --version && $(PKG_CONFIG) --exists inih
WEB_NEEDS = $(PKG_CONFIG) --exists libmicrohttpd
TEST_NEEDS = $(BUILD_NEEDS) && $(WEB_NEEDS) && test -e /usr/include/cmocka.h && \
	/usr/bin/python3 -c 'import pytest, prometheus_client, cheroot, \
	    systemd.daemon, twisted, yaml' && \
	valgrind --version && strace --version && clang --version && \
	PATH=$$PATH:/usr/sbin && \
	which systemd-analyze curl nsenter mandoc unshare pkill capsh ip node go php \
	    busybox nginx haproxy \
	    redis-server socat ruby tarantool zsh promtool aarch64-linux-gnu-gcc \
	    uwsgi unicorn puma nbdkit gunicorn pgbouncer stunnel4 start_server \
	    plackup starman h2o && ls /usr/sbin/php-fpm* && \
	ruby -e "require 'webrick'; require 'sd_notify'"

# $(call need,CONDITION,PACKAGES): nothing where all is there; apt-get where
# there is one; a list of what to install elsewhere. Servers among the packages
# are not to be started as services: invoke-rc.d(8) asks policy-rc.d.
need	= @if { $(1); } >/dev/null 2>&1; then :; \
	elif command -v apt-get >/dev/null; then \
	    sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	    echo "installing: $(2)"; \
	    policy=/usr/sbin/policy-rc.d; \
	    if [ -e $$policy ]; then policy=; else \
		printf '\#!/bin/sh\nexit 101\n' | \
		    $$sudo install -m 755 /dev/stdin $$policy; fi; \
	    $$sudo apt-get update -qq && $$sudo env \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
	    --no-install-recommends $(2); \
	    code=$$?; [ -z "$$policy" ] || $$sudo rm -f $$policy; exit $$code; \
	else \
	    echo "Please install these, or what they are called here, and try"; \
	    echo "again: $(2)"; \
	    exit 1; \
	fi

.PHONY: build-deps test-deps demo-deps demo test

## build-deps: install what a build needs
build-deps:
	$(call need,$(BUILD_NEEDS),$(BUILD_PACKAGES))

## test-deps: install what the tests need
test-deps:
	$(call need,$(TEST_NEEDS),$(TEST_PACKAGES))

## demo-deps: install what the demo needs: a build, and clusterd-web
demo-deps:
	$(call need,$(BUILD_NEEDS) && $(WEB_NEEDS),$(BUILD_PACKAGES) $(WEB_PACKAGES))

## demo: build, and start the hello cluster
demo: demo-deps
	@echo 'building ...'
	@$(MAKE) --no-print-directory -s -j"$$(nproc)" all
	@echo
	@echo '  The hello cluster comes up on http://localhost:8080/'
	@echo
	@echo '  Try, in another terminal:'
	@echo '    curl http://localhost:8080/      (again and again: who answers?)'
	@echo '    $(B)/clusterctl signal hello:0 KILL  (kill a worker: it comes back)'
	@echo '    $(B)/clusterctl status --watch  (see it live; q quits)'
	@echo '    $(B)/clusterctl reload          (every worker is replaced)'
	@echo '    $(B)/clusterctl scale hello +2  (two instances more)'
	@echo '  Stop it with Ctrl-C.'
	@echo
	@exec $(B)/clusterd -c conf/hello.ini

## test: what CI runs: test-deps, check-clang, check-cross, check
test: test-deps
	$(MAKE) --no-print-directory check-clang WERROR=1
	$(MAKE) --no-print-directory check-cross
	$(MAKE) --no-print-directory check WERROR=1

# ---- install ----

.PHONY: install uninstall clean

# Those who name the programs get the names that they have here.
place	= sed 's|/usr/local/sbin/|$(SBINDIR)/|g; s|/usr/local/bin/|$(BINDIR)/|g'
# A service for each file: of app.ini's unit, where it stands for one instance.
each	= 's|app\.ini|%i.ini|; s|a cluster of any server|%i: &|; /^\# One service/,/^\#$$/d'

## install: to PREFIX (/usr/local), below DESTDIR; units to UNITDIR
install: all
	$(INSTALL) -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(BINDIR) \
	    $(MAN_SECTIONS:%=$(DESTDIR)$(MANDIR)/man%) \
	    $(DESTDIR)$(DOCDIR)/examples/docker \
	    $(DESTDIR)$(DOCDIR)/examples/prometheus \
	    $(DESTDIR)$(DOCDIR)/examples/events \
	    $(DESTDIR)$(DOCDIR)/examples/container $(DESTDIR)$(UNITDIR) \
	    $(DESTDIR)$(SYSUSERSDIR) $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR)
	$(INSTALL) -m 755 $(B)/clusterd $(DESTDIR)$(SBINDIR)/clusterd
	$(INSTALL) -m 755 $(B)/clusterctl $(DESTDIR)$(BINDIR)/clusterctl
	$(if $(WEB),$(INSTALL) -m 755 $(B)/clusterd-web \
	    $(DESTDIR)$(SBINDIR)/clusterd-web)
	$(INSTALL) -m 644 completions/clusterctl.bash \
	    $(DESTDIR)$(BASHDIR)/clusterctl
	$(INSTALL) -m 644 completions/_clusterctl \
	    $(DESTDIR)$(ZSHDIR)/_clusterctl
	$(if $(WEB),$(INSTALL) -m 644 completions/clusterd-web.bash \
	    $(DESTDIR)$(BASHDIR)/clusterd-web)
	$(if $(WEB),$(INSTALL) -m 644 completions/_clusterd-web \
	    $(DESTDIR)$(ZSHDIR)/_clusterd-web)
	set -e; for page in $(MAN); do \
	    $(place) $$page >$(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/}; done
	$(INSTALL) -m 644 README.md CHANGELOG.md LICENSE conf/app.ini \
	    $(DESTDIR)$(DOCDIR)
	$(INSTALL) -m 644 $(EXAMPLES) $(DESTDIR)$(DOCDIR)/examples
	$(INSTALL) -m 644 $(EXAMPLES_DOCKER) \
	    $(DESTDIR)$(DOCDIR)/examples/docker
	$(INSTALL) -m 644 $(EXAMPLES_PROMETHEUS) \
	    $(DESTDIR)$(DOCDIR)/examples/prometheus
	$(INSTALL) -m 755 $(EXAMPLES_EVENTS) \
	    $(DESTDIR)$(DOCDIR)/examples/events
	$(INSTALL) -m 644 $(EXAMPLES_CONTAINER) \
	    $(DESTDIR)$(DOCDIR)/examples/container
	set -e; for file in $(EXAMPLES_FARM); do \
	    $(INSTALL) -D -m 644 $$file $(DESTDIR)$(DOCDIR)/$$file; done
	set -e; for unit in $(UNITS); do \
	    $(place) examples/$$unit >$(DESTDIR)$(DOCDIR)/examples/$$unit; done
	$(place) examples/clusterd.service >$(DESTDIR)$(UNITDIR)/clusterd.service
	$(place) examples/clusterd.service | sed $(each) \
	    >$(DESTDIR)$(UNITDIR)/clusterd@.service
	$(INSTALL) -m 644 conf/packaging/clusterd.sysusers \
	    $(DESTDIR)$(SYSUSERSDIR)/clusterd.conf

MAN_SECTIONS = $(sort $(subst .,,$(suffix $(MAN))))
UNITS	= clusterd.service clusterd-metrics.service clusterd-metrics.timer
EXAMPLES = examples/hello-server.c examples/hello-server.ini \
	examples/hello.js examples/hello-node.ini \
	examples/hello.py examples/hello-python.ini \
	examples/hello.go examples/hello-go.ini \
	examples/hello-minimal.c examples/hello-minimal.rs \
	examples/hello.rs examples/hello-rust.ini examples/clusterd.logrotate
EXAMPLES_DOCKER = examples/docker/Dockerfile \
	examples/docker/Dockerfile.dockerignore \
	examples/docker/app.ini examples/docker/server.js
EXAMPLES_PROMETHEUS = examples/prometheus/clusterd.rules.yml \
	examples/prometheus/clusterd-dashboard.json
EXAMPLES_EVENTS = examples/events/webhook.sh examples/events/mail.sh
EXAMPLES_CONTAINER = examples/container/Containerfile \
	examples/container/app.ini examples/container/index.html
# Where there is more than one machine.
EXAMPLES_FARM = examples/haproxy/README.md examples/haproxy/app.ini \
	examples/haproxy/server.js examples/haproxy/haproxy.cfg \
	examples/haproxy/nginx.conf \
	examples/kubernetes/README.md examples/kubernetes/configmap.yaml \
	examples/kubernetes/deployment.yaml examples/kubernetes/service.yaml \
	examples/kubernetes/podmonitor.yaml \
	examples/sessions/README.md examples/sessions/app.ini \
	examples/sessions/memory.ini examples/sessions/package.json \
	examples/sessions/server.js

# Directories that others may have something in stay.
## uninstall: take away what `make install` of the same places has put there
uninstall:
	rm -f $(DESTDIR)$(SBINDIR)/clusterd $(DESTDIR)$(SBINDIR)/clusterd-web \
	    $(DESTDIR)$(BINDIR)/clusterctl \
	    $(DESTDIR)$(BASHDIR)/clusterctl $(DESTDIR)$(ZSHDIR)/_clusterctl \
	    $(DESTDIR)$(BASHDIR)/clusterd-web $(DESTDIR)$(ZSHDIR)/_clusterd-web \
	    $(foreach m,$(MAN),$(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(m)))/$(notdir $(m))) \
	    $(DESTDIR)$(UNITDIR)/clusterd.service \
	    $(DESTDIR)$(UNITDIR)/clusterd@.service \
	    $(DESTDIR)$(SYSUSERSDIR)/clusterd.conf
	rm -rf $(DESTDIR)$(DOCDIR)

## clean: remove what was built
clean:
	rm -rf build build-asan build-clang build-cross build-fuzz build-inih \
	    build-static examples/hello-server

include conf/packaging/packages.mk
