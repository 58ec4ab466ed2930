/*
 * The dump, its round trip, and what reading, checking and dumping do when
 * memory is short.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_check.h"
#include "core/conf/conf_diff.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_host.h"
#include "core/conf/conf_print.h"
#include "core/conf/conf_read.h"
#include "core/conf/conf_schema.h"
#include "core/conf/conf_source.h"
#include "lib/alloc_fail.h"

/* ---- a host that knows every account and file ---- */

static int
fake_read_file(void *ctx, const char *path, char **ret_text, size_t *ret_len,
    struct error *err)
{
	static const char text[] = "A=1\nexport B='2 3'\n";

	(void)ctx;
	(void)path;
	(void)err;
	*ret_text = strdup(text);
	if (*ret_text == NULL)
		return -ENOMEM;
	*ret_len = sizeof(text) - 1;
	return 0;
}

static int
fake_find_creds(void *ctx, const char *user, const char *group,
    struct conf_creds *ret_creds, struct error *err)
{
	struct conf_creds creds = { .set = true, .uid = 1, .gid = 2 };

	(void)ctx;
	if (group != NULL && strcmp(group, "bad") == 0)
		return error_set(err, -ENOENT, "no group %s", group);
	if ((user != NULL && strcmp(user, "soon") == 0) ||
	    (group != NULL && strcmp(group, "soon") == 0))
		return -EAGAIN;
	if (user != NULL && strcmp(user, "bad") == 0)
		return error_set(err, -ENOENT, "no user %s", user);
	if (user != NULL) {
		creds.name = strdup(user);
		if (creds.name == NULL)
			return -ENOMEM;
	}
	*ret_creds = creds;
	return 0;
}

static const struct conf_host host = {
	.base_dir = "/srv/my app's",
	.read_file = fake_read_file,
	.find_creds = fake_find_creds,
};

static char *
dump_here(const struct conf_host *at, const char *text,
    const struct conf_here *here)
{
	struct conf_source source;
	struct conf_errors errors = { .file = "app.ini" };
	struct config *config;
	char *dump;

	assert_int_equal(conf_read(text, strlen(text), &source, &errors), 0);
	assert_int_equal(conf_check(&source, at, &config, &errors), 0);
	if (config == NULL)
		fail_msg("%s\nin\n%s", errors.v[0].text, text);
	dump = conf_print(config, here);
	assert_non_null(dump);
	config_unref(config);
	conf_source_free(&source);
	conf_errors_free(&errors);
	return dump;
}

static char *
dump_at(const struct conf_host *at, const char *text)
{
	return dump_here(at, text, &(struct conf_here){ 4, NULL });
}

static char *
dump_of(const char *text)
{
	return dump_at(&host, text);
}

/* ---- tests ---- */

