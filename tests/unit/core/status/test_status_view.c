#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "core/status/status.h"
#include "core/status/status_json.h"
#include "core/status/status_table.h"
#include "core/status/status_text.h"
#include "core/status/status_watch.h"
#include "lib/alloc_fail.h"
#include "status_lines.h"

static struct status
read_measured(const char *text)
{
	struct status s;

	status_read(&s, text);
	status_measure(&s, NULL);
	return s;
}

static void
expect_table(const char *lines, struct status_style style, const char *text)
{
	struct status s = read_measured(lines);
	struct strbuf sb = STRBUF_INIT;

	status_table(&sb, &s, &style);
	assert_false(sb.failed);
	assert_string_equal(sb.text, text);
	strbuf_free(&sb);
	status_free(&s);
}

static void
expect_frame(const char *lines, struct status_style style, unsigned height,
    const char *text)
{
	struct status s = read_measured(lines);
	struct strbuf sb = STRBUF_INIT;

	status_watch(&sb, &s, &style, height, "12:34:56");
	assert_false(sb.failed);
	assert_string_equal(sb.text, text);
	strbuf_free(&sb);
	status_free(&s);
}

static void
expect_json(const char *lines, const char *text)
{
	struct status s = read_measured(lines);
	struct strbuf sb = STRBUF_INIT;

	status_json(&sb, &s);
	assert_false(sb.failed);
	assert_string_equal(sb.text, text);
	strbuf_free(&sb);
	status_free(&s);
}

/* ---- the table ---- */

static void
table_of_80_columns(void **state)
{
	(void)state;
	expect_table(status_sample, (struct status_style){ .width = 80 },
	    "clusterd 0.1.0 reloading, pid 4711, up 3h12m, CPU 0.0 %, memory 5.1M\n"
	    "  config /etc/clusterd/app.ini\n"
	    "  reloads refused: 1\n"
	    "  supervisor restarted 2 times, last: killed by signal 11 "
	    "(SIGSEGV)\n"
	    "\n"
	    "web reloading, 2/3 ready, generation 3, changing to 4, 1 moved, "
	    "reloads 2 ok, 1\n"
	    "  aborted\n"
	    "  last reload aborted: web[1] generation 3: not ready after 30s, "
	    "killed by\n"
	    "    signal 9 (SIGKILL)\n"
	    "  on 0.0.0.0:8080, least-connections, 3 of 2048 waiting\n"
	    "  on unix:/run/web.sock, shared, 0 of 511 waiting\n"
	    "  on 127.0.0.1:9 closing, shared, 0 of 511 waiting\n"
	    "NAME             PID  STATE     GEN  UPTIME  RESTARTS  CPU %    "
	    "MEM  CONN  QUEUE\n"
	    "web.0           5001  ready       4   1m01s         0   12.0  "
	    "45.1M    12      0\n"
	    "web.0 retiring  4712  draining    3   3h11m         -    6.3   "
	    "140M     4      0\n"
	    "web.1           4713  ready       3   3m12s         1  130.2  "
	    "45.1M     3      3\n"
	    "    killed by signal 9 (SIGKILL), 3m12s ago\n"
	    "web.1 next      5002  starting    4    40ms         -   50.0   "
	    "2.2M     -      -\n"
	    "web.2              -  backoff     3       -         8      -      "
	    "-     -      -\n"
	    "    exited with code 1, 345ms ago; restarts in 800ms\n"
	    "\n"
	    "queue-worker running, 1/2 ready, generation 1, reloads 0 ok\n"
	    "NAME             PID  STATE     GEN  UPTIME  RESTARTS  CPU %    "
	    "MEM  CONN  QUEUE\n"
	    "queue-worker.0  4720  ready       1   3h11m         0    0.0   "
	    "1.1M     -      -\n"
	    "queue-worker.1     -  parked      1       -        10      -      "
	    "-     -      -\n"
	    "    exited with code 127, 57m33s ago\n");
}

