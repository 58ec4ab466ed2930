#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/names/address.h"
#include "core/conf/conf.h"
#include "core/worker/worker_env.h"
#include "lib/alloc_fail.h"

/* ---- what a test sets up ---- */

static char app_name[] = "web";
static char user_name[] = "www-data", user_home[] = "/var/www";
static char unix_path[] = "/run/web.sock";

static const struct address tcp = {
	.kind = ADDRESS_TCP, .host = ADDRESS_HOST_ANY, .port = 8080,
};
static const struct address local = {
	.kind = ADDRESS_UNIX, .path = unix_path,
};

struct setup {
	struct conf_app app;
	struct strlist inherited;
	struct worker_env_args args;
	struct address written[4];
};

static void
add_all(struct strlist *list, va_list ap)
{
	const char *s;

	while ((s = va_arg(ap, const char *)) != NULL)
		strlist_add(list, s);
	assert_false(list->failed);
}

/* The words of the command follow, up to NULL. */
static void __attribute__((sentinel))
setup_init(struct setup *s, const char *program, ...)
{
	va_list ap;

	*s = (struct setup){
		.app = {
			.name = app_name,
			.fd_protocols = CONF_FDP_CLUSTERD,
		},
		.args = {
			.instance = 2, .instances = 5, .generation = 7,
			.worker_id = "00ff.12",
		},
	};
	strlist_add(&s->app.command, program);
	va_start(ap, program);
	add_all(&s->app.command, ap);
	va_end(ap);
}

static void __attribute__((sentinel))
set_list(struct strlist *list, ...)
{
	va_list ap;

	strlist_free(list);
	va_start(ap, list);
	add_all(list, ap);
	va_end(ap);
}

static int
build(struct setup *s, struct worker_env *ret)
{
	static char *nothing[] = { NULL };

	s->args.app = &s->app;
	/* Written as they are bound, but for any port. */
	for (size_t i = 0; i < s->app.n_listens; i++)
		s->written[i] = s->args.bound[i];
	s->app.listens = s->written;
	s->args.inherited = s->inherited.n > 0 ? s->inherited.v : nothing;
	return worker_env_build(&s->args, ret);
}

static void
setup_free(struct setup *s)
{
	strlist_free(&s->app.command);
	strlist_free(&s->app.env);
	strlist_free(&s->app.env_file_entries);
	strlist_free(&s->inherited);
}

/* The list is these, in this order, and ends in a NULL. */
static void __attribute__((sentinel))
expect_list(const struct strlist *list, ...)
{
	const char *expected;
	size_t n = 0;
	va_list ap;

	assert_false(list->failed);
	va_start(ap, list);
	while ((expected = va_arg(ap, const char *)) != NULL) {
		if (n >= list->n)
			fail_msg("%s is missing", expected);
		assert_string_equal(list->v[n++], expected);
	}
	va_end(ap);
	if (n < list->n)
		fail_msg("%s is too much", list->v[n]);
	assert_null(list->v[n]);
}

#define NO_LISTENERS "CLUSTERD_APP=web", "CLUSTERD_INSTANCE=2",		\
	    "CLUSTERD_INSTANCES=5", "CLUSTERD_GENERATION=7"

/* The worker's id comes first, where it is found even in a very large
   environment; then these. */
#define expect_env(list, ...) do {					\
	struct strlist rest_ = {					\
		.v = (list)->v + 1, .n = (list)->n - 1,			\
	};								\
									\
	assert_true((list)->n > 0);					\
	assert_string_equal((list)->v[0], "CLUSTERD_WORKER_ID=00ff.12"); \
	expect_list(&rest_, __VA_ARGS__);				\
} while (0)

/* ---- environment ---- */

static void
smallest_environment(void **state)
{
	struct setup s;
	struct worker_env env;

	(void)state;
	setup_init(&s, "/bin/true", NULL);
	assert_int_equal(build(&s, &env), 0);
	expect_env(&env.env, NO_LISTENERS, NULL);
	expect_list(&env.argv, "/bin/true", NULL);
	expect_list(&env.files, "/bin/true", NULL);
	assert_null(env.listen_pid);
	worker_env_free(&env);
	/* Freed twice is freed once. */
	worker_env_free(&env);
	setup_free(&s);
}