static void
defaults_of_every_supported_key(void **state)
{
	char *dump = dump_of("[web]\ncommand = server\n");

	(void)state;
	assert_string_equal(dump,
	    "[clusterd]\n"
	    "log_level = info\n"
	    "log_format = text\n"
	    "log = stderr\n"
	    "pidfile = none\n"
	    "control = auto\n"
	    "control_group = none\n"
	    "stop_delay = 0s\n"
	    "include = none\n"
	    "web = none\n"
	    "web_user = nobody\n"
	    "web_token_file = none\n"
	    "web_host = none\n"
	    "on_event = none\n"
	    "on_event_user = nobody\n"
	    "\n"
	    "[web]\n"
	    "command = server\n"
	    "port = none\n"
	    "listen = none\n"
	    "socket_mode = 0660\n"
	    "socket_user = inherit\n"
	    "socket_group = inherit\n"
	    "backlog = 4096\n"
	    "# auto is 4 here\n"
	    "instances = auto\n"
	    "scale_up_after = 1s\n"
	    "scale_down_after = 1m\n"
	    "balance = auto\n"
	    "slow_start = 0s\n"
	    "handoff = auto\n"
	    "fd_protocol = auto\n"
	    "directory = inherit\n"
	    "umask = inherit\n"
	    "env = none\n"
	    "env_file = none\n"
	    "limit_nofile = inherit\n"
	    "user = inherit\n"
	    "group = inherit\n"
	    "restart = always\n"
	    "restart_delay = 100ms\n"
	    "restart_delay_max = 30s\n"
	    "restart_reset = 10s\n"
	    "restart_limit = none\n"
	    "success_codes = 0\n"
	    "ready = auto\n"
	    "ready_timeout = 1m\n"
	    "health = none\n"
	    "health_interval = 10s\n"
	    "health_timeout = 5s\n"
	    "health_failures = 3\n"
	    "agent = none\n"
	    "stop_signal = TERM\n"
	    "stop_timeout = 10s\n"
	    "stop_to = process\n"
	    "orphans = stop\n"
	    "drain_timeout = 10s\n"
	    "drain_idle = 5s\n"
	    "drain_signal = none\n"
	    "max_surge = 1\n"
	    "canary = 1s\n"
	    "max_memory = none\n"
	    "max_age = none\n"
	    "max_connections = none\n"
	    "memory_limit = none\n"
	    "cpu_limit = none\n"
	    "tasks_limit = none\n"
	    "after = none\n"
	    "stdin = null\n"
	    "stdout = inherit\n"
	    "stderr = inherit\n"
	    "log_max_size = 10M\n"
	    "log_keep = 5\n"
	    "log_time = none\n");
	free(dump);
}

/* Every key, away from its default, with odd quoting. */
static const char rich[] =
    "\xef\xbb\xbf# a rich file\r\n"
    "[clusterd]\n"
    "log_level : debug\n"
    "log_format = json\n"
    "log=log file ; with # signs.log\n"
    "pidfile = ./none\n"
    "control = none2\n"
    "control_group = www\n"
    "stop_delay = 15000ms\n"
    "include = none\n"
    "web = unix:web.sock\n"
    "web_user = www-data\n"
    "web_token_file = to ken\n"
    "web_host = a.example b\n"
    "on_event = hooks/tell 'it now' {app}\n"
    "on_event_user = www-data\n"
    "\n"
    "[a-1]\n"
    "command = \"./my server\" 'it'\\''s' \"\" \\  a\\ b \"\\$x \\\"y\\\"\"\n"
    "\t  a word ; with 'all' of \"it\" \\  \n"
    "   $'tab\\there\\n\\x7f' $HOME {port} {instance} {\n"
    "port = 0\n"
    "listen = http=80, udp:80,\n"
    "\t127.0.0.1:81, [2001:db8::1]:82\n"
    "\n"
    "  # the socket\n"
    "\tunix:run/web=1 sock.sock\n"
    "socket_mode = 7\n"
    "socket_user = web\n"
    "socket_group = www\n"
    "backlog = 1\n"
    "instances = 150%\n"
    "scale_up_after = 0\n"
    "scale_down_after = 120s\n"
    "balance = least-connections\n"
    "slow_start = 30s\n"
    "handoff = adopt\n"
    "fd_protocol = nginx,php-fpm\n"
    " einhorn\n"
    "directory = .\n"
    "umask = 27\n"
    "env = A=1 ; # 2\n"
    "\n"
    "   B=\"x\", y\n"
    "   C=\n"
    "   D=[x]\xff\n"
    "env_file = inherit\n"
    "limit_nofile = 65536\n"
    "user = web\n"
    "group = soon\n"
    "restart = on-failure\n"
    "restart_delay = 1\n"
    "restart_delay_max = 1h\n"
    "restart_reset = 90m\n"
    "restart_limit = 3/90s\n"
    "success_codes = 0 3\n"
    "\t10-12,11-20\n"
    "ready = alive:1500ms\n"
    "ready_timeout = 2m\n"
    "health = http://example.org/healthz?a=b\n"
    "health_interval = 1m\n"
    "health_timeout = 500ms\n"
    "health_failures = 5\n"
    "agent = 127.0.0.1:9101\n"
    "stop_signal = 34\n"
    "stop_timeout = 0\n"
    "stop_to = group\n"
    "orphans = keep\n"
    "drain_timeout = 90\n"
    "drain_idle = off\n"
    "drain_signal = SIGWINCH\n"
    "max_surge = 0003\n"
    "canary = 0\n"
    "max_memory = 512M\n"
    "max_age = 6h\n"
    "max_connections = 100000\n"
    "memory_limit = 512M\n"
    "cpu_limit = 150%\n"
    "tasks_limit = 100\n"
    "after = none\n"
    "stdin = open\n"
    "stdout = null\n"
    "stderr = logs/my err.log\n"
    "log_max_size = 2048K\n"
    "log_keep = 00\n"
    "log_time =  iso\n"
    "\n"
    "[b]\n"
    "command = $'x\\ny' $'\\x01f\\'\\\\'\n"
    "instances = 7\n"
    "ready = accept\n"
    "port = 8080\n";