static void
table_of_60_columns(void **state)
{
	(void)state;
	expect_table(status_sample,
	    (struct status_style){ .width = 60, .utf8 = true },
	    "clusterd 0.1.0 reloading, pid 4711, up 3h12m, CPU 0.0 %,\n"
	    "  memory 5.1M\n"
	    "  config /etc/clusterd/app.ini\n"
	    "  reloads refused: 1\n"
	    "  supervisor restarted 2 times, last: killed by signal 11\n"
	    "    (SIGSEGV)\n"
	    "\n"
	    "web reloading, 2/3 ready, generation 3, changing to 4, 1\n"
	    "  moved, reloads 2 ok, 1 aborted\n"
	    "  last reload aborted: web[1] generation 3: not ready after\n"
	    "    30s, killed by signal 9 (SIGKILL)\n"
	    "  on 0.0.0.0:8080, least-connections, 3 of 2048 waiting\n"
	    "  on unix:/run/web.sock, shared, 0 of 511 waiting\n"
	    "  on 127.0.0.1:9 closing, shared, 0 of 511 waiting\n"
	    "NAME            PID STATE    RESTARTS CPU %   MEM CONN\n"
	    "web.0          5001 ready           0  12.0 45.1M   12\n"
	    "web.0 retiring 4712 draining        -   6.3  140M    4\n"
	    "web.1          4713 ready           1 130.2 45.1M    3\n"
	    "    killed by signal 9 (SIGKILL), 3m12s ago\n"
	    "web.1 next     5002 starting        -  50.0  2.2M    -\n"
	    "web.2             - backoff         8     -     -    -\n"
	    "    exited with code 1, 345ms ago; restarts in 800ms\n"
	    "\n"
	    "queue-worker running, 1/2 ready, generation 1, reloads 0 ok\n"
	    "NAME            PID STATE    RESTARTS CPU %   MEM CONN\n"
	    "queue-worker.0 4720 ready           0   0.0  1.1M    -\n"
	    "queue-worker.1    - parked         10     -     -    -\n"
	    "    exited with code 127, 57m33s ago\n");
}

/* Nothing is cut, and an instance is one line. */
static void
table_for_a_pipe(void **state)
{
	(void)state;
	expect_table(status_sample, (struct status_style){ .width = 0 },
	    "clusterd 0.1.0 reloading, pid 4711, up 3h12m, CPU 0.0 %, memory 5.1M\n"
	    "  config /etc/clusterd/app.ini\n"
	    "  reloads refused: 1\n"
	    "  supervisor restarted 2 times, last: killed by signal 11 "
	    "(SIGSEGV)\n"
	    "\n"
	    "web reloading, 2/3 ready, generation 3, changing to 4, 1 moved, "
	    "reloads 2 ok, 1 aborted\n"
	    "  last reload aborted: web[1] generation 3: not ready after 30s, "
	    "killed by signal 9 (SIGKILL)\n"
	    "  on 0.0.0.0:8080, least-connections, 3 of 2048 waiting\n"
	    "  on unix:/run/web.sock, shared, 0 of 511 waiting\n"
	    "  on 127.0.0.1:9 closing, shared, 0 of 511 waiting\n"
	    "NAME             PID  STATE     GEN  UPTIME  RESTARTS  CPU %    "
	    "MEM  CONN  QUEUE  LAST DEATH\n"
	    "web.0           5001  ready       4   1m01s         0   12.0  "
	    "45.1M    12      0\n"
	    "web.0 retiring  4712  draining    3   3h11m         -    6.3   "
	    "140M     4      0\n"
	    "web.1           4713  ready       3   3m12s         1  130.2  "
	    "45.1M     3      3  killed by signal 9 (SIGKILL), 3m12s ago\n"
	    "web.1 next      5002  starting    4    40ms         -   50.0   "
	    "2.2M     -      -\n"
	    "web.2              -  backoff     3       -         8      -      "
	    "-     -      -  exited with code 1, 345ms ago; restarts in 800ms\n"
	    "\n"
	    "queue-worker running, 1/2 ready, generation 1, reloads 0 ok\n"
	    "NAME             PID  STATE     GEN  UPTIME  RESTARTS  CPU %    "
	    "MEM  CONN  QUEUE  LAST DEATH\n"
	    "queue-worker.0  4720  ready       1   3h11m         0    0.0   "
	    "1.1M     -      -\n"
	    "queue-worker.1     -  parked      1       -        10      -      "
	    "-     -      -  exited with code 127, 57m33s ago\n");
}