static void
inherited_is_scrubbed(void **state)
{
	struct setup s;
	struct worker_env env;

	(void)state;
	setup_init(&s, "/bin/true", NULL);
	set_list(&s.inherited, "LANG=C", "LISTEN_FDS=2", "LISTEN_PID=1",
	    "CLUSTERD_WORKER_ID=other", "NGINXFOO=1", "NOTIFY_SOCKET=/run/n",
	    "NGINX=3;", "EMPTY=", "CLUSTERD_APP=outer", "A=b=c", NULL);
	assert_int_equal(build(&s, &env), 0);
	expect_env(&env.env, "LANG=C", "NGINXFOO=1", "EMPTY=", "A=b=c",
	    NO_LISTENERS, NULL);
	worker_env_free(&env);
	setup_free(&s);
}

static void
the_journal_is_that_of_standard_error(void **state)
{
	struct worker_env env;
	struct setup s;

	(void)state;
	setup_init(&s, "srv", NULL);
	set_list(&s.inherited, "JOURNAL_STREAM=8:1234", "JOURNAL_STREAMS=1",
	    "A=1", NULL);
	assert_int_equal(build(&s, &env), 0);
	expect_env(&env.env, "JOURNAL_STREAM=8:1234", "JOURNAL_STREAMS=1",
	    "A=1", NO_LISTENERS, NULL);
	worker_env_free(&env);

	s.app.err.kind = CONF_OUTPUT_NULL;
	assert_int_equal(build(&s, &env), 0);
	expect_env(&env.env, "JOURNAL_STREAMS=1", "A=1", NO_LISTENERS, NULL);
	worker_env_free(&env);

	/* The user knows better. */
	set_list(&s.app.env, "JOURNAL_STREAM=9:9", NULL);
	assert_int_equal(build(&s, &env), 0);
	expect_env(&env.env, "JOURNAL_STREAMS=1", "A=1", "JOURNAL_STREAM=9:9",
	    NO_LISTENERS, NULL);
	worker_env_free(&env);
	setup_free(&s);
}

static void
later_wins(void **state)
{
	struct setup s;
	struct worker_env env;

	(void)state;
	setup_init(&s, "/bin/true", NULL);
	set_list(&s.inherited, "A=inherited", "B=inherited", "C=inherited",
	    "D=inherited", "HOME=/root", "USER=root", "AA=longer", NULL);
	s.app.creds = (struct conf_creds){
		.set = true, .name = user_name, .home = user_home,
	};
	set_list(&s.app.env_file_entries, "B=file", "C=file", "E=file",
	    "E=file again", "HOME=/file", NULL);
	set_list(&s.app.env, "C=env", "F=env", "F=env again", "LOGNAME=env",
	    NULL);
	assert_int_equal(build(&s, &env), 0);
	/* In the place of the earlier one, and nothing twice. */
	expect_env(&env.env, "A=inherited", "B=file", "C=env", "D=inherited",
	    "HOME=/file", "USER=www-data", "AA=longer", "LOGNAME=env",
	    "E=file again", "F=env again", NO_LISTENERS, NULL);
	worker_env_free(&env);
	setup_free(&s);
}

static void
user_brings_a_home(void **state)
{
	struct setup s;
	struct worker_env env;

	(void)state;
	setup_init(&s, "/bin/true", NULL);
	set_list(&s.inherited, "HOME=/root", NULL);
	s.app.creds = (struct conf_creds){
		.set = true, .name = user_name, .home = user_home,
	};
	assert_int_equal(build(&s, &env), 0);
	expect_env(&env.env, "HOME=/var/www", "USER=www-data",
	    "LOGNAME=www-data", NO_LISTENERS, NULL);
	worker_env_free(&env);

	/* Only a group: these stay what they are. */
	s.app.creds.name = s.app.creds.home = NULL;
	assert_int_equal(build(&s, &env), 0);
	expect_env(&env.env, "HOME=/root", NO_LISTENERS, NULL);
	worker_env_free(&env);

	/* Nothing was looked up. */
	s.app.creds = (struct conf_creds){ .name = user_name,
	    .home = user_home };
	assert_int_equal(build(&s, &env), 0);
	expect_env(&env.env, "HOME=/root", NO_LISTENERS, NULL);
	worker_env_free(&env);
	setup_free(&s);
}

