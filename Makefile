# clusterd: plain make. `make` builds, `make check` tests, `make install`
# installs. Compiler, flags and places can all be set on the command line:
#   make CC=clang  make WERROR=1  make install PREFIX=/usr DESTDIR=/tmp/x

VERSION	= 0.1.0
PREFIX	= /usr/local
BINDIR	= $(PREFIX)/bin
SBINDIR	= $(PREFIX)/sbin
MANDIR	= $(PREFIX)/share/man
DOCDIR	= $(PREFIX)/share/doc/clusterd
BASHDIR	= $(PREFIX)/share/bash-completion/completions
ZSHDIR	= $(PREFIX)/share/zsh/site-functions
DESTDIR	=

PKG_CONFIG ?= pkg-config
INSTALL	= install
# Where objects and programs go; the sanitizer builds use others.
B	= build

OPT	= -O2
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

ALL_CFLAGS = -std=gnu11 $(OPT) $(WARN) $(HARDEN) -iquote src \
	  -D_GNU_SOURCE -DCLUSTERD_VERSION='"$(VERSION)"' \
	  $(INIH_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(LDHARDEN) $(LDFLAGS)

BASE_SRC = src/base/alarm.c src/base/error.c src/base/fd.c src/base/json.c \
	src/base/log.c src/base/log_line.c src/base/mono.c src/base/num.c src/base/sink.c \
	src/base/str.c src/base/utf8.c
CORE_SRC = src/core/address.c src/core/adoption.c src/core/balance.c \
	src/core/conf_check.c \
	src/core/conf_diff.c \
	src/core/conf_env.c src/core/conf_value_app.c \
	src/core/conf_error.c src/core/conf_files.c \
	src/core/conf_free.c src/core/conf_print.c \
	src/core/conf_read.c src/core/conf_schema.c src/core/conf_value.c \
	src/core/control.c \
	src/core/cpu_quota.c src/core/drain.c src/core/fd_protocol.c \
	src/core/lane_order.c \
	src/core/lane_rank.c src/core/line_split.c \
	src/core/notify_message.c \
	src/core/obituary.c src/core/out_tag.c \
	src/core/restart.c src/core/ring.c src/core/rollout.c \
	src/core/signal_name.c src/core/steering_cbpf.c \
	src/core/words.c src/core/worker_env.c src/core/worker_fsm.c
# What status looks like: clusterctl's, and no weight on clusterd.
VIEW_SRC = src/core/metrics_text.c src/core/status.c \
	src/core/status_grid.c src/core/status_json.c \
	src/core/status_table.c src/core/status_text.c \
	src/core/status_watch.c
LINUX_SRC = src/linux/bpf_syscall.c src/linux/cgroup.c \
	src/linux/conn_count.c src/linux/connections.c \
	src/linux/control_place.c src/linux/control_socket.c src/linux/cpus.c \
	src/linux/creds.c src/linux/epoll_enter.c src/linux/file.c \
	src/linux/fsids.c \
	src/linux/inspect.c src/linux/lane_queue.c \
	src/linux/listen_fds.c src/linux/listening.c src/linux/log_file.c \
	src/linux/loop.c \
	src/linux/notify_socket.c \
	src/linux/pidfile.c src/linux/process.c src/linux/sd_notify.c \
	src/linux/seccomp_notify.c src/linux/signals.c src/linux/sockdiag.c \
	src/linux/sockdiag_tcp.c src/linux/sockdiag_unix.c src/linux/socket.c \
	src/linux/socket_inherit.c src/linux/spawn.c \
	src/linux/steering_ebpf.c src/linux/steering_probe.c \
	src/linux/steering_programs.c src/linux/tree_sockets.c \
	src/linux/unix_socket.c src/linux/usage.c src/linux/waiting.c
DAEMON_SRC = src/daemon/adopt.c src/daemon/adopt_ask.c \
	src/daemon/adopt_settle.c src/daemon/app.c \
	src/daemon/app_rollout.c \
	src/daemon/app_spec.c src/daemon/balancing.c src/daemon/conf_load.c \
	src/daemon/control.c src/daemon/control_op.c \
	src/daemon/control_logs.c src/daemon/control_status.c \
	src/daemon/drain.c \
	src/daemon/lanes.c src/daemon/lanes_heal.c src/daemon/lanes_steer.c \
	src/daemon/listener_file.c src/daemon/listeners.c \
	src/daemon/orphans.c src/daemon/out_pipe.c src/daemon/output.c \
	src/daemon/output_loss.c src/daemon/outputs.c src/daemon/readiness.c \
	src/daemon/reload.c \
	src/daemon/steer.c src/daemon/stopped.c \
	src/daemon/supervisor.c src/daemon/worker.c \
	src/daemon/worker_hint.c src/daemon/worker_notify.c
MAN	= man/clusterctl.1 man/clusterd.8 man/clusterd.ini.5 \
	man/clusterd-control.7
CLI_SRC = src/cli/clusterd.c src/cli/options.c
CTL_SRC = src/cli/clusterctl.c src/cli/ctl_find.c src/cli/ctl_log_line.c \
	src/cli/ctl_logs.c src/cli/ctl_options.c src/cli/ctl_order.c \
	src/cli/ctl_out.c src/cli/ctl_progress.c src/cli/ctl_status.c \
	src/cli/ctl_tail.c src/cli/ctl_talk.c src/cli/ctl_text.c \
	src/cli/ctl_watch.c src/linux/control_client.c src/linux/terminal.c

LIB_SRC = $(BASE_SRC) $(CORE_SRC) $(LINUX_SRC) $(DAEMON_SRC)
OBJ	= $(patsubst src/%.c,$(B)/%.o,$(LIB_SRC) $(CLI_SRC))
# What clusterctl is made of: nothing of daemon/, little of linux/.
CTL_OBJ	= $(patsubst src/%.c,$(B)/%.o,$(CTL_SRC) $(VIEW_SRC) $(BASE_SRC)) \
	$(patsubst %,$(B)/core/%.o,address conf_env conf_error conf_free \
	conf_read conf_schema conf_value conf_value_app control \
	obituary restart signal_name words worker_fsm) \
	$(patsubst %,$(B)/linux/%.o,control_place file)

.PHONY: all
all: $(B)/clusterd $(B)/clusterctl examples/hello-server

.PHONY: objects
objects: $(OBJ) $(CTL_OBJ)

$(B)/clusterd: $(OBJ)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(OBJ) $(INIH_LIBS) $(LDLIBS)

$(B)/clusterctl: $(CTL_OBJ)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(CTL_OBJ) $(INIH_LIBS) \
	    $(LDLIBS)

$(B)/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

examples/hello-server: examples/hello-server.c
	$(CC) -std=gnu11 $(OPT) $(WARN) $(HARDEN) -D_GNU_SOURCE $(CFLAGS) \
	    $(LDHARDEN) $(LDFLAGS) -o $@ $<

-include $(OBJ:.o=.d) $(CTL_OBJ:.o=.d)

# ---- tests ----

BASE_OBJ = $(patsubst src/%.c,$(B)/%.o,$(BASE_SRC))
CORE_OBJ = $(patsubst src/%.c,$(B)/%.o,$(CORE_SRC) $(VIEW_SRC))
CONF_OBJ = $(patsubst %,$(B)/core/%.o,address conf_check conf_diff conf_error \
	conf_env conf_files conf_free conf_print conf_read conf_schema conf_value \
	conf_value_app signal_name words) \
	$(BASE_OBJ)
STATUS_OBJ = $(patsubst %,$(B)/core/%.o,status status_grid status_json \
	status_table status_text status_watch metrics_text obituary restart \
	signal_name worker_fsm) $(CONTROL_OBJ)
CONTROL_OBJ = $(B)/core/control.o $(CONF_OBJ)
DRAIN_OBJ = $(patsubst %,$(B)/core/%.o,drain obituary restart signal_name \
	worker_fsm) $(BASE_OBJ)

UNIT_TESTS = address adoption balance base conf_check conf_diff conf_print \
	conf_read connections control cpu_quota drain fd_protocol json lanes \
	line_split log loop man metrics notify_message obituary out_tag restart ring \
	rollout sink sockdiag status status_view steering_cbpf steering_ebpf \
	utf8 words worker_env worker_fsm
UNIT_PROGRAMS = $(UNIT_TESTS:%=$(B)/tests/test_%)

$(B)/tests/%.o: tests/unit/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/tests/test_%: $(B)/tests/test_%.o
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ \
	    $(patsubst %,-Wl$(comma)--wrap=%,$(WRAP_$*)) $(INIH_LIBS) \
	    -lcmocka $(LDLIBS)

# What a test puts its own function before, mostly to make memory fail.
comma	= ,
WRAP_adoption = __asprintf_chk asprintf strdup
WRAP_base = __vasprintf_chk realloc strdup vasprintf
WRAP_conf_print = __asprintf_chk __vasprintf_chk asprintf calloc malloc \
	realloc strdup strndup vasprintf
WRAP_connections = calloc reallocarray
WRAP_cpu_quota = realloc strndup
WRAP_lanes = reallocarray
WRAP_line_split = malloc
WRAP_ring = malloc
WRAP_sink = pwritev2
WRAP_loop = calloc epoll_wait mono_now reallocarray
WRAP_restart = calloc
WRAP_sockdiag = malloc recvmsg sendto socket
WRAP_status = calloc malloc realloc reallocarray strdup
WRAP_status_view = $(WRAP_status)
WRAP_metrics = $(WRAP_status)
WRAP_steering_cbpf = calloc
WRAP_worker_env = __asprintf_chk __vasprintf_chk asprintf calloc malloc \
	realloc strdup vasprintf

# Each links only what it needs.
$(B)/tests/test_address: $(B)/core/address.o $(BASE_OBJ)
$(B)/tests/test_adoption: $(B)/core/adoption.o $(B)/core/address.o \
    $(BASE_OBJ)
$(B)/tests/test_balance: $(B)/core/balance.o
$(B)/tests/test_base: $(BASE_OBJ)
$(B)/tests/test_conf_check $(B)/tests/test_conf_diff $(B)/tests/test_conf_print \
    $(B)/tests/test_conf_read $(B)/tests/test_man: $(CONF_OBJ)
$(B)/tests/test_words: $(B)/core/words.o $(BASE_OBJ)
$(B)/tests/test_cpu_quota: $(B)/core/cpu_quota.o $(BASE_OBJ)
$(B)/tests/test_connections: $(patsubst %,$(B)/linux/%.o,connections file \
    fsids inspect process sockdiag sockdiag_tcp sockdiag_unix tree_sockets) \
    $(DRAIN_OBJ)
$(B)/tests/test_control: $(CONTROL_OBJ)
$(B)/tests/test_drain: $(DRAIN_OBJ)
$(B)/tests/test_fd_protocol: $(B)/core/fd_protocol.o $(B)/core/address.o \
    $(BASE_OBJ)
$(B)/tests/test_json: $(BASE_OBJ)
$(B)/tests/test_lanes: $(B)/core/lane_order.o $(B)/core/lane_rank.o
$(B)/tests/test_log: $(BASE_OBJ)
$(B)/tests/test_line_split: $(B)/core/line_split.o $(BASE_OBJ)
$(B)/tests/test_ring: $(B)/core/line_split.o $(B)/core/ring.o
$(B)/tests/test_loop: $(B)/linux/loop.o $(BASE_OBJ)
$(B)/tests/test_notify_message: $(B)/core/notify_message.o
$(B)/tests/test_obituary: $(B)/core/obituary.o $(B)/core/signal_name.o \
    $(B)/core/worker_fsm.o $(B)/core/restart.o $(BASE_OBJ)
$(B)/tests/test_out_tag: $(B)/core/out_tag.o
$(B)/tests/test_restart: $(B)/core/restart.o $(B)/base/mono.o
$(B)/tests/test_rollout: $(B)/core/rollout.o $(B)/core/worker_fsm.o \
    $(B)/core/restart.o $(B)/base/mono.o
$(B)/tests/test_sink: $(BASE_OBJ)
$(B)/tests/test_sockdiag: $(patsubst %,$(B)/linux/%.o,lane_queue sockdiag \
    sockdiag_tcp sockdiag_unix) $(BASE_OBJ)
$(B)/tests/test_metrics $(B)/tests/test_status \
    $(B)/tests/test_status_view: $(B)/tests/status_lines.o $(STATUS_OBJ)
$(B)/tests/test_utf8: $(BASE_OBJ)
$(B)/tests/test_steering_cbpf: $(B)/core/steering_cbpf.o
$(B)/tests/test_steering_ebpf: $(B)/tests/delay_net.o \
    $(patsubst %,$(B)/linux/%.o,bpf_syscall cgroup conn_count file \
    steering_ebpf steering_probe steering_programs) \
    $(B)/core/cpu_quota.o $(BASE_OBJ)
$(B)/tests/test_worker_env: $(B)/core/worker_env.o $(B)/core/fd_protocol.o \
    $(B)/core/address.o $(BASE_OBJ)
$(B)/tests/test_worker_fsm: $(B)/core/worker_fsm.o $(B)/core/restart.o \
    $(B)/base/mono.o

# Its slow network is a thread.
$(B)/tests/test_steering_ebpf: LDLIBS += -pthread

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

# Each fuzz target's corpus, replayed by a plain main(). `make fuzz` fuzzes.
FUZZ_TARGETS = adoption conf control

$(B)/tests/replay_%: tests/fuzz/replay.c tests/fuzz/fuzz_%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(INIH_LIBS) $(LDLIBS)

$(B)/tests/replay_adoption: $(B)/core/adoption.o $(B)/core/address.o \
    $(BASE_OBJ)
$(B)/tests/replay_conf: $(CONF_OBJ)
$(B)/tests/replay_control: $(STATUS_OBJ)

-include $(UNIT_PROGRAMS:=.d)

# The first Python that has pytest.
PYTEST	= $$(for p in /usr/bin/python3 python3; do \
	$$p -c 'import pytest' 2>/dev/null && { echo $$p; break; }; done) \
	-B -m pytest -p no:cacheprovider -q
ASAN_FLAGS = -g -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
ASAN	= B=build-asan OPT=-O1 HARDEN= LDHARDEN= CFLAGS='$(ASAN_FLAGS)'
# Tests that start thousands of processes or measure are left out of the slow
# runs, not out of `make check`: the plain run has them all.
SLOW	= not heavy

VALGRIND = valgrind -q --error-exitcode=99 --leak-check=full \
	--trace-children=no --child-silent-after-fork=yes

.PHONY: check check-layers check-core check-unit check-fuzz check-man \
	check-metrics check-openloop check-e2e check-asan check-valgrind \
	check-clang \
	check-cross check-inih fuzz \
	$(FUZZ_TARGETS:%=fuzz-%) bench

# The end-to-end tests mostly wait, so the three ways of running them run beside
# each other.
check: all check-layers check-core check-bpf check-man check-unit check-fuzz \
    check-metrics check-openloop $(WORKERS)
	$(MAKE) $(ASAN) build-asan/clusterd build-asan/clusterctl check-unit check-fuzz
	$(MAKE) -j3 --output-sync=target check-e2e check-asan check-valgrind

check-layers:
	sh tests/check-layers.sh

check-core: $(CORE_OBJ) $(BASE_OBJ)
	sh tests/check-core-pure.sh $(B) $(CORE_OBJ)

check-man:
	mandoc -T lint -W warning $(MAN)

check-unit: $(UNIT_PROGRAMS)
	@for t in $(UNIT_PROGRAMS); do \
	    case $$t in */test_man) arg=man/clusterd.ini.5 ;; *) arg= ;; esac; \
	    $$t $$arg >$$t.log 2>&1 || { cat $$t.log; exit 1; }; \
	    grep '  PASSED  ' $$t.log | sed "s,^,$${t##*/}: ,"; \
	done

