#include <sys/mman.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/control/answer.h"
#include "core/control/event_json.h"
#include "core/worker/event_env.h"
#include "core/worker/obituary.h"
#include "core/worker/worker_env.h"
#include "daemon/on_event/event_run.h"
#include "linux/process/process.h"

/* The serial of no worker: what a command leaves behind is found by it. */
#define NOBODYS_SERIAL	UINT64_MAX

/* Its leader is not reaped: nobody else can have the number. A child that has not
   come to its setsid() is in no group yet. */
void
event_run_kill(struct event_run *run)
{
	process_kill_group(run->pid, SIGKILL);
	process_kill(run->pid, SIGKILL);
}

static void
late(void *ctx)
{
	struct event_run *run = ctx;

	run->late = true;
	event_run_kill(run);
}

/* ---- what comes of it ---- */

static void
complain(const struct event_run *run, struct exit_status status)
{
	struct strbuf sb = STRBUF_INIT;

	if (run->exec.failed)
		spawn_failure_text(&sb, &run->exec.failure, run->program, ".",
		    run->base_dir);
	else if (run->late)
		strbuf_printf(&sb, "killed, it had not ended after %d s",
		    EVENT_RUN_TIMEOUT_MS / 1000);
	else
		obituary_cause(&sb, status);
	log_own_often(LOG_LEVEL_WARNING, "on_event: %s: %s", run->event,
	    sb.failed ? "out of memory" : sb.text);
	strbuf_free(&sb);
}

void
event_run_close(struct event_run *run)
{
	if (run->house == NULL)
		return;
	event_said_close(&run->said);
	exec_report_forget(&run->exec);
	loop_timer_fini(run->house->loop, &run->timer);
	free(run->program);
	free(run->base_dir);
	*run = (struct event_run){ .house = NULL };
}

bool
event_run_died(struct event_run *run, struct exit_status status)
{
	bool well;

	exec_report_read(&run->exec);
	/* What it has started goes with it. */
	process_kill_group(run->pid, SIGKILL);
	process_reap(run->pid);
	well = !run->exec.failed && !run->late && !status.signalled &&
	    status.code == 0;
	/* What it said comes before how it ended. */
	event_said_close(&run->said);
	if (!well)
		complain(run, status);
	event_run_close(run);
	return well;
}

/* ---- its beginning ---- */

static int
put_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A file, for it is there as a whole, whenever it is read; and what may not be
   opened by another user, a pipe of ours, could not be by its name. */
static int
make_input(const struct strbuf *json, int *ret_fd)
{
	int fd = memfd_create("event", MFD_CLOEXEC);
	int code = fd < 0 ? -errno : put_all(fd, json->text, json->len);

	if (code == 0 && lseek(fd, 0, SEEK_SET) < 0)
		code = -errno;
	if (code < 0) {
		fd_close(&fd);
		return code;
	}
	*ret_fd = fd;
	return 0;
}

static int
execute(struct event_run *run, const struct config *config,
    const struct worker_env *env, int in_fd, int out_fd)
{
	const struct spawn_plan plan = {
		.in_fd = in_fd, .out_fd = out_fd, .err_fd = out_fd,
		.cwd = run->house->cwd,
		.base_dir = config->base_dir,
		.umask = -1,
		.nofile = *run->house->nofile,
		.creds = &config->on_event_creds,
		.files = env->files.v,
		.argv = env->argv.v,
		.envp = env->env.v,
	};

	return exec_report_spawn(&run->exec, &plan, &run->pid);
}

static int
start(struct event_run *run, const struct config *config,
    const struct answer_line *line, const struct strbuf *json)
{
	struct worker_env env;
	char id[48];
	int in_fd = -1, out_fd = -1, code;

	snprintf(id, sizeof(id), "%016llx.%llu",
	    (unsigned long long)*run->house->run_id,
	    (unsigned long long)NOBODYS_SERIAL);
	code = event_env_build(&(struct event_env_args){
		.config = config,
		.inherited = environ,
		.event = run->event,
		.app = answer_line_get(line, "app"),
		.worker_id = id,
	}, &env);
	if (code < 0)
		return code;
	code = make_input(json, &in_fd);
	if (code == 0)
		code = event_said_open(&run->said, run->house->loop,
		    run->event, &config->on_event_creds, &out_fd);
	if (code == 0)
		code = execute(run, config, &env, in_fd, out_fd);
	fd_close(&out_fd);
	fd_close(&in_fd);
	worker_env_free(&env);
	return code;
}

/* The record into JSON, and that to the command. */
static int
pass(struct event_run *run, const struct config *config, const char *record,
    size_t len)
{
	struct strbuf json = STRBUF_INIT;
	struct answer_line line;
	char *copy = strndup(record, len);
	int code = copy != NULL ? answer_line_parse(copy, len, &line) :
	    -ENOMEM;

	if (code == 0) {
		event_json_put(&json, &line);
		strbuf_putc(&json, '\n');
		code = json.failed ? -ENOMEM : start(run, config, &line,
		    &json);
	}
	strbuf_free(&json);
	free(copy);
	return code;
}

int
event_run_begin(struct event_run *run, const struct event_run_house *house,
    const struct config *config, const char *event, const char *record,
    size_t len, struct error *err)
{
	int code;

	*run = (struct event_run){
		.house = house, .event = event, .exec = EXEC_REPORT_INIT,
		.program = strdup(config->on_event.v[0]),
		.base_dir = strdup(config->base_dir),
	};
	code = run->program == NULL || run->base_dir == NULL ? -ENOMEM :
	    loop_timer_init(house->loop, &run->timer, late, run);
	if (code == 0)
		code = pass(run, config, record, len);
	if (code < 0) {
		event_run_close(run);
		return error_set(err, code, "cannot run the command: %s",
		    strerror(-code));
	}
	/* Failing that, its death tells. */
	(void)exec_report_watch(&run->exec, house->loop,
	    &(struct exec_report_events){ .executed = NULL });
	loop_timer_start(house->loop, &run->timer, EVENT_RUN_TIMEOUT_MS);
	return 0;
}