static void
table_with_colours(void **state)
{
	(void)state;
	expect_table(
	    "+ app name=a state=failed wanted=4 ready=1\n"
	    "+ instance app=a instance=0 state=ready\n"
	    "+ instance app=a instance=1 state=backoff\n"
	    "+ instance app=a instance=2 state=failed\n"
	    "+ instance app=a instance=3 state=new-one\n",
	    (struct status_style){ .width = 80, .colour = true },
	    "\n\033[1ma\033[0m \033[31mfailed\033[0m, 1/4 ready\n"
	    "\033[1mNAME\033[0m  \033[1mPID\033[0m  \033[1mSTATE\033[0m    "
	    "\033[1mGEN\033[0m  \033[1mUPTIME\033[0m  "
	    "\033[1mRESTARTS\033[0m  \033[1mCPU %\033[0m  "
	    "\033[1mMEM\033[0m  \033[1mCONN\033[0m  \033[1mQUEUE\033[0m  "
	    "\033[1mLAST DEATH\033[0m\n"
	    "a.0     -  \033[32mready\033[0m      -       -         -"
	    "      -    -     -      -\n"
	    "a.1     -  \033[33mbackoff\033[0m    -       -         -"
	    "      -    -     -      -\n"
	    "a.2     -  \033[31mfailed\033[0m     -       -         -"
	    "      -    -     -      -\n"
	    "a.3     -  new-one    -       -         -"
	    "      -    -     -      -\n");
}

static void
table_of_nothing(void **state)
{
	(void)state;
	expect_table("+ clusterd\n", (struct status_style){ .width = 80 },
	    "clusterd -\n");
	expect_table("+ clusterd state=running\n+ app name=a\n",
	    (struct status_style){ .width = 80 },
	    "clusterd running\n\na -\n");
}

static void
range_of_an_app(void **state)
{
	(void)state;
	expect_table("+ clusterd state=running\n"
	    "+ app name=a state=running wanted=3 ready=2 least=2 most=8\n",
	    (struct status_style){ .width = 80 },
	    "clusterd running\n\na running, 2/3 of 2..8 ready\n");
}

/* As in a loop of crashes. */
static void
app_of_which_nobody_is_ready_is_starting(void **state)
{
	(void)state;
	expect_table("+ clusterd state=running\n"
	    "+ app name=a state=running wanted=2 ready=0\n"
	    "+ app name=b state=running wanted=2 ready=1\n"
	    "+ app name=c state=stopped wanted=2 ready=0\n"
	    "+ app name=d state=running\n",
	    (struct status_style){ .width = 80, .colour = true },
	    "\033[1mclusterd\033[0m \033[32mrunning\033[0m\n\n"
	    "\033[1ma\033[0m \033[33mstarting\033[0m, 0/2 ready\n\n"
	    "\033[1mb\033[0m \033[32mrunning\033[0m, 1/2 ready\n\n"
	    "\033[1mc\033[0m \033[33mstopped\033[0m, 0/2 ready\n\n"
	    "\033[1md\033[0m \033[32mrunning\033[0m\n");
}

/* ---- what is in it does no harm ---- */