static void
protocols_and_notify_socket(void **state)
{
	struct setup s;
	struct worker_env env;
	struct address bound[] = { local, tcp };

	(void)state;
	setup_init(&s, "/bin/true", NULL);
	s.app.fd_protocols = CONF_FDP_CLUSTERD | CONF_FDP_SYSTEMD;
	s.app.n_listens = 2;
	s.args.bound = bound;
	s.args.notify_socket = "@n";
	set_list(&s.inherited, "LISTEN_PID=1", "Z=1", NULL);
	assert_int_equal(build(&s, &env), 0);
	expect_env(&env.env, "Z=1", "PORT=8080", "CLUSTERD_APP=web",
	    "CLUSTERD_INSTANCE=2", "CLUSTERD_INSTANCES=5",
	    "CLUSTERD_GENERATION=7", "CLUSTERD_FD=3,4", "LISTEN_FDS=2",
	    "LISTEN_PID=", "LISTEN_FDNAMES=web:web", "NOTIFY_SOCKET=@n",
	    NULL);
	worker_env_free(&env);
	setup_free(&s);
}

/* A worker that binds by itself is told of no descriptor, by no protocol. */
static void
adopt_passes_no_descriptors(void **state)
{
	struct setup s;
	struct worker_env env;
	struct address bound[] = { local, tcp };

	(void)state;
	setup_init(&s, "/bin/true", "{port}", NULL);
	s.app.handoff = CONF_HANDOFF_ADOPT;
	s.app.fd_protocols = CONF_FDP_CLUSTERD | CONF_FDP_SYSTEMD |
	    CONF_FDP_SERVER_STARTER | CONF_FDP_EINHORN | CONF_FDP_NGINX |
	    CONF_FDP_PHP_FPM;
	s.app.n_listens = 2;
	s.args.bound = bound;
	s.args.notify_socket = "@n";
	set_list(&s.inherited, "LISTEN_FDS=7", "LISTEN_PID=1", "NGINX=3;",
	    "CLUSTERD_FD=9", "SERVER_STARTER_PORT=80=3", "EINHORN_FDS=3",
	    "Z=1", NULL);
	assert_int_equal(build(&s, &env), 0);
	expect_env(&env.env, "Z=1", "PORT=8080", NO_LISTENERS,
	    "NOTIFY_SOCKET=@n", NULL);
	assert_null(env.listen_pid);
	/* Which port it is to bind, it may have to be told. */
	expect_list(&env.argv, "/bin/true", "8080", NULL);
	worker_env_free(&env);

	/* Both: those for whom it was made take them. */
	s.app.handoff = CONF_HANDOFF_AUTO;
	s.app.fd_protocols = CONF_FDP_CLUSTERD;
	assert_int_equal(build(&s, &env), 0);
	expect_env(&env.env, "Z=1", "PORT=8080", NO_LISTENERS, "CLUSTERD_FD=3,4",
	    "NOTIFY_SOCKET=@n", NULL);
	worker_env_free(&env);
	setup_free(&s);
}