static void
a_rich_file(void **state)
{
	char *dump = dump_of(rich);
	char *rest = strstr(dump, "\n[b]\n");

	(void)state;
	assert_non_null(rest);
	*rest = '\0';
	assert_string_equal(dump,
	    "[clusterd]\n"
	    "log_level = debug\n"
	    "log_format = json\n"
	    "log = /srv/my app's/log file ; with # signs.log\n"
	    "pidfile = /srv/my app's/none\n"
	    "control = /srv/my app's/none2\n"
	    "control_group = www\n"
	    "stop_delay = 15s\n"
	    "include = none\n"
	    "web = unix:web.sock\n"
	    "web_user = www-data\n"
	    "web_token_file = /srv/my app's/to ken\n"
	    "web_host = a.example b\n"
	    "on_event = '/srv/my app'\\''s/hooks/tell' 'it now' {app}\n"
	    "on_event_user = www-data\n"
	    "\n"
	    "[a-1]\n"
	    "command = '/srv/my app'\\''s/my server' 'it'\\''s' '' ' ' 'a b' "
	    "'$x \"y\"' 'a word ; with '\\''all'\\'' of \"it\" \\' "
	    "'$'\\''tab\\there\\n\\x7f'\\'' $HOME {port} {instance} {'\n"
	    "port = 0\n"
	    "listen = http=80, udp:80, 127.0.0.1:81, [2001:db8::1]:82, "
	    "unix:/srv/my app's/run/web=1 sock.sock\n"
	    "socket_mode = 0007\n"
	    "socket_user = web\n"
	    "socket_group = www\n"
	    "backlog = 1\n"
	    "# 150% of auto is 6 here\n"
	    "instances = 150%\n"
	    "scale_up_after = 0s\n"
	    "scale_down_after = 2m\n"
	    "balance = least-connections\n"
	    "slow_start = 30s\n"
	    "handoff = adopt\n"
	    "fd_protocol = clusterd einhorn nginx php-fpm\n"
	    "directory = /srv/my app's\n"
	    "umask = 0027\n"
	    "env = A=1 ; # 2\n"
	    "\tB=\"x\", y\n"
	    "\tC=\n"
	    "\tD=[x]\xff\n"
	    "env_file = /srv/my app's/inherit\n"
	    "limit_nofile = 65536\n"
	    "user = web\n"
	    "group = soon\n"
	    "restart = on-failure\n"
	    "restart_delay = 1s\n"
	    "restart_delay_max = 1h\n"
	    "restart_reset = 90m\n"
	    "restart_limit = 3/90s\n"
	    "success_codes = 0,3,10-20\n"
	    "ready = alive:1500ms\n"
	    "ready_timeout = 2m\n"
	    "health = http://example.org/healthz?a=b\n"
	    "health_interval = 1m\n"
	    "health_timeout = 500ms\n"
	    "health_failures = 5\n"
	    "agent = 127.0.0.1:9101\n"
	    "stop_signal = 34\n"
	    "stop_timeout = 0s\n"
	    "stop_to = group\n"
	    "orphans = keep\n"
	    "drain_timeout = 90s\n"
	    "drain_idle = off\n"
	    "drain_signal = WINCH\n"
	    "max_surge = 3\n"
	    "canary = 0s\n"
	    "max_memory = 512M\n"
	    "max_age = 6h\n"
	    "max_connections = 100000\n"
	    "memory_limit = 512M\n"
	    "cpu_limit = 1.5\n"
	    "tasks_limit = 100\n"
	    "after = none\n"
	    "stdin = open\n"
	    "stdout = null\n"
	    "stderr = /srv/my app's/logs/my err.log\n"
	    "log_max_size = 2M\n"
	    "log_keep = 0\n"
	    "log_time = iso\n");
	assert_non_null(strstr(rest + 1, "command = $'x\\ny' "
					 "$'\\x01f\\'\\\\'\n"));
	assert_non_null(strstr(rest + 1, "instances = 7\n"));
	assert_null(strstr(rest + 1, " here\n"));
	assert_non_null(strstr(rest + 1, "# auto is clusterd\n"
	    "fd_protocol = auto\n"));
	free(dump);
}

