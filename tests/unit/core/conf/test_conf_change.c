#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conf/conf.h"
#include "core/conf/conf_change.h"
#include "core/conf/conf_check.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_host.h"
#include "core/conf/conf_read.h"
#include "core/conf/conf_schema.h"
#include "core/conf/conf_source.h"

/* What the env file holds. */
static const char *env_file;
static unsigned uid;

static int
read_file(void *ctx, const char *path, char **ret_text, size_t *ret_len,
    struct error *err)
{
	(void)ctx;
	(void)path;
	(void)err;
	*ret_text = strdup(env_file);
	*ret_len = strlen(env_file);
	return 0;
}

static int
find_creds(void *ctx, const char *user, const char *group,
    struct conf_creds *ret_creds, struct error *err)
{
	(void)ctx;
	(void)err;
	*ret_creds = (struct conf_creds){
		.set = user != NULL || group != NULL, .uid = uid, .gid = 7,
		.name = user != NULL ? strdup(user) : NULL,
		.home = user != NULL ? strdup("/") : NULL,
	};
	return 0;
}

static int
may_become(void *ctx, const struct conf_creds *creds, struct error *err)
{
	(void)ctx;
	(void)creds;
	(void)err;
	return 0;
}

static struct config *
load(const char *text)
{
	const struct conf_host host = {
		.base_dir = "/base", .read_file = read_file,
		.find_creds = find_creds, .may_become = may_become,
	};
	struct conf_errors errors = { .file = "x" };
	struct conf_source source = { .sections = NULL };
	struct config *config = NULL;

	assert_int_equal(conf_read(text, strlen(text), &source, &errors), 0);
	assert_int_equal(conf_check(&source, &host, &config, &errors), 0);
	if (config == NULL)
		fail_msg("%s", errors.n > 0 ? errors.v[0].text : text);
	conf_source_free(&source);
	conf_errors_free(&errors);
	return config;
}

static enum conf_change
change(const char *before, const char *after)
{
	struct config *a = load(before), *b = load(after);
	enum conf_change found = CONF_CHANGE_NONE;

	assert_int_equal(conf_change(&a->apps[0], &b->apps[0], &found), 0);
	config_unref(a);
	config_unref(b);
	return found;
}

#define APP "[web]\ncommand = a b\nport = 8080\n"

/* A value that is not the default, of every key that an app has. */
static const struct {
	const char *key, *value;
	enum conf_change change;
} values[] = {
	{ "listen", "9000", CONF_CHANGE_WORKERS },
	{ "socket_mode", "0600", CONF_CHANGE_LIVE },
	{ "socket_user", "x", CONF_CHANGE_LIVE },
	{ "socket_group", "x", CONF_CHANGE_LIVE },
	{ "backlog", "7", CONF_CHANGE_LIVE },
	{ "instances", "3", CONF_CHANGE_LIVE },
	{ "balance", "random", CONF_CHANGE_WORKERS },
	{ "handoff", "adopt", CONF_CHANGE_WORKERS },
	{ "directory", "/x", CONF_CHANGE_WORKERS },
	{ "umask", "022", CONF_CHANGE_WORKERS },
	{ "env", "A=1", CONF_CHANGE_WORKERS },
	{ "env_file", "e", CONF_CHANGE_WORKERS },
	{ "limit_nofile", "100", CONF_CHANGE_WORKERS },
	{ "user", "x", CONF_CHANGE_WORKERS },
	{ "group", "x", CONF_CHANGE_WORKERS },
	{ "restart", "never", CONF_CHANGE_LIVE },
	{ "restart_delay", "1s", CONF_CHANGE_LIVE },
	{ "restart_delay_max", "31s", CONF_CHANGE_LIVE },
	{ "restart_reset", "11s", CONF_CHANGE_LIVE },
	{ "restart_limit", "5/60s", CONF_CHANGE_LIVE },
	{ "success_codes", "0,1", CONF_CHANGE_LIVE },
	{ "ready", "accept", CONF_CHANGE_WORKERS },
	{ "ready_timeout", "61s", CONF_CHANGE_LIVE },
	{ "stop_signal", "INT", CONF_CHANGE_LIVE },
	{ "stop_timeout", "11s", CONF_CHANGE_LIVE },
	{ "drain_timeout", "11s", CONF_CHANGE_LIVE },
	{ "drain_idle", "6s", CONF_CHANGE_LIVE },
	{ "max_surge", "2", CONF_CHANGE_LIVE },
	{ "stdout", "null", CONF_CHANGE_WORKERS },
	{ "stderr", "null", CONF_CHANGE_WORKERS },
	{ "log_max_size", "1M", CONF_CHANGE_LIVE },
	{ "log_keep", "6", CONF_CHANGE_LIVE },
	{ "log_time", "iso", CONF_CHANGE_WORKERS },
	{ "agent", "9101", CONF_CHANGE_LIVE },
};

static void
each_key_has_its_way(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		char text[256];

		snprintf(text, sizeof(text), APP "%s = %s\n", values[i].key,
		    values[i].value);
		if (change(APP, text) != values[i].change ||
		    change(text, APP) != values[i].change)
			fail_msg("%s", text);
		assert_int_equal(change(text, text), CONF_CHANGE_NONE);
	}
	assert_int_equal(change(APP, "[web]\ncommand = a c\nport = 8080\n"),
	    CONF_CHANGE_WORKERS);
	assert_int_equal(change(APP, "[web]\ncommand = a b\nport = 8081\n"),
	    CONF_CHANGE_WORKERS);
	/* What a program has before its eyes is told apart by how it comes. */
	assert_int_equal(change(APP, "[web]\ncommand = a b\nlisten = 8080\n"),
	    CONF_CHANGE_WORKERS);
}

/* Nobody is to be replaced for the sake of a comment. */
static void
the_text_does_not_matter(void **state)
{
	(void)state;
	assert_int_equal(change(APP, "[clusterd]\nlog_level = debug\n\n# x\n"
	    "[web]\n\nport=8080\nbacklog = 4096\ncommand = a   b\n"),
	    CONF_CHANGE_NONE);
}

/* More than one change: the one that weighs more. */
static void
workers_win(void **state)
{
	(void)state;
	assert_int_equal(change(APP, APP "backlog = 1\numask = 022\n"),
	    CONF_CHANGE_WORKERS);
	assert_int_equal(change(APP, APP "umask = 022\nlog_keep = 1\n"),
	    CONF_CHANGE_WORKERS);
}

static void
what_keys_stand_for_counts(void **state)
{
	struct config *a, *b;
	enum conf_change found;

	(void)state;
	env_file = "A=1\n";
	a = load(APP "env_file = e\n");
	env_file = "A=2\n";
	b = load(APP "env_file = e\n");
	assert_int_equal(conf_change(&a->apps[0], &b->apps[0], &found), 0);
	assert_int_equal(found, CONF_CHANGE_WORKERS);
	config_unref(a);
	config_unref(b);
	a = load(APP "user = x\n");
	uid = 5;
	b = load(APP "user = x\n");
	uid = 0;
	assert_int_equal(conf_change(&a->apps[0], &b->apps[0], &found), 0);
	assert_int_equal(found, CONF_CHANGE_WORKERS);
	config_unref(a);
	config_unref(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_key_has_its_way),
		cmocka_unit_test(the_text_does_not_matter),
		cmocka_unit_test(workers_win),
		cmocka_unit_test(what_keys_stand_for_counts),
	};

	env_file = "";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