static void
room_for_the_pid(void **state)
{
	struct setup s;
	struct worker_env env;
	char *entry = NULL;

	(void)state;
	setup_init(&s, "/bin/true", NULL);
	s.app.fd_protocols = CONF_FDP_CLUSTERD | CONF_FDP_SYSTEMD;
	s.app.n_listens = 1;
	s.args.bound = &tcp;
	assert_int_equal(build(&s, &env), 0);
	assert_non_null(env.listen_pid);
	for (size_t i = 0; i < env.env.n; i++)
		if (str_starts(env.env.v[i], "LISTEN_PID="))
			entry = env.env.v[i];
	assert_non_null(entry);
	assert_ptr_equal(env.listen_pid, entry + strlen("LISTEN_PID="));
	assert_string_equal(env.listen_pid, "");
	/* All of the room is there: a sanitizer watches. */
	memset(env.listen_pid, '9', WORKER_ENV_PID_ROOM - 1);
	env.listen_pid[WORKER_ENV_PID_ROOM - 1] = '\0';
	assert_int_equal(strlen(entry), strlen("LISTEN_PID=") +
	    WORKER_ENV_PID_ROOM - 1);
	snprintf(env.listen_pid, WORKER_ENV_PID_ROOM, "%d", 4194304);
	assert_string_equal(entry, "LISTEN_PID=4194304");
	/* Room for the largest number of any pid_t. */
	assert_true(WORKER_ENV_PID_ROOM >= sizeof("9223372036854775807"));
	worker_env_free(&env);
	assert_null(env.listen_pid);

	/* Neither protocol nor listeners, neither pid. */
	s.app.fd_protocols = CONF_FDP_CLUSTERD;
	assert_int_equal(build(&s, &env), 0);
	assert_null(env.listen_pid);
	worker_env_free(&env);
	s.app.fd_protocols = CONF_FDP_CLUSTERD | CONF_FDP_SYSTEMD;
	s.app.n_listens = 0;
	assert_int_equal(build(&s, &env), 0);
	assert_null(env.listen_pid);
	worker_env_free(&env);
	setup_free(&s);
}

/* The app's own port wins over an inherited one, the file over both. */
static void
port_and_host(void **state)
{
	struct setup s;
	struct worker_env env;
	struct address bound[] = { local, {
		.kind = ADDRESS_TCP, .host = ADDRESS_HOST_IPV4,
		.ip = { 127, 0, 0, 1 }, .port = 81,
	} };

	(void)state;
	setup_init(&s, "/bin/true", NULL);
	s.app.n_listens = 2;
	s.args.bound = bound;
	set_list(&s.inherited, "PORT=3000", "HOST=box", NULL);
	s.app.handoff = CONF_HANDOFF_ADOPT;
	assert_int_equal(build(&s, &env), 0);
	expect_env(&env.env, "PORT=81", "HOST=127.0.0.1", NO_LISTENERS, NULL);
	worker_env_free(&env);

	/* A listener that names none leaves the host alone. */
	bound[1] = tcp;
	assert_int_equal(build(&s, &env), 0);
	expect_env(&env.env, "PORT=8080", "HOST=box", NO_LISTENERS, NULL);
	worker_env_free(&env);

	set_list(&s.app.env_file_entries, "HOST=::1", NULL);
	set_list(&s.app.env, "PORT=1{port}", NULL);
	assert_int_equal(build(&s, &env), 0);
	expect_env(&env.env, "PORT=18080", "HOST=::1", NO_LISTENERS, NULL);
	worker_env_free(&env);

	/* Without a port nothing is told. */
	s.app.n_listens = 1;
	strlist_free(&s.app.env);
	strlist_free(&s.app.env_file_entries);
	assert_int_equal(build(&s, &env), 0);
	expect_env(&env.env, "PORT=3000", "HOST=box", NO_LISTENERS, NULL);
	worker_env_free(&env);
	setup_free(&s);
}

static void
braces_in_environment_and_paths(void **state)
{
	static char directory[] = "/srv/{app}/{instance}{fd}";
	static char out[] = "/log/{worker_id}{fd}.log";
	struct setup s;
	struct worker_env env;

	(void)state;
	setup_init(&s, "/bin/true", "{env:B}", "{env:NONE}", "{worker_id}",
	    NULL);
	s.app.directory = directory;
	s.app.out.path = out;
	set_list(&s.inherited, "A=1", NULL);
	set_list(&s.app.env_file_entries, "C={instance}", NULL);
	set_list(&s.app.env, "A={env:A}{instance}", "B={env:A}-{env:C}",
	    "D={env:B}{x}{fd}", NULL);
	assert_int_equal(build(&s, &env), 0);
	/* A file for others is as it is; those above count, and no later. */
	expect_env(&env.env, "A=12", "C={instance}", "B=12-{instance}",
	    "D=12-{instance}{x}3", NO_LISTENERS, NULL);
	expect_list(&env.argv, "/bin/true", "12-{instance}", "{env:NONE}",
	    "00ff.12", NULL);
	assert_string_equal(env.directory, "/srv/web/2{fd}");
	assert_string_equal(env.out_path, "/log/00ff.12{fd}.log");
	assert_null(env.err_path);
	worker_env_free(&env);
	setup_free(&s);
}