check-fuzz: $(FUZZ_TARGETS:%=$(B)/tests/replay_%)
	set -e; for t in $(FUZZ_TARGETS); do \
	    $(B)/tests/replay_$$t tests/fuzz/corpus/$$t/*; \
	done

# What the metrics are worth to those who read them.
check-metrics: $(B)/tests/test_metrics
	/usr/bin/python3 -B tests/check-metrics.py $(B)/tests/test_metrics

check-openloop: $(B)/openloop
	python3 -B tests/bench/check_openloop.py $(B)/openloop

check-e2e: all $(WORKERS)
	CLUSTERD=$(B)/clusterd PROBE=$(B)/probe BINDER=$(B)/binder $(PYTEST) tests/e2e

# Everything once more under the address and undefined behaviour sanitizers.
check-asan: $(WORKERS)
	$(MAKE) $(ASAN) build-asan/clusterd build-asan/clusterctl
	CLUSTERD=build-asan/clusterd PROBE=$(B)/probe BINDER=$(B)/binder CLUSTERD_TEST_SLOW=3 \
	    ASAN_OPTIONS=abort_on_error=0:detect_leaks=1 \
	    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	    $(PYTEST) -m '$(SLOW)' tests/e2e

check-valgrind: all $(WORKERS)
	CLUSTERD=$(B)/clusterd PROBE=$(B)/probe BINDER=$(B)/binder CLUSTERD_TEST_SLOW=5 \
	    CLUSTERD_WRAP='$(VALGRIND)' \
	    $(PYTEST) -m valgrind tests/e2e

check-clang:
	$(MAKE) B=build-clang CC=clang WERROR=1 build-clang/clusterd \
	    build-clang/clusterctl \
	    build-clang/probe build-clang/binder

# Another machine's system call numbers and struct layouts, compiled and not
# run; inih's header is the same for all, its library is not needed for that.
CROSS	= aarch64-linux-gnu-gcc
check-cross:
	@if command -v $(CROSS) >/dev/null; then \
	    mkdir -p build-cross/include && \
	    cp /usr/include/ini.h build-cross/include && \
	    $(MAKE) B=build-cross CC=$(CROSS) WERROR=1 \
		INIH_CFLAGS=-Ibuild-cross/include objects; \
	else \
	    echo "$(CROSS) is not at hand: nothing is compiled for it"; \
	fi

# With upstream's own defaults: make check-inih INIH=DIRECTORY-OF-ITS-SOURCES
check-inih:
	@mkdir -p build-inih
	$(CC) -O1 -fPIE -c -o build-inih/ini.o $(INIH)/ini.c
	$(MAKE) B=build-inih INIH_CFLAGS=-I$(INIH) INIH_LIBS=build-inih/ini.o \
	    check-unit check-fuzz

# SECONDS for each target; `make fuzz-conf` fuzzes that one alone.
fuzz: $(FUZZ_TARGETS:%=fuzz-%)

$(FUZZ_TARGETS:%=fuzz-%): fuzz-%:
	@mkdir -p build-fuzz/corpus/$*
	clang -std=gnu11 -g -O1 -D_GNU_SOURCE -iquote src $(INIH_CFLAGS) \
	    -fsanitize=fuzzer,address,undefined -o build-fuzz/fuzz_$* \
	    tests/fuzz/fuzz_$*.c $(CORE_SRC) $(VIEW_SRC) $(BASE_SRC) $(INIH_LIBS)
	build-fuzz/fuzz_$* -max_total_time=$${SECONDS:-60} \
	    build-fuzz/corpus/$* tests/fuzz/corpus/$*

# ---- eBPF ----

# The programs in src/bpf/ are compiled by whoever changes them. What comes of it
# is committed, so that a build needs no clang.
BPF_CLANG = clang
BPF_SRC	= src/bpf/count.bpf.c src/bpf/steer.bpf.c
BPF_OBJ	= $(patsubst src/%.c,$(B)/%.o,$(BPF_SRC))
BPF_CFLAGS = -std=gnu11 -target bpfel -mcpu=v3 -O2 -fno-unroll-loops \
	-Wall -Wextra -Werror -iquote src \
	-I/usr/include/$(shell $(CC) -print-multiarch 2>/dev/null)

.PHONY: bpf check-bpf

$(B)/bpf/%.o: src/bpf/%.c src/bpf/kernel.h src/bpf/cell.h \
    src/linux/steering_layout.h
	@mkdir -p $(@D)
	$(BPF_CLANG) $(BPF_CFLAGS) -c -o $@ $<

bpf: $(BPF_OBJ)
	python3 -B src/bpf/bytecode.py $(BPF_OBJ) >$(B)/bpf/bytecode.h
	mv $(B)/bpf/bytecode.h src/linux/steering_bytecode.h

# Another clang makes other code of the same source: only the one that made the
# committed code, whose version stands in it, can be compared with.
check-bpf:
	@version=$$($(BPF_CLANG) --version 2>/dev/null | head -n 1); \
	if [ -n "$$version" ] && \
	    grep -qF "$$version" src/linux/steering_bytecode.h; then \
	    $(MAKE) --no-print-directory $(BPF_OBJ) && \
	    BPF_CLANG=$(BPF_CLANG) python3 -B src/bpf/bytecode.py $(BPF_OBJ) | \
		diff src/linux/steering_bytecode.h - && \
	    echo "bpf: the code is what its source says"; \
	else \
	    echo "bpf: not by this clang, not compared"; \
	fi

bench: all
	python3 -B tests/bench/figures.py
	python3 -B tests/bench/adopt.py
	python3 -B tests/bench/balance.py
	python3 -B tests/bench/reload.py
	python3 -B tests/bench/output.py

# ---- a new machine ----

BUILD_PACKAGES = gcc libc6-dev pkg-config libinih-dev
TEST_PACKAGES = $(BUILD_PACKAGES) clang libcmocka-dev python3 python3-pytest \
	valgrind strace mandoc procps util-linux libcap2-bin iproute2 nodejs \
	golang-go php-cli busybox-static nginx-light redis-server ruby \
	ruby-webrick zsh prometheus python3-prometheus-client systemd \
	gcc-aarch64-linux-gnu libc6-dev-arm64-cross
BUILD_NEEDS = $(CC) --version && $(PKG_CONFIG) --exists inih
TEST_NEEDS = $(BUILD_NEEDS) && test -e /usr/include/cmocka.h && \
	/usr/bin/python3 -c 'import pytest, prometheus_client' && \
	valgrind --version && strace --version && clang --version && \
	PATH=$$PATH:/usr/sbin && \
	which systemd-analyze nsenter mandoc unshare pkill capsh ip node go php \
	    busybox nginx \
	    redis-server ruby zsh promtool aarch64-linux-gnu-gcc && \
	ruby -e "require 'webrick'"

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

.PHONY: build-deps test-deps demo test

build-deps:
	$(call need,$(BUILD_NEEDS),$(BUILD_PACKAGES))

test-deps:
	$(call need,$(TEST_NEEDS),$(TEST_PACKAGES))

demo: build-deps
	@$(MAKE) --no-print-directory -s all
	@echo
	@echo '  The hello cluster comes up on http://localhost:8080/'
	@echo
	@echo '  Try, in another terminal:'
	@echo '    curl http://localhost:8080/      (again and again: who answers?)'
	@echo '    pkill -9 -n hello-server         (kill a worker: it comes back)'
	@echo '    $(B)/clusterctl status --watch    (see it live; q quits)'
	@echo '    $(B)/clusterctl reload            (every worker is replaced)'
	@echo '    $(B)/clusterctl scale hello +2    (two instances more)'
	@echo '  Stop it with Ctrl-C.'
	@echo
	@exec $(B)/clusterd -c conf/hello.ini

test: test-deps
	$(MAKE) check-clang WERROR=1
	$(MAKE) check-cross
	$(MAKE) check WERROR=1

# ---- install ----

.PHONY: install uninstall clean

install: all
	$(INSTALL) -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(BINDIR) \
	    $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man8 \
	    $(DESTDIR)$(MANDIR)/man5 $(DESTDIR)$(MANDIR)/man7 \
	    $(DESTDIR)$(DOCDIR)/examples/docker \
	    $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR)
	$(INSTALL) -m 755 $(B)/clusterd $(DESTDIR)$(SBINDIR)/clusterd
	$(INSTALL) -m 755 $(B)/clusterctl $(DESTDIR)$(BINDIR)/clusterctl
	$(INSTALL) -m 644 completions/clusterctl.bash \
	    $(DESTDIR)$(BASHDIR)/clusterctl
	$(INSTALL) -m 644 completions/_clusterctl \
	    $(DESTDIR)$(ZSHDIR)/_clusterctl
	$(INSTALL) -m 644 man/clusterctl.1 $(DESTDIR)$(MANDIR)/man1/clusterctl.1
	$(INSTALL) -m 644 man/clusterd.8 $(DESTDIR)$(MANDIR)/man8/clusterd.8
	$(INSTALL) -m 644 man/clusterd.ini.5 \
	    $(DESTDIR)$(MANDIR)/man5/clusterd.ini.5
	$(INSTALL) -m 644 man/clusterd-control.7 \
	    $(DESTDIR)$(MANDIR)/man7/clusterd-control.7
	$(INSTALL) -m 644 README.md CHANGELOG.md LICENSE conf/app.ini \
	    $(DESTDIR)$(DOCDIR)
	$(INSTALL) -m 644 $(EXAMPLES) $(DESTDIR)$(DOCDIR)/examples
	$(INSTALL) -m 644 $(EXAMPLES_DOCKER) \
	    $(DESTDIR)$(DOCDIR)/examples/docker

EXAMPLES = examples/hello-server.c examples/hello-server.ini \
	examples/hello.js examples/hello-node.ini \
	examples/hello.py examples/hello-python.ini \
	examples/hello.go examples/hello-go.ini \
	examples/clusterd.service examples/clusterd-metrics.service \
	examples/clusterd-metrics.timer
EXAMPLES_DOCKER = examples/docker/Dockerfile \
	examples/docker/Dockerfile.dockerignore \
	examples/docker/app.ini examples/docker/server.js

uninstall:
	rm -f $(DESTDIR)$(SBINDIR)/clusterd $(DESTDIR)$(BINDIR)/clusterctl \
	    $(DESTDIR)$(BASHDIR)/clusterctl $(DESTDIR)$(ZSHDIR)/_clusterctl \
	    $(DESTDIR)$(MANDIR)/man1/clusterctl.1 \
	    $(DESTDIR)$(MANDIR)/man8/clusterd.8 \
	    $(DESTDIR)$(MANDIR)/man5/clusterd.ini.5 \
	    $(DESTDIR)$(MANDIR)/man7/clusterd-control.7
	rm -rf $(DESTDIR)$(DOCDIR)

clean:
	rm -rf build build-asan build-clang build-cross build-fuzz build-inih examples/hello-server