static const char hostile[] =
    "+ clusterd pid=1 version=%1B[2J%0A%00x config=/a%20b/\xff\xc3 "
    "state=%07%7F uptime_ms=18446744073709551614 "
    "cpu_ns=18446744073709551614 memory_bytes=18446744073709551614\n"
    "+ app name=\xe2\x80\xae" "evil state=\xc2\x9b" "31m "
    "wanted=18446744073709551614 ready=18446744073709551614 "
    "reload_error=%1B]0;title%07%0D%0Aclusterd%20is%20fine\n"
    "+ listener app=\xe2\x80\xae" "evil address=unix:/r\xc3\xbcn/%0A "
    "balance=%09 waiting=18446744073709551614 backlog=0\n"
    "+ instance app=\xe2\x80\xae" "evil instance=18446744073709551614 "
    "role=retiring pid=18446744073709551614 "
    "state=0123456789012345678901234567890123456789 "
    "generation=18446744073709551614 uptime_ms=18446744073709551614 "
    "cpu_ns=18446744073709551614 memory_bytes=18446744073709551614 "
    "connections=18446744073709551614 waiting=18446744073709551614 "
    "restarts_exit=18446744073709551614 death=%1B[31mkilled%0A "
    "death_ago_ms=18446744073709551614 "
    "restart_in_ms=18446744073709551614\n"
    "+ instance app=\xe2\x80\xae" "evil instance=0 connections=0 "
    "uptime_ms=1 cpu_ns=18446744073709551614 death= state=\n";

static void
bytes_are_made_harmless(void **state)
{
	(void)state;
	expect_table("+ clusterd version=%1B[2J%0Ax state=%07 config=\xff\n"
	    "+ app name=\xe2\x80\xae\xe2\x82\xac state=\xc2\x9b" "31m\n"
	    "+ listener app=\xe2\x80\xae\xe2\x82\xac address=%0Agr\xc3\xbcn\n",
	    (struct status_style){ .width = 80, .utf8 = true },
	    "clusterd ?[2J?x ?\n  config ?\n"
	    "\n?\xe2\x82\xac ?31m\n  on ?gr\xc3\xbcn\n");
	/* An empty word leaves no comma behind. */
	expect_table("+ app name=a\n"
	    "+ listener app=a address=x balance= waiting=1\n",
	    (struct status_style){ .width = 80 },
	    "\na -\n  on x, 1 waiting\n");
	expect_table("+ app name=\xe2\x82\xac\n",
	    (struct status_style){ .width = 80 }, "\n? -\n");
}

/* No line is too wide, none holds what a terminal would obey. */
static void
check_lines(const char *text, const struct status_style *style,
    unsigned height)
{
	unsigned lines = 0;
	char line[4096];

	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		assert_true(len < sizeof(line) && text[len] == '\n');
		memcpy(line, text, len);
		line[len] = '\0';
		for (size_t i = 0; i < len; i++)
			assert_true((unsigned char)line[i] >= ' ' &&
			    line[i] != 0x7f &&
			    (style->utf8 || (unsigned char)line[i] < 0x80));
		if (style->width > 0 &&
		    status_columns(line, style) > style->width)
			fail_msg("%u columns: %s", style->width, line);
		assert_true(len == 0 || line[len - 1] != ' ');
		text += len + 1;
		lines++;
	}
	if (height > 0 && lines > height)
		fail_msg("%u lines, not %u", lines, height);
}

static void
check_everywhere(const char *lines)
{
	struct status s = read_measured(lines);
	struct status_style style;
	struct strbuf sb = STRBUF_INIT;

	for (unsigned width = 40; width <= 200; width++)
		for (int utf8 = 0; utf8 < 2; utf8++) {
			style = (struct status_style){
				.width = width, .utf8 = utf8 == 1,
			};
			sb.len = 0;
			status_table(&sb, &s, &style);
			assert_false(sb.failed);
			check_lines(sb.text, &style, 0);
			for (unsigned height = 4; height < 30; height++) {
				sb.len = 0;
				status_watch(&sb, &s, &style, height, "now");
				assert_false(sb.failed);
				check_lines(sb.text, &style, height);
			}
		}
	strbuf_free(&sb);
	status_free(&s);
}