/* ---- arguments ---- */

static void
braces_are_replaced(void **state)
{
	struct setup s;
	struct worker_env env;
	struct address bound[] = { local, tcp };

	(void)state;
	setup_init(&s, "/srv/{app}", "--fd={fd}", "{port}", "i{instance}j",
	    "{app}{app}-{port}{fd}", "", "plain", NULL);
	s.app.n_listens = 2;
	s.args.bound = bound;
	assert_int_equal(build(&s, &env), 0);
	/* The port is that of the first listener which has one. */
	expect_list(&env.argv, "/srv/web", "--fd=3", "8080", "i2j",
	    "webweb-80803", "", "plain", NULL);
	expect_list(&env.files, "/srv/web", NULL);
	worker_env_free(&env);
	setup_free(&s);
}

static void
other_braces_stay(void **state)
{
	struct setup s;
	struct worker_env env;

	(void)state;
	setup_init(&s, "/bin/x", "{unknown}", "{", "}", "{}", "{fd", "{port ",
	    "{ fd}", "{FD}", "{{fd}}", "${port}", "{instances}", "{fd}}", "%s%n",
	    "{\"json\": {\"a\": 1}}", "{app", "{{{app}", NULL);
	s.app.n_listens = 1;
	s.args.bound = &tcp;
	assert_int_equal(build(&s, &env), 0);
	expect_list(&env.argv, "/bin/x", "{unknown}", "{", "}", "{}", "{fd",
	    "{port ", "{ fd}", "{FD}", "{3}", "$8080", "{instances}", "3}",
	    "%s%n", "{\"json\": {\"a\": 1}}", "{app", "{{web", NULL);
	worker_env_free(&env);
	setup_free(&s);
}

/* What came out of braces is not looked at again. */
static void
no_braces_within_braces(void **state)
{
	static char odd_name[] = "{fd}";
	struct setup s;
	struct worker_env env;

	(void)state;
	setup_init(&s, "/bin/x", "{app}", "{a{fd}pp}", NULL);
	s.app.name = odd_name;
	assert_int_equal(build(&s, &env), 0);
	expect_list(&env.argv, "/bin/x", "{fd}", "{a3pp}", NULL);
	worker_env_free(&env);
	setup_free(&s);
}

static void
no_port_is_zero(void **state)
{
	struct setup s;
	struct worker_env env;

	(void)state;
	setup_init(&s, "/bin/x", "{port}", NULL);
	assert_int_equal(build(&s, &env), 0);
	expect_list(&env.argv, "/bin/x", "0", NULL);
	worker_env_free(&env);
	s.app.n_listens = 1;
	s.args.bound = &local;
	assert_int_equal(build(&s, &env), 0);
	expect_list(&env.argv, "/bin/x", "0", NULL);
	worker_env_free(&env);
	setup_free(&s);
}

/* ---- where the program is looked for ---- */

/* The files for `program` with this environment entry inherited (or none). */
static void __attribute__((sentinel))
expect_search(const char *path_entry, const char *program, ...)
{
	struct setup s;
	struct worker_env env;
	const char *expected;
	size_t n = 0;
	va_list ap;

	setup_init(&s, program, NULL);
	if (path_entry != NULL)
		set_list(&s.inherited, "PATHS=/no", "XPATH=/no", path_entry,
		    NULL);
	assert_int_equal(build(&s, &env), 0);
	va_start(ap, program);
	while ((expected = va_arg(ap, const char *)) != NULL) {
		assert_true(n < env.files.n);
		assert_string_equal(env.files.v[n++], expected);
	}
	va_end(ap);
	assert_int_equal(env.files.n, n);
	assert_null(env.files.v[n]);
	expect_list(&env.argv, program, NULL);
	worker_env_free(&env);
	setup_free(&s);
}

static void
search_list(void **state)
{
	(void)state;
	expect_search("PATH=/bin", "prog", "/bin/prog", NULL);
	expect_search("PATH=/usr/local/bin:/usr/bin:/bin", "prog",
	    "/usr/local/bin/prog", "/usr/bin/prog", "/bin/prog", NULL);
	expect_search("PATH=rel/bin:.", "prog", "rel/bin/prog", "./prog",
	    NULL);
	expect_search("PATH=/bin/", "prog", "/bin//prog", NULL);
}