/* Where it means anything. */
static void
what_auto_comes_to_is_a_comment(void **state)
{
	const struct conf_here here = { 4, "random here: not permitted" };
	char *dump = dump_here(&host, "[a]\ncommand = x\nport = 80\n"
	    "[b]\ncommand = x\n[c]\ncommand = x\nport = 81\n"
	    "balance = source\n", &here);
	char *at = strstr(dump, "# auto is random here: not permitted\n"
	    "balance = auto\n");
	char *again;

	(void)state;
	assert_non_null(at);
	assert_true(at < strstr(dump, "\n[b]\n"));
	assert_null(strstr(at + 1, "# auto is random"));
	again = dump_here(&host, dump, &here);
	assert_string_equal(dump, again);
	free(dump);
	free(again);
}

static void
what_a_range_comes_to_is_a_comment(void **state)
{
	const struct conf_here here = { 4, "random" };
	char *dump = dump_here(&host, "[a]\ncommand = x\n"
	    "instances = 02..auto\n[b]\ncommand = x\n"
	    "instances = 50%..150%\n[c]\ncommand = x\n"
	    "instances = 2..8\n", &here);

	(void)state;
	assert_non_null(strstr(dump, "\n# auto is 4 here\n"
	    "instances = 2..auto\n"));
	assert_non_null(strstr(dump, "\n# 50% of auto is 2 here\n"
	    "# 150% of auto is 6 here\ninstances = 50%..150%\n"));
	assert_non_null(strstr(dump, "\ninstances = 2..8\n"));
	free(dump);
}

static void
the_dump_of_a_dump_is_the_same(void **state)
{
	static const char *const texts[] = {
		rich,
		"[web]\ncommand = server\n",
		"[x]\ncommand =\n ./a\n   b c  \n 'd'\nlisten =\n\n 1\n 2\n",
		"[x]\ncommand = 'a\tb' \xff\xfe$'\\xff\\x09'\nenv=\n A=\t\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char *once = dump_of(texts[i]);
		char *twice = dump_of(once);

		assert_string_equal(once, twice);
		free(once);
		free(twice);
	}
}

static void
files_in_the_root_directory(void **state)
{
	struct conf_host root = host;
	char *once, *twice;

	(void)state;
	root.base_dir = "/";
	once = dump_at(&root, "[clusterd]\nlog = x.log\npidfile = ./none\n"
	    "[web]\ncommand = ./server\nlisten = unix:a.sock, unix:./run//b\n"
	    "directory = .\nenv_file = etc/env\n");
	assert_non_null(strstr(once, "\nlog = /x.log\n"));
	assert_non_null(strstr(once, "\npidfile = /none\n"));
	assert_non_null(strstr(once, "\ncommand = /server\n"));
	assert_non_null(strstr(once, "\nlisten = unix:/a.sock, "
				     "unix:/run/b\n"));
	assert_non_null(strstr(once, "\ndirectory = /\n"));
	assert_non_null(strstr(once, "\nenv_file = /etc/env\n"));
	twice = dump_at(&root, once);
	assert_string_equal(once, twice);
	free(once);
	free(twice);
}