static void
every_width_and_height_is_kept(void **state)
{
	(void)state;
	check_everywhere(status_sample);
	check_everywhere(hostile);
	check_everywhere("+ clusterd\n");
}

static void
least_sizes(void **state)
{
	struct status s = read_measured(hostile);
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	for (unsigned width = 0; width < 40; width++) {
		struct status_style style = { .width = width };

		status_table(&sb, &s, &style);
		status_watch(&sb, &s, &style, width, "");
	}
	assert_false(sb.failed);
	strbuf_free(&sb);
	status_free(&s);
}

static void
a_long_name_keeps_its_number(void **state)
{
	(void)state;
	expect_frame(
	    "+ app name=a-name-of-all-its-32-characters-\n"
	    "+ instance app=a-name-of-all-its-32-characters- instance=4095 "
	    "role=retiring pid=4194304 state=draining memory_bytes=1 "
	    "uptime_ms=1 cpu_ns=1 connections=100000 waiting=1000\n",
	    (struct status_style){ .width = 60 }, 24,
	    "clusterd                                            12:34:56\n"
	    "NAME                STATE        PID MEM CPU %          CONN\n"
	    "\n"
	    "a-name-of-all-its-32-characters- -, CPU 0.0 %, 1B\n"
	    "a-....4095 retiring draining 4194304  1B   0.0 [    ] 100000\n");
}

/* ---- the watch ---- */

static void
frame_of_80_by_24(void **state)
{
	(void)state;
	expect_frame(status_sample,
	    (struct status_style){ .width = 80, .utf8 = true }, 24,
	    "clusterd reloading, pid 4711, up 3h12m, CPU 0.0 %, memory 5.1M    "
	    "      12:34:56\n"
	    "NAME           STATE     PID UPTIME RST   MEM CPU %          CONN "
	    "         QUEUE\n"
	    "\n"
	    "web reloading, 2/3 ready, 1 moved, CPU 198.5 %, 233M, 19 "
	    "connections, 3 waiting\n"
	    "web.0          ready    5001  1m01s   0 45.1M  12.0 [▊     ]   12 "
	    "[███▊  ]     0\n"
	    "web.0 retiring draining 4712  3h11m   -  140M   6.3 [▍     ]    4 "
	    "[█▎    ]     0\n"
	    "web.1          ready    4713  3m12s   1 45.1M 130.2 [██████]    3 "
	    "[█     ]     3\n"
	    "web.1 next     starting 5002   40ms   -  2.2M  50.0 [███   ]    - "
	    "             -\n"
	    "web.2          backoff     -      -   8     -     -             - "
	    "             -\n"
	    "\n"
	    "queue-worker running, 1/2 ready, CPU 0.0 %, 1.1M, generation 1\n"
	    "queue-worker.0 ready    4720  3h11m   0  1.1M   0.0 [      ]    - "
	    "             -\n"
	    "queue-worker.1 parked      -      -  10     -     -             - "
	    "             -\n");
}

static void
frame_of_60_columns(void **state)
{
	(void)state;
	expect_frame(status_sample, (struct status_style){ .width = 60 }, 24,
	    "clusterd reloading, pid 4711, up 3h12m, CPU 0.0 %   12:34:56\n"
	    "NAME           STATE     PID   MEM CPU %        CONN\n"
	    "\n"
	    "web reloading, 2/3 ready, 1 moved, CPU 198.5 %, 233M\n"
	    "web.0          ready    5001 45.1M  12.0 [    ]   12 [### ]\n"
	    "web.0 retiring draining 4712  140M   6.3 [    ]    4 [#   ]\n"
	    "web.1          ready    4713 45.1M 130.2 [####]    3 [#   ]\n"
	    "web.1 next     starting 5002  2.2M  50.0 [##  ]    -\n"
	    "web.2          backoff     -     -     -           -\n"
	    "\n"
	    "queue-worker running, 1/2 ready, CPU 0.0 %, 1.1M\n"
	    "queue-worker.0 ready    4720  1.1M   0.0 [    ]    -\n"
	    "queue-worker.1 parked      -     -     -           -\n");
}

