/* Keys of PM2, supervisord and systemd: nothing is promised that is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "core/conf/conf_foreign.h"
#include "core/conf/conf_schema.h"

static const char *const keys[] = {
	"script", "args", "interpreter", "cwd", "exec_mode",
	"max_memory_restart", "autorestart", "max_restarts", "min_uptime",
	"exp_backoff_restart_delay", "stop_exit_codes", "kill_timeout",
	"listen_timeout", "wait_ready", "out_file", "error_file",
	"merge_logs", "pid_file", "watch", "ignore_watch", "cron_restart",
	"uid", "numprocs", "process_name", "startsecs", "startretries",
	"exitcodes", "stopsignal", "stopwaitsecs", "stopasgroup",
	"killasgroup", "autostart", "priority", "environment",
	"stdout_logfile", "stderr_logfile", "redirect_stderr",
	"stdout_logfile_maxbytes", "stdout_logfile_backups", "logfile",
	"loglevel", "nodaemon", "minfds", "ExecStart", "WorkingDirectory",
	"Environment", "EnvironmentFile", "RestartSec", "KillSignal",
	"TimeoutStopSec", "KillMode", "StandardOutput", "LimitNOFILE",
	"ListenStream", "MemoryMax", "time", "log_date_format", "workers",
	"processes", "replicas",
};

/* `here it is KEY`: a key of ours, and no other one. */
static void
expect_promise_kept(const char *key)
{
	static const char begin[] = "here it is ";
	const char *words = conf_foreign(key);
	char name[64];

	assert_non_null(words);
	if (!str_starts(words, begin) ||
	    str_starts(words + strlen(begin), "for ") ||
	    str_starts(words + strlen(begin), "always "))
		return;
	snprintf(name, sizeof(name), "%.*s",
	    (int)strcspn(words + strlen(begin), ", "), words + strlen(begin));
	if (conf_schema_find(CONF_SCOPE_APP, name) == NULL &&
	    conf_schema_find(CONF_SCOPE_CLUSTERD, name) == NULL)
		fail_msg("%s: %s: there is no %s", key, words, name);
}

static void
promises(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		expect_promise_kept(keys[i]);
}

static void
answers(void **state)
{
	(void)state;
	assert_string_equal(conf_foreign("numprocs"), "here it is instances");
	assert_true(str_starts(conf_foreign("autorestart"),
	    "here it is restart,"));
	assert_true(str_starts(conf_foreign("max_memory_restart"),
	    "here it is max_memory,"));
	assert_string_equal(conf_foreign("workingdirectory"),
	    "here it is directory");
	assert_null(conf_foreign("nonsense"));
	assert_null(conf_foreign(""));
	assert_null(conf_foreign("script2"));
}

/* What is a key of ours, too, is never asked for. */
static void
own_keys(void **state)
{
	size_t n;
	const struct conf_key *schema = conf_schema(&n);

	(void)state;
	for (size_t i = 0; i < n; i++)
		if (conf_foreign(schema[i].name) != NULL)
			fail_msg("%s is a key", schema[i].name);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(promises),
		cmocka_unit_test(answers),
		cmocka_unit_test(own_keys),
	};

	return cmocka_run_group_tests_name("conf_foreign", tests, NULL, NULL);
}