/* execvp(3) takes the working directory for these. */
static void
empty_elements_of_path(void **state)
{
	(void)state;
	expect_search("PATH=", "prog", "./prog", NULL);
	expect_search("PATH=:", "prog", "./prog", "./prog", NULL);
	expect_search("PATH=:/bin", "prog", "./prog", "/bin/prog", NULL);
	expect_search("PATH=/bin:", "prog", "/bin/prog", "./prog", NULL);
	expect_search("PATH=/bin::/usr/bin", "prog", "/bin/prog", "./prog",
	    "/usr/bin/prog", NULL);
}

static void
no_path_at_all(void **state)
{
	(void)state;
	expect_search(NULL, "prog", "/bin/prog", "/usr/bin/prog", NULL);
	expect_search("path=/no", "prog", "/bin/prog", "/usr/bin/prog", NULL);
}

static void
slash_means_no_search(void **state)
{
	(void)state;
	expect_search("PATH=/usr/bin", "/opt/prog", "/opt/prog", NULL);
	expect_search("PATH=/usr/bin", "./prog", "./prog", NULL);
	expect_search("PATH=/usr/bin", "dir/prog", "dir/prog", NULL);
	expect_search("PATH=/usr/bin", "prog/", "prog/", NULL);
}

static void
workers_own_path_counts(void **state)
{
	struct setup s;
	struct worker_env env;

	(void)state;
	setup_init(&s, "{app}-server", NULL);
	set_list(&s.inherited, "PATH=/usr/bin", NULL);
	set_list(&s.app.env, "PATH=/opt/a:/opt/b", NULL);
	assert_int_equal(build(&s, &env), 0);
	expect_env(&env.env, "PATH=/opt/a:/opt/b", NO_LISTENERS, NULL);
	expect_list(&env.files, "/opt/a/web-server", "/opt/b/web-server",
	    NULL);
	worker_env_free(&env);

	/* The file's, when `env` has none. */
	strlist_free(&s.app.env);
	set_list(&s.app.env_file_entries, "PATH=/file", NULL);
	assert_int_equal(build(&s, &env), 0);
	expect_list(&env.files, "/file/web-server", NULL);
	worker_env_free(&env);
	setup_free(&s);
}

static const char *
find_entry(const struct worker_env *env, const char *begin)
{
	for (size_t i = 0; i < env->env.n; i++)
		if (strncmp(env->env.v[i], begin, strlen(begin)) == 0)
			return env->env.v[i];
	return NULL;
}

static void
watchdog_has_its_time_and_room_for_a_pid(void **state)
{
	struct setup s;
	struct worker_env env;

	(void)state;
	setup_init(&s, "/bin/x", NULL);
	s.app.health = CONF_HEALTH_WATCHDOG;
	s.app.health_timeout_ms = 2500;
	s.args.notify_socket = "/run/n";
	set_list(&s.inherited, "WATCHDOG_USEC=1", "WATCHDOG_PID=2", NULL);
	assert_int_equal(build(&s, &env), 0);
	assert_string_equal(find_entry(&env, "WATCHDOG_USEC="),
	    "WATCHDOG_USEC=2500000");
	assert_ptr_equal(env.watchdog_pid, find_entry(&env, "WATCHDOG_PID=") +
	    strlen("WATCHDOG_PID="));
	memset(env.watchdog_pid, '1', WORKER_ENV_PID_ROOM - 1);
	worker_env_free(&env);

	s.app.health = CONF_HEALTH_NONE;
	assert_int_equal(build(&s, &env), 0);
	assert_null(find_entry(&env, "WATCHDOG_"));
	assert_null(env.watchdog_pid);
	worker_env_free(&env);
	setup_free(&s);
}

/* An entry that is no NAME=value, as a careless parent may pass on. */
static void
entry_without_a_value(void **state)
{
	struct setup s;
	struct worker_env env;

	(void)state;
	setup_init(&s, "/bin/x", NULL);
	set_list(&s.inherited, "ODD", "LISTEN_FDS", "=x", NULL);
	set_list(&s.app.env, "ODD=even", NULL);
	assert_int_equal(build(&s, &env), 0);
	for (size_t i = 0; i < env.env.n; i++) {
		assert_string_not_equal(env.env.v[i], "LISTEN_FDS");
		assert_string_not_equal(env.env.v[i], "ODD");
	}
	worker_env_free(&env);
	setup_free(&s);
}