/* Behind a key a blank at the end would be cut off. */
static void
a_base_directory_that_ends_in_a_blank(void **state)
{
	static const char text[] = "[web]\ncommand = ./x\ndirectory = .\n";
	struct conf_host blank = host;
	struct conf_source source;
	struct conf_errors errors = { .file = "app.ini" };
	struct config *config;
	char *once, *twice;

	(void)state;
	blank.base_dir = "/srv/app ";
	once = dump_at(&blank, "[web]\ncommand = ./x\ndirectory = d\n"
			       "listen = unix:s\n");
	assert_non_null(strstr(once, "\ndirectory = /srv/app /d\n"));
	twice = dump_at(&blank, once);
	assert_string_equal(once, twice);
	free(once);
	free(twice);

	assert_int_equal(conf_read(text, strlen(text), &source, &errors), 0);
	assert_int_equal(conf_check(&source, &blank, &config, &errors), 0);
	assert_null(config);
	assert_int_equal(errors.n, 1);
	assert_string_equal(errors.v[0].text, "app.ini:3: directory: "
	    "\"/srv/app \" ends in a blank, a path without is allowed");
	conf_source_free(&source);
	conf_errors_free(&errors);
}

/* Exactly the limit, which no blank behind the last word counts against. */
static void
a_command_of_exactly_the_limit(void **state)
{
	struct strbuf text = STRBUF_INIT;
	struct conf_source source;
	struct conf_errors errors = { .file = "app.ini" };
	struct config *config;
	char *once, *twice;

	(void)state;
	strbuf_printf(&text, "[web]\ncommand = x %0*d\n", CONF_VALUE_MAX - 2,
	    0);
	once = dump_of(text.text);
	twice = dump_of(once);
	assert_string_equal(once, twice);
	assert_non_null(strstr(once, strchr(text.text, '\n')));
	free(once);
	free(twice);
	strbuf_free(&text);

	/* One more, which the dump's quotes bring. */
	strbuf_printf(&text, "[web]\ncommand = x \\?%0*d\n",
	    CONF_VALUE_MAX - 5, 0);
	free(dump_of(text.text));
	strbuf_free(&text);
	strbuf_printf(&text, "[web]\ncommand = x \\?%0*d\n",
	    CONF_VALUE_MAX - 4, 0);
	assert_int_equal(conf_read(text.text, text.len, &source, &errors), 0);
	assert_int_equal(errors.n, 0);
	assert_int_equal(conf_check(&source, &host, &config, &errors), 0);
	assert_null(config);
	assert_string_equal(errors.v[0].text, "app.ini:2: command: the "
	    "command is too long, 65536 bytes with its quotes are allowed");
	conf_source_free(&source);
	conf_errors_free(&errors);
	strbuf_free(&text);
}

/* A command grows in the dump by its quotes, and must still be read. */
static void
a_long_command_is_dumped_or_refused(void **state)
{
	struct strbuf text = STRBUF_INIT;
	struct conf_source source;
	struct conf_errors errors = { .file = "app.ini" };
	struct config *config;
	char *dump;

	(void)state;
	strbuf_puts(&text, "[web]\ncommand = x\n ");
	for (unsigned i = 0; i < CONF_VALUE_MAX / 4 - 2; i++)
		strbuf_putc(&text, '\'');
	strbuf_putc(&text, '\n');
	dump = dump_of(text.text);
	free(dump_of(dump));
	free(dump);

	strbuf_puts(&text, " ''\n");
	assert_int_equal(conf_read(text.text, text.len, &source, &errors), 0);
	assert_int_equal(conf_check(&source, &host, &config, &errors), 0);
	assert_null(config);
	assert_string_equal(errors.v[0].text, "app.ini:2: command: the "
	    "command is too long, 65536 bytes with its quotes are allowed");
	conf_source_free(&source);
	conf_errors_free(&errors);
	strbuf_free(&text);
}

