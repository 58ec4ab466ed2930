#include <stdbool.h>
#include <stddef.h>

#include "core/conf/conf_foreign.h"

#define NO_WATCH "here nobody watches files: clusterctl reload, or HUP"
#define LOG_SIZE "here it is log_max_size, such as 10M"

/*
 * By program, in small and capital letters alike; of those with the same name
 * in several, the first one stands. Only what exists is promised:
 * tests/unit/core/conf/test_conf_foreign.c looks each `here it is KEY` up in the
 * schema.
 */
static const struct {
	const char *key;
	const char *words;
} foreign[] = {
	/* PM2 */
	{ "script", "here it is command, such as node app.js" },
	{ "args", "here they stand in command" },
	{ "interpreter", "here it stands first in command" },
	{ "interpreter_args", "here they stand in command" },
	{ "node_args", "here they stand in command, behind node" },
	{ "exec_interpreter", "here it stands first in command" },
	{ "cwd", "here it is directory" },
	{ "exec_mode", "here every app is a cluster; its size is instances" },
	{ "increment_var", "here CLUSTERD_INSTANCE is the number" },
	{ "instance_var", "here CLUSTERD_INSTANCE is the number" },
	{ "max_memory_restart", "here it is max_memory, such as 512M" },
	{ "autorestart", "here it is restart, always, on-failure or never" },
	{ "max_restarts", "here it is restart_limit, such as 5/60s" },
	{ "min_uptime", "here it is restart_reset" },
	{ "exp_backoff_restart_delay", "here it is restart_delay, which "
	    "doubles" },
	{ "stop_exit_codes", "here it is success_codes, with restart = "
	    "on-failure" },
	{ "kill_timeout", "here it is stop_timeout, such as 10s" },
	{ "listen_timeout", "here it is ready_timeout, such as 60s" },
	{ "wait_ready", "here it is ready" },
	{ "kill_retry_time", "here it is stop_timeout, such as 10s" },
	{ "treekill", "here it is stop_to, process or group" },
	{ "shutdown_with_message", "here it is stop_signal" },
	{ "out_file", "here it is stdout" },
	{ "output", "here it is stdout" },
	{ "error_file", "here it is stderr" },
	{ "error", "here it is stderr" },
	{ "merge_logs", "here all instances write to one file, unless "
	    "{instance} is in its name" },
	{ "combine_logs", "here all instances write to one file, unless "
	    "{instance} is in its name" },
	{ "pid_file", "here it is pidfile, of clusterd itself; {worker_id} "
	    "tells workers apart" },
	{ "watch", NO_WATCH },
	{ "ignore_watch", NO_WATCH },
	{ "watch_delay", NO_WATCH },
	{ "cron_restart", "here it is for cron: clusterctl restart APP" },
	{ "env_production", "here it is env, or env_file" },
	{ "env_development", "here it is env, or env_file" },
	{ "name", "here the section's name is the app's" },
	{ "uid", "here it is user" },
	{ "gid", "here it is group" },
	{ "time", "here it is log_time, such as iso" },
	{ "log_date_format", "here it is log_time, such as iso" },
	/* supervisord */
	{ "numprocs", "here it is instances" },
	{ "numprocs_start", "here instances are numbered from 0" },
	{ "process_name", "here the section's name is the app's, and "
	    "instances have numbers" },
	{ "startsecs", "here it is ready, such as alive:1s" },
	{ "startretries", "here it is restart_limit, such as 5/60s" },
	{ "exitcodes", "here it is success_codes" },
	{ "stopsignal", "here it is stop_signal" },
	{ "stopwaitsecs", "here it is stop_timeout, such as 10s" },
	{ "stopasgroup", "here it is stop_to, process or group" },
	{ "killasgroup", "here all of a worker's group is killed" },
	{ "autostart", "here every app of the file starts" },
	{ "priority", "here it is after, with the names of those before" },
	{ "environment", "here it is env, one NAME=value to an indented line" },
	{ "stdout_logfile", "here it is stdout" },
	{ "stderr_logfile", "here it is stderr" },
	{ "redirect_stderr", "here the file of stdout may be that of stderr, "
	    "too" },
	{ "stdout_logfile_maxbytes", LOG_SIZE },
	{ "stderr_logfile_maxbytes", LOG_SIZE },
	{ "stdout_logfile_backups", "here it is log_keep" },
	{ "stderr_logfile_backups", "here it is log_keep" },
	{ "logfile", "here it is log" },
	{ "loglevel", "here it is log_level" },
	{ "nodaemon", "here it is always so" },
	{ "files", "here it is include, in [clusterd]" },
	{ "minfds", "here it is limit_nofile, of an app" },
	/* systemd */
	{ "ExecStart", "here it is command" },
	{ "WorkingDirectory", "here it is directory" },
	{ "Environment", "here it is env, one NAME=value to an indented line" },
	{ "EnvironmentFile", "here it is env_file" },
	{ "RestartSec", "here it is restart_delay" },
	{ "StartLimitBurst", "here it is restart_limit, such as 5/60s" },
	{ "SuccessExitStatus", "here it is success_codes" },
	{ "KillSignal", "here it is stop_signal" },
	{ "TimeoutStopSec", "here it is stop_timeout" },
	{ "TimeoutStartSec", "here it is ready_timeout" },
	{ "KillMode", "here it is stop_to, process or group" },
	{ "StandardInput", "here it is stdin" },
	{ "StandardOutput", "here it is stdout" },
	{ "StandardError", "here it is stderr" },
	{ "LimitNOFILE", "here it is limit_nofile" },
	{ "ListenStream", "here it is listen" },
	{ "ListenDatagram", "here it is listen, such as udp:53" },
	{ "MemoryMax", "here it is memory_limit, or max_memory, at which a "
	    "worker is replaced" },
	{ "CPUQuota", "here it is cpu_limit, such as 50%" },
	{ "TasksMax", "here it is tasks_limit" },
	{ "RuntimeMaxSec", "here it is max_age" },
	/* gunicorn and its like, uWSGI, Docker Compose and Kubernetes */
	{ "workers", "here it is instances" },
	{ "processes", "here it is instances" },
	{ "replicas", "here it is instances" },
};

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool
is_same(const char *a, const char *b)
{
	for (; *a != '\0' && lower(*a) == lower(*b); a++)
		b++;
	return *a == '\0' && *b == '\0';
}

const char *
conf_foreign(const char *key)
{
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		if (is_same(foreign[i].key, key))
			return foreign[i].words;
	return NULL;
}