/* Trouble first, then CPU; in the order of the answer all the same. */
static void
frame_without_room_for_all(void **state)
{
	(void)state;
	expect_frame(status_sample, (struct status_style){ .width = 80 }, 9,
	    "clusterd reloading, pid 4711, up 3h12m, CPU 0.0 %, memory 5.1M    "
	    "      12:34:56\n"
	    "NAME           STATE     PID UPTIME RST  MEM CPU %          CONN  "
	    "        QUEUE\n"
	    "web reloading, 2/3 ready, 1 moved, CPU 198.5 %, 233M, 19 "
	    "connections, 3 waiting\n"
	    "web.0 retiring draining 4712  3h11m   - 140M   6.3 [      ]    4 "
	    "[#     ]     0\n"
	    "web.1 next     starting 5002   40ms   - 2.2M  50.0 [###   ]    -  "
	    "            -\n"
	    "web.2          backoff     -      -   8    -     -             -  "
	    "            -\n"
	    "queue-worker running, 1/2 ready, CPU 0.0 %, 1.1M, generation 1\n"
	    "queue-worker.1 parked      -      -  10    -     -             -  "
	    "            -\n"
	    "... and 3 more instances\n");
}

static void
frame_without_room_for_the_apps(void **state)
{
	(void)state;
	expect_frame(
	    "+ clusterd state=running\n"
	    "+ app name=a state=running wanted=1 ready=1\n"
	    "+ app name=b state=running wanted=1 ready=1\n"
	    "+ app name=c state=running wanted=2 ready=0\n"
	    "+ instance app=c instance=0 state=starting\n"
	    "+ instance app=c instance=1 state=starting\n"
	    "+ app name=d state=failed\n",
	    (struct status_style){ .width = 40 }, 5,
	    "clusterd running                12:34:56\n"
	    "NAME STATE PID MEM CPU %            CONN\n"
	    "c starting, 0/2 ready\n"
	    "d failed\n"
	    "... and 2 more apps\n");
}

static void
thousands_of_instances(void **state)
{
	struct status s;
	struct status_style style = { .width = 80 };
	struct strbuf sb = STRBUF_INIT, line = STRBUF_INIT;

	(void)state;
	status_read(&s, "+ clusterd pid=1\n+ app name=web\n");
	for (int i = 0; i < 4096; i++) {
		line.len = 0;
		strbuf_printf(&line, "+ instance app=web instance=%d "
		    "pid=%d state=%s uptime_ms=1000 cpu_ns=%d000000\n", i,
		    1000 + i, i == 4000 ? "parked" : "ready", i);
		assert_int_equal(status_try(&s, line.text), 0);
	}
	strbuf_free(&line);
	status_measure(&s, &s);
	status_watch(&sb, &s, &style, 24, "now");
	check_lines(sb.text, &style, 24);
	assert_non_null(strstr(sb.text, "\nweb.4000"));
	assert_null(strstr(sb.text, "\nweb.4076"));
	assert_non_null(strstr(sb.text, "\nweb.4077"));
	assert_non_null(strstr(sb.text, "\nweb.4095"));
	assert_non_null(strstr(sb.text, "\n... and 4076 more instances\n"));
	sb.len = 0;
	status_table(&sb, &s, &style);
	check_lines(sb.text, &style, 0);
	assert_non_null(strstr(sb.text, "\nweb.4095"));
	strbuf_free(&sb);
	status_free(&s);
}

/* ---- JSON ---- */