static void
path_without_a_value(void **state)
{
	(void)state;
	expect_search("PATH", "prog", "/bin/prog", "/usr/bin/prog", NULL);
}

/* ---- no memory ---- */

static void
setup_everything(struct setup *s, struct address *bound)
{
	setup_init(s, "{app}", "--port={port}", "x", NULL);
	s->app.fd_protocols = CONF_FDP_CLUSTERD | CONF_FDP_SYSTEMD |
	    CONF_FDP_SERVER_STARTER | CONF_FDP_EINHORN | CONF_FDP_NGINX |
	    CONF_FDP_PHP_FPM;
	s->app.n_listens = 3;
	s->args.bound = bound;
	s->args.notify_socket = "@n";
	s->app.creds = (struct conf_creds){
		.set = true, .name = user_name, .home = user_home,
	};
	set_list(&s->inherited, "PATH=/bin:/usr/bin:/usr/local/bin", "A=1",
	    "B=2", "C=3", "D=4", "E=5", NULL);
	set_list(&s->app.env_file_entries, "B=file", "F=file", NULL);
	set_list(&s->app.env, "C=env", "G=env", NULL);
}

static void
any_allocation_may_fail(void **state)
{
	static const struct address ipv6 = {
		.kind = ADDRESS_TCP, .host = ADDRESS_HOST_IPV6, .port = 1,
	};
	struct address bound[] = { local, tcp, ipv6 };
	struct setup s;
	struct worker_env env, untouched;

	(void)state;
	setup_everything(&s, bound);
	memset(&untouched, 0x5a, sizeof(untouched));
	for (int both = 0; both < 2; both++) {
		unsigned n;

		for (n = 1;; n++) {
			int code;

			alloc_fail(n, both == 1 ? ALLOC_ALL : 1);
			env = untouched;
			code = build(&s, &env);
			if (code == 0)
				break;
			assert_int_equal(code, -ENOMEM);
			assert_memory_equal(&env, &untouched, sizeof(env));
			assert_true(alloc_failed());
		}
		alloc_works();
		/* Only when none was refused did it go well; and it is all
		   there then. */
		assert_int_equal(alloc_count(), n - 1);
		assert_true(n > 40);
		expect_list(&env.files, "/bin/web", "/usr/bin/web",
		    "/usr/local/bin/web", NULL);
		expect_list(&env.argv, "web", "--port=8080", "x", NULL);
		assert_int_equal(env.env.n, 6 + 3 + 2 + 5 + 3 + 2 + 9 + 1 + 1 +
		    1 + 1 + 1);
		worker_env_free(&env);
	}
	setup_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(watchdog_has_its_time_and_room_for_a_pid),
		cmocka_unit_test(smallest_environment),
		cmocka_unit_test(inherited_is_scrubbed),
		cmocka_unit_test(the_journal_is_that_of_standard_error),
		cmocka_unit_test(later_wins),
		cmocka_unit_test(user_brings_a_home),
		cmocka_unit_test(protocols_and_notify_socket),
		cmocka_unit_test(adopt_passes_no_descriptors),
		cmocka_unit_test(room_for_the_pid),
		cmocka_unit_test(port_and_host),
		cmocka_unit_test(braces_in_environment_and_paths),
		cmocka_unit_test(braces_are_replaced),
		cmocka_unit_test(other_braces_stay),
		cmocka_unit_test(no_braces_within_braces),
		cmocka_unit_test(no_port_is_zero),
		cmocka_unit_test(search_list),
		cmocka_unit_test(empty_elements_of_path),
		cmocka_unit_test(no_path_at_all),
		cmocka_unit_test(slash_means_no_search),
		cmocka_unit_test(workers_own_path_counts),
		cmocka_unit_test(entry_without_a_value),
		cmocka_unit_test(any_allocation_may_fail),
		cmocka_unit_test(path_without_a_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