static void
every_key_is_dumped_once(void **state)
{
	char *dump = dump_of("[web]\ncommand = server\n");
	size_t n;
	const struct conf_key *schema = conf_schema(&n);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		char line[64];
		const char *at;

		snprintf(line, sizeof(line), "\n%s = ", schema[i].name);
		at = strstr(dump, line);
		assert_non_null(at);
		assert_null(strstr(at + 1, line));
	}
	free(dump);
}

/*
 * Read, check, dump and compare while some allocations fail; true when none
 * was hit. Whatever happens is told as -ENOMEM or as a dropped error.
 */
static bool
run_short_of_memory(const char *text, unsigned long first, unsigned long n)
{
	struct conf_source source;
	struct conf_errors errors = { .file = "app.ini" };
	struct config *config = NULL;
	struct conf_diff diff = { .apps = NULL };
	char *dump = NULL;
	int r;

	alloc_fail(first, n);
	r = conf_read(text, strlen(text), &source, &errors);
	if (r == 0)
		r = conf_check(&source, &host, &config, &errors);
	assert_true(r == 0 || r == -ENOMEM);
	assert_true(r == 0 || config == NULL);
	if (config != NULL) {
		dump = conf_print(config, &(struct conf_here){ 2, NULL });
		r = conf_diff(config, config, &diff);
		assert_true(r == 0 || r == -ENOMEM);
	}
	alloc_works();

	/* A hit is never taken for success. */
	if (alloc_failed() && config != NULL && dump != NULL && r == 0)
		fail_msg("allocation %lu failed unseen", first);
	if (alloc_failed() && r == 0 && config == NULL)
		assert_true(errors.n + errors.dropped > 0);
	conf_diff_free(&diff);
	free(dump);
	config_unref(config);
	conf_source_free(&source);
	conf_errors_free(&errors);
	return !alloc_failed();
}

static void
every_allocation_may_fail(void **state)
{
	static const char *const texts[] = {
		rich,
		/* And one that is wrong in many ways. */
		"x = 1\n[Web]\nfoo = 1\nport = 80\nport = x\nuser = bad\n"
		"group = bad\nstdout = f\nlog_levle = 1\n"
		"listen = 80, 80, x, unix:@x, a:1\nenv = x\nready = x\n"
		"[c]\ncommand = '\nrestart = x\nstop_signal = 99\n"
		"restart_delay = 1h\nready = alive:2h\nlisten = 80\n"
		"[c]\n[clusterd]\nlog = \n log_levl = 1\n[d\n",
		"[clusterd]\nlog = x\npidfile = ./x\nfoo = \x01\n[a]\n"
		"command = x\nuser = web\ngroup = soon\nlisten = udp:unix:x\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		unsigned long n = 1;

		while (!run_short_of_memory(texts[i], n, 1))
			n++;
		assert_true(n > 50);
		/* No second chance: nothing is to be had any more. */
		for (n = 1; !run_short_of_memory(texts[i], n, ALLOC_ALL);)
			n++;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_of_every_supported_key),
		cmocka_unit_test(a_rich_file),
		cmocka_unit_test(what_auto_comes_to_is_a_comment),
		cmocka_unit_test(what_a_range_comes_to_is_a_comment),
		cmocka_unit_test(the_dump_of_a_dump_is_the_same),
		cmocka_unit_test(files_in_the_root_directory),
		cmocka_unit_test(a_base_directory_that_ends_in_a_blank),
		cmocka_unit_test(a_command_of_exactly_the_limit),
		cmocka_unit_test(a_long_command_is_dumped_or_refused),
		cmocka_unit_test(every_key_is_dumped_once),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