static void
json_of_all(void **state)
{
	(void)state;
	expect_json(status_sample,
	    "{\"clusterd\":{\"pid\":4711,\"version\":\"0.1.0\","
	    "\"config\":\"/etc/clusterd/app.ini\",\"state\":\"reloading\","
	    "\"uptime_ms\":11520000,\"cpu_ns\":1520000000,"
	    "\"memory_bytes\":5452595,\"reloads_refused\":1,"
	    "\"supervisor_restarts\":2,"
	    "\"supervisor_death\":\"killed by signal 11 (SIGSEGV)\","
	    "\"cpu_percent\":0.0},\"apps\":[{\"name\":\"web\","
	    "\"state\":\"reloading\",\"generation\":3,\"wanted\":3,\"ready\":2,"
	    "\"target\":4,\"moved\":1,\"reloads_ok\":2,\"reloads_aborted\":1,"
	    "\"reload_error\":\"web[1] generation 3: not ready after 30s,"
	    " killed by signal 9 (SIGKILL)\",\"stdout\":\"prefix\","
	    "\"stderr\":\"prefix\","
	    "\"listeners\":[{\"address\":\"0.0.0.0:8080\","
	    "\"balance\":\"least-connections\",\"lanes\":4,\"waiting\":3,"
	    "\"backlog\":2048,\"state\":\"open\"},"
	    "{\"address\":\"unix:/run/web.sock\",\"balance\":\"shared\","
	    "\"lanes\":1,\"waiting\":0,\"backlog\":511,\"state\":\"open\"},"
	    "{\"address\":\"127.0.0.1:9\",\"balance\":\"shared\",\"lanes\":1,"
	    "\"waiting\":0,\"backlog\":511,\"state\":\"closing\"}],"
	    "\"instances\":[{\"instance\":0,\"role\":\"seat\",\"pid\":5001,"
	    "\"state\":\"ready\",\"generation\":4,\"uptime_ms\":61000,"
	    "\"ready_ms\":320,\"cpu_ns\":7320000000,"
	    "\"memory_bytes\":47395635,\"waiting\":0,\"connections\":12,"
	    "\"connections_total\":1042,\"cpu_percent\":12.0,"
	    "\"restarts\":{\"exit\":0,\"failure\":0,\"signal\":0,\"timeout\":0,"
	    "\"start\":0}},{\"instance\":0,\"role\":\"retiring\",\"pid\":4712,"
	    "\"state\":\"draining\",\"generation\":3,\"uptime_ms\":11500000,"
	    "\"cpu_ns\":732000000000,\"memory_bytes\":147395635,"
	    "\"waiting\":0,\"connections\":4,\"connections_total\":100042,"
	    "\"cpu_percent\":6.3},{\"instance\":1,\"role\":\"seat\","
	    "\"pid\":4713,\"state\":\"ready\",\"generation\":3,"
	    "\"uptime_ms\":192000,\"ready_ms\":290,\"cpu_ns\":250000000000,"
	    "\"memory_bytes\":47395635,\"waiting\":3,\"connections\":3,"
	    "\"connections_total\":1042,"
	    "\"death\":\"killed by signal 9 (SIGKILL)\","
	    "\"death_ago_ms\":192345,\"cpu_percent\":130.2,"
	    "\"restarts\":{\"exit\":0,\"failure\":0,\"signal\":1,\"timeout\":0,"
	    "\"start\":0}},{\"instance\":1,\"role\":\"next\",\"pid\":5002,"
	    "\"state\":\"starting\",\"generation\":4,\"uptime_ms\":40,"
	    "\"cpu_ns\":20000000,\"memory_bytes\":2395635,"
	    "\"cpu_percent\":50.0},{\"instance\":2,\"role\":\"seat\","
	    "\"state\":\"backoff\",\"generation\":3,\"restart_in_ms\":800,"
	    "\"death\":\"exited with code 1\",\"death_ago_ms\":345,"
	    "\"restarts\":{\"exit\":0,\"failure\":7,\"signal\":1,\"timeout\":0,"
	    "\"start\":0}}]},{\"name\":\"queue-worker\",\"state\":\"running\","
	    "\"generation\":1,\"wanted\":2,\"ready\":1,\"reloads_ok\":0,"
	    "\"reloads_aborted\":0,"
	    "\"stdout\":\"inherit\",\"stderr\":\"inherit\",\"listeners\":[],"
	    "\"instances\":[{\"instance\":0,\"role\":\"seat\",\"pid\":4720,"
	    "\"state\":\"ready\",\"generation\":1,\"uptime_ms\":11500000,"
	    "\"ready_ms\":1000,\"cpu_ns\":12345678,"
	    "\"memory_bytes\":1234567,\"cpu_percent\":0.0,"
	    "\"restarts\":{\"exit\":0,\"failure\":0,\"signal\":0,\"timeout\":0,"
	    "\"start\":0}},{\"instance\":1,\"role\":\"seat\","
	    "\"state\":\"parked\",\"generation\":1,"
	    "\"death\":\"exited with code 127\",\"death_ago_ms\":3453453,"
	    "\"restarts\":{\"exit\":0,\"failure\":10,\"signal\":0,"
	    "\"timeout\":0,\"start\":0}}]}]}\n");
}

