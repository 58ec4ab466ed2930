#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/control/answer.h"
#include "core/status/status.h"
#include "status_lines.h"

int
status_try(struct status *status, const char *text)
{
	char line[4096];

	while (*text != '\0') {
		size_t len = strcspn(text, "\n");
		struct answer_line parsed;
		int code;

		assert_true(len < sizeof(line));
		memcpy(line, text, len);
		line[len] = '\0';
		assert_int_equal(answer_line_parse(line, len, &parsed), 0);
		code = status_add(status, &parsed);
		if (code < 0)
			return code;
		text += len + (text[len] == '\n');
	}
	return 0;
}

void
status_read(struct status *status, const char *text)
{
	*status = (struct status)STATUS_INIT;
	assert_int_equal(status_try(status, text), 0);
}

const char status_sample[] =
    "clusterd 1 pid=4711 version=0.1.0\n"
    "+ clusterd pid=4711 version=0.1.0 config=/etc/clusterd/app.ini "
    "state=reloading uptime_ms=11520000 cpu_ns=1520000000 "
    "memory_bytes=5452595 reloads_refused=1 supervisor_restarts=2 "
    "supervisor_death=killed%20by%20signal%2011%20(SIGSEGV)\n"
    "+ app name=web state=reloading generation=3 wanted=3 ready=2 "
    "target=4 moved=1 reloads_ok=2 reloads_aborted=1 "
    "reload_error=web[1]%20generation%203:%20not%20ready%20after%2030s,%20killed%20by%20signal%209%20(SIGKILL) "
    "stdout=prefix stderr=prefix\n"
    "+ listener app=web address=0.0.0.0:8080 "
    "balance=least-connections lanes=4 waiting=3 backlog=2048 "
    "state=open\n"
    "+ listener app=web address=unix:/run/web.sock balance=shared "
    "lanes=1 waiting=0 backlog=511 state=open\n"
    "+ listener app=web address=127.0.0.1:9 balance=shared lanes=1 "
    "waiting=0 backlog=511 state=closing\n"
    "+ instance app=web instance=0 role=seat pid=5001 state=ready "
    "generation=4 uptime_ms=61000 ready_ms=320 cpu_ns=7320000000 "
    "memory_bytes=47395635 waiting=0 connections=12 "
    "connections_total=1042 restarts_exit=0 restarts_failure=0 "
    "restarts_signal=0 restarts_timeout=0 restarts_start=0\n"
    "+ instance app=web instance=0 role=retiring pid=4712 "
    "state=draining generation=3 uptime_ms=11500000 "
    "cpu_ns=732000000000 memory_bytes=147395635 waiting=0 "
    "connections=4 connections_total=100042\n"
    "+ instance app=web instance=1 role=seat pid=4713 state=ready "
    "generation=3 uptime_ms=192000 ready_ms=290 cpu_ns=250000000000 "
    "memory_bytes=47395635 waiting=3 connections=3 "
    "connections_total=1042 restarts_exit=0 restarts_failure=0 "
    "restarts_signal=1 restarts_timeout=0 restarts_start=0 "
    "death=killed%20by%20signal%209%20(SIGKILL) death_ago_ms=192345\n"
    "+ instance app=web instance=1 role=next pid=5002 state=starting "
    "generation=4 uptime_ms=40 cpu_ns=20000000 memory_bytes=2395635\n"
    "+ instance app=web instance=2 role=seat state=backoff "
    "generation=3 restart_in_ms=800 restarts_exit=0 "
    "restarts_failure=7 restarts_signal=1 restarts_timeout=0 "
    "restarts_start=0 death=exited%20with%20code%201 "
    "death_ago_ms=345\n"
    "+ app name=queue-worker state=running generation=1 wanted=2 "
    "ready=1 reloads_ok=0 reloads_aborted=0 "
    "stdout=inherit stderr=inherit\n"
    "+ instance app=queue-worker instance=0 role=seat pid=4720 "
    "state=ready generation=1 uptime_ms=11500000 ready_ms=1000 "
    "cpu_ns=12345678 memory_bytes=1234567 restarts_exit=0 "
    "restarts_failure=0 restarts_signal=0 restarts_timeout=0 "
    "restarts_start=0\n"
    "+ instance app=queue-worker instance=1 role=seat state=parked "
    "generation=1 restarts_exit=0 restarts_failure=10 "
    "restarts_signal=0 restarts_timeout=0 restarts_start=0 "
    "death=exited%20with%20code%20127 death_ago_ms=3453453\n"
    "ok\n";