static void
json_of_nothing(void **state)
{
	(void)state;
	expect_json("ok\n", "{\"apps\":[]}\n");
	expect_json("+ clusterd\n+ app name=a\n+ instance app=a instance=0\n",
	    "{\"clusterd\":{},\"apps\":[{\"name\":\"a\",\"listeners\":[],"
	    "\"instances\":[{\"instance\":0,\"role\":\"seat\"}]}]}\n");
}

static void
json_of_any_bytes(void **state)
{
	(void)state;
	expect_json("+ app name=\"%5C%0A%1B state=\xff\xc3 "
	    "reload_error=\xe2\x82\xac\n",
	    "{\"apps\":[{\"name\":\"\\\"\\\\\\n\\u001b\","
	    "\"state\":\"\xef\xbf\xbd\xef\xbf\xbd\","
	    "\"reload_error\":\"\xe2\x82\xac\","
	    "\"listeners\":[],\"instances\":[]}]}\n");
}

/* ---- short memory ---- */

static void
short_memory_is_told(void **state)
{
	struct status s = read_measured(status_sample);
	struct status_style style = { .width = 80 };

	(void)state;
	for (int view = 0; view < 3; view++) {
		unsigned n = 0;
		bool failed;

		do {
			struct strbuf sb = STRBUF_INIT;

			n++;
			alloc_fail(n, n % 2 == 1 ? ALLOC_ALL : 1);
			if (view == 0)
				status_table(&sb, &s, &style);
			else if (view == 1)
				status_watch(&sb, &s, &style, 24, "now");
			else
				status_json(&sb, &s);
			failed = alloc_failed();
			if (failed != sb.failed)
				fail_msg("view %d, allocation %u", view, n);
			strbuf_free(&sb);
		} while (failed);
		assert_true(n > 4);
		alloc_works();
	}
	status_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_of_80_columns),
		cmocka_unit_test(table_of_60_columns),
		cmocka_unit_test(table_for_a_pipe),
		cmocka_unit_test(table_with_colours),
		cmocka_unit_test(table_of_nothing),
		cmocka_unit_test(range_of_an_app),
		cmocka_unit_test(app_of_which_nobody_is_ready_is_starting),
		cmocka_unit_test(bytes_are_made_harmless),
		cmocka_unit_test(every_width_and_height_is_kept),
		cmocka_unit_test(least_sizes),
		cmocka_unit_test(a_long_name_keeps_its_number),
		cmocka_unit_test(frame_of_80_by_24),
		cmocka_unit_test(frame_of_60_columns),
		cmocka_unit_test(frame_without_room_for_all),
		cmocka_unit_test(frame_without_room_for_the_apps),
		cmocka_unit_test(thousands_of_instances),
		cmocka_unit_test(json_of_all),
		cmocka_unit_test(json_of_nothing),
		cmocka_unit_test(json_of_any_bytes),
		cmocka_unit_test(short_memory_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
