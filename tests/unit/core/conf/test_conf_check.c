#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_check.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_host.h"
#include "core/conf/conf_print.h"
#include "core/conf/conf_read.h"
#include "core/conf/conf_schema.h"
#include "core/conf/conf_source.h"
#include "core/conf/conf_value.h"

/*
 * A host of fixed answers: user web (uid 33, gid 34, in groups 34 and 35),
 * group www (36), user soon is not known yet; /etc/app/env is env_text. While
 * looking_up is set, nothing is known when it is first asked for.
 */
static const char *env_text;
static size_t env_len;

static int
fake_read_file(void *ctx, const char *path, char **ret_text, size_t *ret_len,
    struct error *err)
{
	(void)ctx;
	if (env_text == NULL || strcmp(path, "/etc/app/env") != 0)
		return error_set(err, -ENOENT, "cannot read %s: No such file "
		    "or directory", path);
	*ret_text = malloc(env_len + 1);
	assert_non_null(*ret_text);
	memcpy(*ret_text, env_text, env_len);
	(*ret_text)[env_len] = '\0';
	*ret_len = env_len;
	return 0;
}

static bool looking_up;
static struct strlist asked;	/* as user:group, each once */
static bool pending;		/* something was asked for the first time */

static bool
asked_before(const char *user, const char *group)
{
	char question[64];

	snprintf(question, sizeof(question), "%s:%s", user != NULL ? user : "",
	    group != NULL ? group : "");
	for (size_t i = 0; i < asked.n; i++) {
		if (strcmp(asked.v[i], question) == 0)
			return true;
	}
	strlist_add(&asked, question);
	pending = true;
	return false;
}

static int
fake_find_creds(void *ctx, const char *user, const char *group,
    struct conf_creds *ret_creds, struct error *err)
{
	struct conf_creds creds = { .set = true, .uid = 33, .gid = 34 };

	(void)ctx;
	assert_true(user != NULL || group != NULL);
	if (looking_up && !asked_before(user, group))
		return -EAGAIN;
	if (user != NULL && strcmp(user, "soon") == 0)
		return -EAGAIN;
	if (user != NULL && strcmp(user, "web") != 0)
		return error_set(err, -ENOENT, "user \"%s\" does not exist",
		    user);
	if (group != NULL && strcmp(group, "www") != 0)
		return error_set(err, -ENOENT, "group \"%s\" does not exist",
		    group);
	if (group != NULL)
		creds.gid = 36;
	if (user != NULL) {
		creds.name = strdup(user);
		creds.home = strdup("/var/www");
		creds.groups = calloc(2, sizeof(*creds.groups));
		assert_non_null(creds.groups);
		creds.groups[0] = creds.gid;
		creds.groups[1] = 35;
		creds.n_groups = 2;
	}
	*ret_creds = creds;
	return 0;
}

/* User 33 with group 36 is more than this host allows. */
static int
fake_may_become(void *ctx, const struct conf_creds *creds, struct error *err)
{
	(void)ctx;
	if (creds->gid != 36)
		return 0;
	return error_set(err, -EPERM, "it takes root to run as somebody else");
}

static const struct conf_host strict_host = {
	.base_dir = "/etc/app",
	.read_file = fake_read_file,
	.find_creds = fake_find_creds,
	.may_become = fake_may_become,
};

static int
fake_may_become_nobody(void *ctx, const struct conf_creds *creds,
    struct error *err)
{
	(void)ctx;
	(void)creds;
	return error_set(err, -EPERM, "it takes root to run as somebody else");
}

static const struct conf_host humble_host = {
	.base_dir = "/etc/app",
	.read_file = fake_read_file,
	.find_creds = fake_find_creds,
	.may_become = fake_may_become_nobody,
};

static char *const host_environ[] = {
	(char[]){ "LANG=C" }, (char[]){ "LISTEN_FDS=1" },
	(char[]){ "CLUSTERD_FD=9" }, (char[]){ "JOURNAL_STREAM=8:1" }, NULL,
};

static const struct conf_host host = {
	.base_dir = "/etc/app",
	.environ = host_environ,
	.read_file = fake_read_file,
	.find_creds = fake_find_creds,
};

static char *
join_errors(const struct conf_errors *errors)
{
	struct strbuf sb = STRBUF_INIT;

	for (size_t i = 0; i < errors->n; i++)
		strbuf_printf(&sb, "%s\n", errors->v[i].text);
	return strbuf_take(&sb);
}

static struct config *
check_at(const struct conf_host *at, const char *text, char **ret_errors)
{
	struct conf_source source;
	struct conf_errors errors = { .file = "app.ini" };
	struct config *config = (struct config *)&errors;

	assert_int_equal(conf_read(text, strlen(text), &source, &errors), 0);
	assert_int_equal(conf_check(&source, at, &config, &errors), 0);
	conf_errors_sort(&errors);
	assert_int_equal(config == NULL, errors.n > 0 || errors.dropped > 0);
	*ret_errors = join_errors(&errors);
	conf_source_free(&source);
	conf_errors_free(&errors);
	return config;
}

/* The config, or NULL; *ret_errors is "" or a line for each. */
static struct config *
check_text(const char *text, char **ret_errors)
{
	return check_at(&host, text, ret_errors);
}

static struct config *
expect_ok(const char *text)
{
	char *errors;
	struct config *config = check_text(text, &errors);

	if (config == NULL)
		fail_msg("%s", errors);
	free(errors);
	return config;
}

static void
expect_errors(const char *text, const char *expected)
{
	char *errors;
	struct config *config = check_text(text, &errors);

	assert_string_equal(errors, expected);
	assert_null(config);
	free(errors);
}

/* ---- each key, good and bad values ---- */

/* With the key in an otherwise plain file, the dump says `key = printed`. */
static void
expect_good(const char *section, const char *key, const char *value,
    const char *printed)
{
	struct strbuf text = STRBUF_INIT, line = STRBUF_INIT;
	struct config *config;
	char *dump;

	strbuf_printf(&text, "[%s]\n%s = %s\n%s", section, key, value,
	    strcmp(section, "clusterd") == 0 ? "[web]\ncommand = x\n" :
	    strcmp(key, "command") == 0 ? "" : "command = x\n");
	config = expect_ok(text.text);
	dump = conf_print(config, &(struct conf_here){ 2, NULL });
	assert_non_null(dump);
	strbuf_printf(&line, "\n%s = %s\n", key, printed);
	if (strstr(dump, line.text) == NULL)
		fail_msg("%s = %s: no \"%s = %s\" in\n%s", key, value, key,
		    printed, dump);
	free(dump);
	config_unref(config);
	strbuf_free(&text);
	strbuf_free(&line);
}

/* The only error is `app.ini:2: key: expected`. */
static void
expect_bad(const char *section, const char *key, const char *value,
    const char *expected)
{
	struct strbuf text = STRBUF_INIT, line = STRBUF_INIT;

	strbuf_printf(&text, "[%s]\n%s = %s\n%s", section, key, value,
	    strcmp(section, "clusterd") == 0 ? "[web]\ncommand = x\n" :
	    strcmp(key, "command") == 0 ? "" : "command = x\n");
	strbuf_printf(&line, "app.ini:2: %s: %s\n", key, expected);
	expect_errors(text.text, line.text);
	strbuf_free(&text);
	strbuf_free(&line);
}

#define GOOD(key, value, printed) expect_good("web", key, value, printed)
#define BAD(key, value, expected) expect_bad("web", key, value, expected)

static void
key_log_level(void **state)
{
	(void)state;
	expect_good("clusterd", "log_level", "error", "error");
	expect_good("clusterd", "log_level", "warning", "warning");
	expect_good("clusterd", "log_level", "info", "info");
	expect_good("clusterd", "log_level", "debug", "debug");
	expect_bad("clusterd", "log_level", "warn", "\"warn\" is not known, "
	    "error, warning, info or debug is allowed");
	expect_bad("clusterd", "log_level", "Debugg", "\"Debugg\" is not "
	    "known, did you mean debug? error, warning, info or debug is "
	    "allowed");
	expect_bad("clusterd", "log_level", "", "\"\" is not known, error, "
	    "warning, info or debug is allowed");
}

static void
key_log_format(void **state)
{
	(void)state;
	expect_good("clusterd", "log_format", "text", "text");
	expect_good("clusterd", "log_format", "json", "json");
	expect_bad("clusterd", "log_format", "xml", "\"xml\" is not known, "
	    "text or json is allowed");
	expect_bad("clusterd", "log_format", "jason", "\"jason\" is not "
	    "known, did you mean json? text or json is allowed");
}

static void
key_log(void **state)
{
	(void)state;
	expect_good("clusterd", "log", "stderr", "stderr");
	expect_good("clusterd", "log", "./stderr", "/etc/app/stderr");
	expect_good("clusterd", "log", "/var/log/x y.log",
	    "/var/log/x y.log");
	expect_good("clusterd", "log", "none", "/etc/app/none");
	expect_bad("clusterd", "log", "", "the path is empty, a path is "
	    "needed");
}

static void
key_pidfile(void **state)
{
	(void)state;
	expect_good("clusterd", "pidfile", "none", "none");
	expect_good("clusterd", "pidfile", "./none", "/etc/app/none");
	expect_good("clusterd", "pidfile", "x/y.pid", "/etc/app/x/y.pid");
	expect_good("clusterd", "pidfile", "../x", "/etc/app/../x");
}

static void
log_and_pidfile_are_two_files(void **state)
{
	(void)state;
	expect_errors("[clusterd]\npidfile = /etc/app//x\nlog = ./x\n"
	       "[a]\ncommand = x\n",
	    "app.ini:2: pidfile: \"/etc/app/x\" is the log already, another "
	    "path is allowed\n");
	config_unref(expect_ok("[clusterd]\nlog = x\npidfile = y\n"
	       "[a]\ncommand = x\n"));
}

static void
paths_are_normalised(void **state)
{
	(void)state;
	GOOD("directory", "/srv//x/./y/", "/srv/x/y");
	GOOD("directory", "///", "/");
	GOOD("env", "A=//x/./y", "A=//x/./y");
	GOOD("listen", "unix:/run//./a.sock", "unix:/run/a.sock");
	GOOD("command", "/bin//x ./y//z", "/bin//x ./y//z");
	expect_errors("[a]\ncommand = x\nlisten = unix:/run/a.sock\n"
	       "[b]\ncommand = x\nlisten = unix:/run//a.sock\n",
	    "app.ini:6: listen: unix:/run/a.sock is served already, by [a] "
	    "on line 3\n");
}

static void
key_command(void **state)
{
	(void)state;
	GOOD("command", "server -a", "server -a");
	GOOD("command", "./server", "/etc/app/server");
	GOOD("command", "bin/server ./x", "/etc/app/bin/server ./x");
	GOOD("command", "/bin/sh -c \"a ; b\"", "/bin/sh -c 'a ; b'");
	GOOD("command", "'my server' ''", "'my server' ''");
	GOOD("command", "sh -c\n  exec a ; b \"x\" 'y'",
	    "sh -c 'exec a ; b \"x\" '\\''y'\\'''");
	GOOD("command", "\n  server\n  a b", "server 'a b'");
	GOOD("command", "a {x} {} ${y} {instance} {app}",
	    "a {x} {} '${y}' {instance} {app}");
	/* A continuation is no key where the word is none of ours. */
	GOOD("command", "dd\n  if = x", "dd 'if = x'");
	GOOD("command", "a\n  --port=80", "a --port=80");
	GOOD("command", "a 'port=80' port=81", "a port=80 port=81");

	BAD("command", "", "is empty, a program and its arguments is needed");
	BAD("command", "'' x", "the program's name is empty, a program and "
	    "its arguments is needed");
	BAD("command", "a 'b", "a single quote (') is not closed");
	BAD("command", "a \"b", "a double quote (\") is not closed");
	BAD("command", "a \\", "a backslash stands at the end, with nothing "
	    "to quote");
}

static void
an_indented_key_below_command_is_told(void **state)
{
	(void)state;
	expect_errors("[web]\ncommand = ./x\n\n  port = 80\n\tlisten:81\n"
	       "  user=web\n",
	    "app.ini:4: command: the indented line \"port = 80\" is one more "
	    "word of the command but reads like the key port: a key starts "
	    "its line; if it is a word, write it in the line of command\n"
	    "app.ini:5: command: the indented line \"listen:81\" is one more "
	    "word of the command but reads like the key listen: a key starts "
	    "its line; if it is a word, write it in the line of command\n"
	    "app.ini:6: command: the indented line \"user=web\" is one more "
	    "word of the command but reads like the key user: a key starts "
	    "its line; if it is a word, write it in the line of command\n");
	expect_errors("[web]\ncommand = x\nport = 80\n # c\n backlog = 5\n",
	    "app.ini:5: port: takes one value, but this indented line "
	    "continues it; a key starts its line\n");
}

static void
braces_need_their_listener(void **state)
{
	(void)state;
	config_unref(expect_ok("[a]\ncommand = x {fd} {port}\nport = 80\n"
	       "[b]\ncommand = x {fd} {port}\nlisten = udp:[::1]:80\n"
	       "[c]\ncommand = x {fd}\nlisten = unix:c\n"));
	expect_errors("[a]\ncommand = x --fd={fd}\n"
	       "[b]\ncommand = x\n p={port}\nlisten = unix:b\n",
	    "app.ini:2: command: {fd} is the number of a listening socket, "
	    "but the app has none; port or listen gives it one\n"
	    "app.ini:4: command: {port} is the number of a TCP or UDP port, "
	    "but the app has none; port or listen gives it one\n");
}

/* A worker that binds by itself is passed no descriptor. */
static void
brace_fd_needs_a_handoff(void **state)
{
	(void)state;
	config_unref(expect_ok("[a]\ncommand = x {fd}\nport = 80\n"
	       "handoff = env\n"
	       "[b]\ncommand = x {fd}\nport = 81\nhandoff = auto\n"
	       "[c]\ncommand = x -p {port} {fd\nport = 82\n"
	       "handoff = adopt\n"));
	expect_errors("[a]\nhandoff = adopt\nport = 80\n"
	       "command = x {port} {fd}\n",
	    "app.ini:4: command: {fd} is the number of a listening socket, "
	    "but handoff = adopt passes none; env or auto does\n");
	/* One error at a time: first of all it needs a listener. */
	expect_errors("[a]\ncommand = x {fd}\nhandoff = adopt\n",
	    "app.ini:2: command: {fd} is the number of a listening socket, "
	    "but the app has none; port or listen gives it one\n");
	/* What handoff was meant is not known. */
	expect_errors("[a]\ncommand = x {fd}\nport = 80\n"
	       "handoff = adpt\n",
	    "app.ini:4: handoff: \"adpt\" is not known, did you mean adopt? "
	    "auto, env or adopt is allowed\n");
}

static void
brace_fd_is_for_env_too(void **state)
{
	(void)state;
	config_unref(expect_ok("[a]\ncommand = x\nenv = F={fd}\nport = 80\n"));
	expect_errors("[a]\ncommand = x\nenv = F={fd}\n"
	       "[b]\ncommand = x\nenv = F={fd}\nport = 80\n"
	       "handoff = adopt\n",
	    "app.ini:3: env: {fd} is the number of a listening socket, but "
	    "the app has none; port or listen gives it one\n"
	    "app.ini:6: env: {fd} is the number of a listening socket, but "
	    "handoff = adopt passes none; env or auto does\n");
}

/* What a worker has when the text is made, and nothing else. */
static void
brace_env_needs_its_variable(void **state)
{
#define NONE(line, key, name, where) "app.ini:" #line ": " key ": {env:" name \
	"}: there is no such variable, in env" where ", env_file or " \
	"clusterd's own environment\n"
	(void)state;
	config_unref(expect_ok("[a]\n"
	       "command = x {env:LANG} {env:PORT} {env:HOST} {env:A} {env:B}\n"
	       " {env:CLUSTERD_FD} {env:CLUSTERD_WORKER_ID} {env:LISTEN_FDS}\n"
	       " {env:CLUSTERD_INSTANCES} {env:NOTIFY_SOCKET}\n"
	       "env =\n A={env:HOST}{env:PORT}{env:CLUSTERD_WORKER_ID}\n"
	       " B={env:A}\nlisten = 127.0.0.1:80\nfd_protocol = systemd\n"
	       "[b]\ncommand = x {env:JOURNAL_STREAM}\n"));
	/* A host that stands nowhere is no HOST. */
	expect_errors("[a]\ncommand = x {env:HOST} {env:PORT}\nport = 80\n",
	    NONE(2, "command", "HOST", ""));
	/* clusterd's own are not the worker's. */
	expect_errors("[a]\ncommand = x {env:LISTEN_FDS} {env:CLUSTERD_FD}\n",
	    NONE(2, "command", "LISTEN_FDS", "")
	    NONE(2, "command", "CLUSTERD_FD", ""));
	expect_errors("[a]\ncommand = x {env:JOURNAL_STREAM}\nstderr = null\n",
	    NONE(2, "command", "JOURNAL_STREAM", ""));
	expect_errors("[a]\ncommand = x {env:CLUSTERD_NONE}\n",
	    NONE(2, "command", "CLUSTERD_NONE", ""));
	/* They come after env. */
	expect_errors("[a]\ncommand = x\nport = 80\n"
	       "env = A={env:CLUSTERD_INSTANCE}{env:CLUSTERD_FD}\n",
	    NONE(4, "env", "CLUSTERD_INSTANCE", " before it")
	    NONE(4, "env", "CLUSTERD_FD", " before it"));
	expect_errors("[a]\ncommand = x\nenv =\n A={env:B}\n B=1\n",
	    NONE(3, "env", "B", " before it"));
#undef NONE
}

static void
key_port(void **state)
{
	(void)state;
	GOOD("port", "8080", "8080");
	GOOD("port", "0", "0");
	GOOD("port", "65535", "65535");
	GOOD("port", "none", "none");
	BAD("port", "70000", "\"70000\" is not a port, a number from 0 to "
	    "65535 is allowed");
	BAD("port", "", "\"\" is not a port, a number from 0 to 65535 is "
	    "allowed");
	BAD("port", "-1", "\"-1\" is not a port, a number from 0 to 65535 is "
	    "allowed");
	BAD("port", "80 # web", "\"80 # web\" is not a port, a number from 0 "
	    "to 65535 is allowed; a comment stands on a line of its own");
	BAD("port", "127.0.0.1:80", "\"127.0.0.1:80\" is not a port, a number "
	    "from 0 to 65535 is allowed");
}

static void
key_listen(void **state)
{
	(void)state;
	GOOD("listen", "none", "none");
	GOOD("listen", "8080", "8080");
	GOOD("listen", "tcp:*:8080,127.0.0.1:81 , [::1]:82\n udp:53,\n"
	    "  unix:x y.sock,\n",
	    "8080, 127.0.0.1:81, [::1]:82, udp:53, unix:/etc/app/x y.sock");
	GOOD("listen", "\n  [::1]:80\n  81", "[::1]:80, 81");
	GOOD("listen", "80  freebind interface=lo, 81 defer_accept=3",
	    "80 interface=lo freebind, 81 defer_accept=3");
	GOOD("listen", "w=[::1]:80 mark=7, 1.2.3.4:81 mark=7",
	    "w=[::1]:80 mark=7, 1.2.3.4:81 mark=7");
	/* One address, for two interfaces. */
	GOOD("listen", "80 interface=a, 80 interface=b",
	    "80 interface=a, 80 interface=b");
	BAD("listen", "80 81", "\"81\" is not an option of a listener, "
	    "interface=NAME, freebind, transparent, mark=NUMBER, "
	    "defer_accept=SECONDS, fastopen=LENGTH or v6only is allowed behind "
	    "an address; a comma separates addresses");
	BAD("listen", "", "is empty, none or PORT, IPV4:PORT, [IPV6]:PORT "
	    "(udp: before it for UDP) or unix:PATH is allowed");
	BAD("listen", ",", "an entry is empty, PORT, IPV4:PORT, [IPV6]:PORT "
	    "(udp: before it for UDP) or unix:PATH is allowed");
	BAD("listen", "80,,81", "an entry is empty, PORT, IPV4:PORT, "
	    "[IPV6]:PORT (udp: before it for UDP) or unix:PATH is allowed");
	BAD("listen", "localhost:80", "\"localhost:80\": \"localhost\" is not "
	    "an address, names are not looked up, PORT, IPV4:PORT, "
	    "[IPV6]:PORT (udp: before it for UDP) or unix:PATH is allowed");
	/* Each entry by its line. */
	expect_errors("[web]\ncommand = x\nlisten = 80, x\n  81\n  82,70000\n",
	    "app.ini:3: listen: \"x\" is not an address, PORT, IPV4:PORT, "
	    "[IPV6]:PORT (udp: before it for UDP) or unix:PATH is allowed\n"
	    "app.ini:5: listen: \"70000\" is not a port, a number from 0 to "
	    "65535 is allowed\n");
}

static void
too_many_listeners(void **state)
{
	struct strbuf text = STRBUF_INIT;

	(void)state;
	strbuf_puts(&text, "[web]\ncommand = x\nport = 1\nlisten =\n");
	for (unsigned i = 2; i <= CONF_LISTENS_MAX; i++)
		strbuf_printf(&text, "\t%u\n", i);
	config_unref(expect_ok(text.text));
	strbuf_puts(&text, "\t1000\n");
	expect_errors(text.text, "app.ini:68: listen: more than 64 listeners, "
	    "fewer are allowed\n");
	strbuf_free(&text);
}

static void
an_address_has_one_app(void **state)
{
	(void)state;
	expect_errors("[a]\ncommand = x\nport = 80\nlisten = 81, *:80\n 81\n"
	       " unix:/s\n"
	       "[b]\ncommand = x\nport = 81\nlisten = udp:80, unix:/s\n"
	       "[c]\ncommand = x\nlisten = 127.0.0.1:80, udp:80\n",
	    "app.ini:4: listen: 80 is served already, by port on line 3\n"
	    "app.ini:5: listen: 81 is served already, by listen on line 4\n"
	    "app.ini:9: port: 81 is served already, by [a] on line 4\n"
	    "app.ini:10: listen: unix:/s is served already, by [a] on line "
	    "6\n"
	    "app.ini:13: listen: udp:80 is served already, by [b] on line "
	    "10\n");
	/* Port 0 is another port each time. */
	config_unref(expect_ok("[a]\ncommand = x\nport = 0\nlisten = 0, 0\n"
	       "[b]\ncommand = x\nport = 0\n"));
}

static void
key_socket_owner(void **state)
{
	struct config *config;

	(void)state;
	GOOD("socket_mode", "0660", "0660");
	GOOD("socket_mode", "7", "0007");
	GOOD("socket_mode", "777", "0777");
	BAD("socket_mode", "1777", "\"1777\" is not valid, an octal mode from "
	    "0 to 0777 is allowed");
	BAD("socket_mode", "0680", "\"0680\" is not valid, an octal mode from "
	    "0 to 0777 is allowed");
	BAD("socket_mode", "rw", "\"rw\" is not valid, an octal mode from 0 "
	    "to 0777 is allowed");
	GOOD("socket_user", "inherit", "inherit");
	GOOD("socket_user", "web", "web");
	GOOD("socket_group", "www", "www");
	BAD("socket_user", "nobody2", "user \"nobody2\" does not exist");
	BAD("socket_group", "web2", "group \"web2\" does not exist");
	BAD("socket_group", "", "\"\" is not valid, the name or number of a "
	    "group is allowed");

	config = expect_ok("[a]\ncommand = x\nsocket_user = web\n"
	       "socket_group = www\n[b]\ncommand = x\n");
	assert_int_equal(config->apps[0].socket_uid, 33);
	assert_int_equal(config->apps[0].socket_gid, 36);
	assert_int_equal(config->apps[1].socket_uid, UINT32_MAX);
	assert_int_equal(config->apps[1].socket_gid, UINT32_MAX);
	config_unref(config);
}

static void
key_backlog(void **state)
{
	(void)state;
	GOOD("backlog", "1", "1");
	GOOD("backlog", "65535", "65535");
	BAD("backlog", "0", "\"0\" is not valid, a number from 1 to 65535 is "
	    "allowed");
	BAD("backlog", "65536", "\"65536\" is not valid, a number from 1 to "
	    "65535 is allowed");
	BAD("backlog", "4k", "\"4k\" is not valid, a number from 1 to 65535 "
	    "is allowed");
}

#define INSTANCES "auto, a number from 1 to 4096, a percentage from 1% " \
	"to 1000% or a range such as 2..8 is allowed"

static void
key_instances(void **state)
{
	(void)state;
	GOOD("instances", "auto", "auto");
	GOOD("instances", "1", "1");
	GOOD("instances", "4096", "4096");
	GOOD("instances", "1%", "1%");
	GOOD("instances", "050%", "50%");
	GOOD("instances", "1000%", "1000%");
	BAD("instances", "0", "\"0\" is not valid, " INSTANCES);
	BAD("instances", "4097", "\"4097\" is not valid, " INSTANCES);
	BAD("instances", "0%", "\"0%\" is not valid, " INSTANCES);
	BAD("instances", "1001%", "\"1001%\" is not valid, " INSTANCES);
	BAD("instances", "%", "\"%\" is not valid, " INSTANCES);
	BAD("instances", "100000000000%", "\"100000000000%\" is not valid, "
	    INSTANCES);
	BAD("instances", "5 %", "\"5 %\" is not valid, " INSTANCES);
	BAD("instances", "Auto", "\"Auto\" is not valid, " INSTANCES);
}

static void
key_instances_of_a_range(void **state)
{
	(void)state;
	GOOD("instances", "2..8", "2..8");
	GOOD("instances", "02..auto", "2..auto");
	GOOD("instances", "auto..200%", "auto..200%");
	GOOD("instances", "50%..4096", "50%..4096");
	GOOD("instances", "3..3", "3..3");
	GOOD("instances", "100..50%", "100..50%");
	BAD("instances", "8..2", "is a range that ends below its beginning: "
	    "\"8..2\"");
	BAD("instances", "20%..10%", "is a range that ends below its "
	    "beginning: \"20%..10%\"");
	BAD("instances", "2..", "\"2..\" is not valid, " INSTANCES);
	BAD("instances", "..8", "\"..8\" is not valid, " INSTANCES);
	BAD("instances", "..", "\"..\" is not valid, " INSTANCES);
	BAD("instances", "0..8", "\"0..8\" is not valid, " INSTANCES);
	BAD("instances", "2...8", "\"2...8\" is not valid, " INSTANCES);
	BAD("instances", "2..8..9", "\"2..8..9\" is not valid, " INSTANCES);
	BAD("instances", "2..4097", "\"2..4097\" is not valid, " INSTANCES);
	BAD("instances", "00000000000000002..8", "\"00000000000000002..8\" "
	    "is not valid, " INSTANCES);
}

static void
the_number_of_instances(void **state)
{
	struct conf_app app = { .instances_kind = CONF_INSTANCES_AUTO };

	(void)state;
	assert_int_equal(conf_app_instances(&app, 0), 1);
	assert_int_equal(conf_app_instances(&app, 12), 12);
	assert_int_equal(conf_app_instances(&app, 9999), CONF_INSTANCES_MAX);
	app.instances_kind = CONF_INSTANCES_NUMBER;
	app.instances = 3;
	assert_int_equal(conf_app_instances(&app, 12), 3);
	app.instances_kind = CONF_INSTANCES_PERCENT;
	app.instances = 50;
	assert_int_equal(conf_app_instances(&app, 3), 2);
	assert_int_equal(conf_app_instances(&app, 4), 2);
	assert_int_equal(conf_app_instances(&app, 0), 1);
	app.instances = 1;
	assert_int_equal(conf_app_instances(&app, 4), 1);
	app.instances = 1000;
	assert_int_equal(conf_app_instances(&app, 2), 20);
	assert_int_equal(conf_app_instances(&app, UINT32_MAX),
	    CONF_INSTANCES_MAX);
}

static void
the_most_instances(void **state)
{
	struct conf_app app = {
		.instances_kind = CONF_INSTANCES_NUMBER, .instances = 3,
		.most_kind = CONF_INSTANCES_AUTO,
	};

	(void)state;
	assert_int_equal(conf_app_most_instances(&app, 12), 3);
	app.scales = true;
	assert_int_equal(conf_app_instances(&app, 12), 3);
	assert_int_equal(conf_app_most_instances(&app, 12), 12);
	assert_int_equal(conf_app_most_instances(&app, 2), 3);
	app.most_kind = CONF_INSTANCES_PERCENT;
	app.most = 150;
	assert_int_equal(conf_app_most_instances(&app, 3), 5);
}

#define BALANCES "auto, shared, round-robin, least-connections, random or " \
	"source is allowed"

#define CPUS(value) "\"" value "\" is not valid, a number of CPUs from " \
	"0.01 to 10000, such as 0.5 or 2, a percentage of one such as 50%, or " \
	"none is allowed"

static void
key_balance(void **state)
{
	struct config *config;

	(void)state;
	GOOD("memory_limit", "64M", "64M");
	GOOD("memory_limit", "1024G", "1024G");
	BAD("memory_limit", "64K", "\"64K\" is not valid, a size from 1M to "
	    "1024G, such as 512M, or none is allowed");
	BAD("memory_limit", "1025G", "\"1025G\" is not valid, a size from 1M "
	    "to 1024G, such as 512M, or none is allowed");
	GOOD("cpu_limit", "0.5", "0.5");
	GOOD("cpu_limit", "50%", "0.5");
	GOOD("cpu_limit", "250%", "2.5");
	GOOD("cpu_limit", "2", "2");
	GOOD("cpu_limit", "0.01", "0.01");
	GOOD("cpu_limit", "1.005", "1.005");
	GOOD("cpu_limit", "0.010", "0.01");
	GOOD("cpu_limit", "none", "none");
	BAD("cpu_limit", "0", CPUS("0"));
	BAD("cpu_limit", "0.001", CPUS("0.001"));
	BAD("cpu_limit", "1.", CPUS("1."));
	BAD("cpu_limit", "1.2345", CPUS("1.2345"));
	BAD("cpu_limit", "x", CPUS("x"));
	BAD("cpu_limit", "50%%", CPUS("50%%"));
	BAD("cpu_limit", "10001", CPUS("10001"));
	GOOD("tasks_limit", "100", "100");
	BAD("tasks_limit", "0", "\"0\" is not valid, a number from 1 to "
	    "4194304, or none is allowed");
	GOOD("slow_start", "0s", "0s");
	GOOD("slow_start", "90s", "90s");
	BAD("slow_start", "soon", "\"soon\" is not a duration, a number "
	    "with ms, s, m or h behind it is allowed, such as 500ms or 10s");
	GOOD("balance", "auto", "auto");
	GOOD("balance", "shared", "shared");
	GOOD("balance", "round-robin", "round-robin");
	GOOD("balance", "least-connections", "least-connections");
	GOOD("balance", "random", "random");
	GOOD("balance", "source", "source");
	BAD("balance", "round_robin", "\"round_robin\" is not known, did you "
	    "mean round-robin? " BALANCES);
	BAD("balance", "flow", "\"flow\" is not known, " BALANCES);
	BAD("balance", "random source", "\"random source\" is not known, "
	    BALANCES);
	BAD("balance", "", "\"\" is not known, " BALANCES);
	config = expect_ok("[a]\ncommand = x\nbalance = source\n"
	       "[b]\ncommand = x\nbalance = shared\n[c]\ncommand = x\n");
	assert_int_equal(config->apps[0].balance, CONF_BALANCE_SOURCE);
	assert_int_equal(config->apps[1].balance, CONF_BALANCE_SHARED);
	assert_int_equal(config->apps[2].balance, CONF_BALANCE_AUTO);
	config_unref(config);
}

static void
key_handoff(void **state)
{
	struct config *config;

	(void)state;
	GOOD("handoff", "auto", "auto");
	GOOD("handoff", "env", "env");
	GOOD("handoff", "adopt", "adopt");
	BAD("handoff", "emv", "\"emv\" is not known, did you mean env? auto, "
	    "env or adopt is allowed");
	BAD("handoff", "env adopt", "\"env adopt\" is not known, auto, env or "
	    "adopt is allowed");
	config = expect_ok("[a]\ncommand = x\nhandoff = env\n"
	       "[b]\ncommand = x\nhandoff = adopt\n[c]\ncommand = x\n");
	assert_int_equal(config->apps[0].handoff, CONF_HANDOFF_ENV);
	assert_int_equal(config->apps[1].handoff, CONF_HANDOFF_ADOPT);
	assert_int_equal(config->apps[2].handoff, CONF_HANDOFF_AUTO);
	config_unref(config);
}

#define PROTOCOLS "auto, clusterd, systemd, server-starter, einhorn, nginx or " \
	"php-fpm is allowed"

static void
key_fd_protocol(void **state)
{
	(void)state;
	GOOD("fd_protocol", "auto", "auto");
	GOOD("fd_protocol", "clusterd", "clusterd");
	GOOD("fd_protocol", "systemd", "clusterd systemd");
	GOOD("fd_protocol", "php-fpm,nginx\teinhorn\n server-starter , nginx",
	    "clusterd server-starter einhorn nginx php-fpm");
	BAD("fd_protocol", "", "is empty, " PROTOCOLS);
	BAD("fd_protocol", "auto systemd", "\"auto\" stands alone, and the "
	    "others together");
	BAD("fd_protocol", "systemd ngnix", "\"ngnix\" is not known, did you "
	    "mean nginx? " PROTOCOLS);
	BAD("fd_protocol", "none", "\"none\" is not known, " PROTOCOLS);
	expect_errors("[a]\ncommand = x\nfd_protocol = a\n nginx\n b\n",
	    "app.ini:3: fd_protocol: \"a\" is not known, " PROTOCOLS "\n"
	    "app.ini:5: fd_protocol: \"b\" is not known, " PROTOCOLS "\n");
}

/* What is spoken is what the file asks for. */
static void
protocols_of_each_handoff(void **state)
{
	static const struct {
		const char *lines;
		unsigned protocols;
		bool announces, notifies;
	} rows[] = {
		{ "", CONF_FDP_CLUSTERD, false, true },
		{ "handoff = auto", CONF_FDP_CLUSTERD, false, true },
		{ "handoff = env", CONF_FDP_CLUSTERD | CONF_FDP_SYSTEMD, true,
		    true },
		{ "handoff = adopt", CONF_FDP_CLUSTERD, false, true },
		{ "fd_protocol = systemd",
		    CONF_FDP_CLUSTERD | CONF_FDP_SYSTEMD, true, true },
		{ "fd_protocol = nginx", CONF_FDP_CLUSTERD | CONF_FDP_NGINX,
		    true, false },
		{ "fd_protocol = clusterd", CONF_FDP_CLUSTERD, false, false },
		{ "fd_protocol = clusterd\nready = notify",
		    CONF_FDP_CLUSTERD, false, true },
		{ "handoff = env\nfd_protocol = clusterd", CONF_FDP_CLUSTERD,
		    false, false },
		{ "handoff = adopt\nfd_protocol = systemd",
		    CONF_FDP_CLUSTERD | CONF_FDP_SYSTEMD, false, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct strbuf text = STRBUF_INIT;
		struct config *config;
		const struct conf_app *app;

		strbuf_printf(&text, "[a]\ncommand = x\nport = 80\n%s\n",
		    rows[i].lines);
		config = expect_ok(text.text);
		app = &config->apps[0];
		assert_int_equal(conf_app_fd_protocols(app),
		    rows[i].protocols);
		assert_int_equal(conf_app_announces(app), rows[i].announces);
		assert_int_equal(conf_app_notifies(app), rows[i].notifies);
		config_unref(config);
		strbuf_free(&text);
	}
}

#define STARTER_ANY(n, udp) #n " on all addresses, IPv6 and IPv4, cannot be " \
	"said in the form of fd_protocol = server-starter; listen = " udp \
	"0.0.0.0:" #n " is allowed, or for programs that take both listen = " \
	udp "0.0.0.0:" #n ", " udp "[::]:" #n "\n"

/* Some addresses have no form in some protocols. */
static void
protocols_that_cannot_say_it(void **state)
{
	(void)state;
	expect_errors("[a]\ncommand = x\nport = 80\n"
	       "listen = 127.0.0.1:1,\n\t81, udp:82, unix:/a;b=c\n"
	       "fd_protocol = server-starter\n",
	    "app.ini:3: port: " STARTER_ANY(80, "")
	    "app.ini:5: listen: " STARTER_ANY(81, "")
	    "app.ini:5: listen: " STARTER_ANY(82, "udp:")
	    "app.ini:5: listen: \"/a;b=c\" has a ;, which cannot be said in "
	    "the form of fd_protocol = server-starter; a path without is "
	    "allowed\n");
	expect_errors("[a]\ncommand = x\nlisten = unix:/run/a=b\n"
	       "fd_protocol = php-fpm server-starter\nhandoff = env\n",
	    "app.ini:3: listen: \"/run/a=b\" has a =, which cannot be said "
	    "in the form of fd_protocol = server-starter; a path without is "
	    "allowed\n"
	    "app.ini:3: listen: \"/run/a=b\" has a =, which cannot be said "
	    "in the form of fd_protocol = php-fpm; a path without is "
	    "allowed\n");
	config_unref(expect_ok("[a]\ncommand = x\nfd_protocol = php-fpm\n"
	       "port = 80\nlisten = unix:/a;b\n"));
	config_unref(expect_ok("[a]\ncommand = x\nport = 80\n"
	       "listen = unix:/a=b;c\nfd_protocol = systemd nginx einhorn\n"));
	config_unref(expect_ok("[a]\ncommand = x\n"
	       "listen = 0.0.0.0:80, [::]:80, udp:[::1]:1, unix:/a,\n"
	       "fd_protocol = server-starter\n"));
	/* To whom no descriptor is told. */
	config_unref(expect_ok("[a]\ncommand = x\nport = 80\n"
	       "fd_protocol = server-starter\nhandoff = adopt\n"));
}

static void
names_of_listeners(void **state)
{
	struct config *config;
	struct strbuf text = STRBUF_INIT;

	(void)state;
	GOOD("listen", "https=0.0.0.0:8443", "https=0.0.0.0:8443");
	GOOD("listen", "a=80,Http-2.x_y=81 , udp:5353", "a=80, "
	    "Http-2.x_y=81, udp:5353");
	GOOD("listen", "x=unix:/a=b, unix:/c=d=e", "x=unix:/a=b, unix:/c=d=e");
	GOOD("listen", "x=udp:53", "x=udp:53");
	GOOD("listen", "x=80 interface=lo mark=1", "x=80 interface=lo mark=1");
	GOOD("listen", "127.0.0.1:80 interface=lo", "127.0.0.1:80 interface=lo");
	GOOD("listen", "x=127.0.0.1:80{instance} interface=lo",
	    "x=127.0.0.1:80{instance} interface=lo");
#define NAME "is not a name for a listener, letters, digits, _, . and - are " \
	"allowed, and not digits alone"
	BAD("listen", "=80", "\"\" " NAME);
	BAD("listen", "80=81", "\"80\" " NAME);
	BAD("listen", "a:b=81", "\"a:b\" " NAME);
	BAD("listen", "127.0.0.1:80=81", "\"127.0.0.1:80\" " NAME);
	BAD("listen", "a b=81", "\"a b\" " NAME);
	BAD("listen", "a =81", "\"a \" " NAME);
	BAD("listen", "a=", "\"\" is not an address, PORT, IPV4:PORT, "
	    "[IPV6]:PORT (udp: before it for UDP) or unix:PATH is allowed");

	config = expect_ok("[a]\ncommand = x\nport = 1\n"
	       "listen = https=2, 3\n");
	assert_null(config->apps[0].listen_names[0]);
	assert_string_equal(config->apps[0].listen_names[1], "https");
	assert_null(config->apps[0].listen_names[2]);
	config_unref(config);

	strbuf_puts(&text, "[a]\ncommand = x\nlisten = ");
	for (int i = 0; i < CONF_LISTEN_NAME_MAX; i++)
		strbuf_putc(&text, 'n');
	strbuf_puts(&text, "=80\n");
	config_unref(expect_ok(text.text));
	strbuf_free(&text);
	strbuf_puts(&text, "[a]\ncommand = x\nlisten = ");
	for (int i = 0; i < CONF_LISTEN_NAME_MAX + 1; i++)
		strbuf_putc(&text, 'n');
	strbuf_puts(&text, "=80\n");
	expect_errors(text.text, "app.ini:3: listen: \""
	    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\" and so on is too long "
	    "for the name of a listener, 255 bytes are allowed\n");
	strbuf_free(&text);
}

static void
key_directory_and_umask(void **state)
{
	(void)state;
	GOOD("directory", "inherit", "inherit");
	GOOD("directory", "./inherit", "/etc/app/inherit");
	GOOD("directory", ".", "/etc/app");
	GOOD("directory", "././/x", "/etc/app/x");
	GOOD("directory", "..", "/etc/app/..");
	GOOD("directory", "/", "/");
	BAD("directory", "", "the path is empty, a path is needed");
	GOOD("umask", "inherit", "inherit");
	GOOD("umask", "22", "0022");
	GOOD("umask", "0", "0000");
	BAD("umask", "8", "\"8\" is not valid, an octal mask from 0 to 0777 "
	    "is allowed");
	BAD("umask", "1000", "\"1000\" is not valid, an octal mask from 0 to "
	    "0777 is allowed");
}

static void
a_path_is_limited(void **state)
{
	struct strbuf text = STRBUF_INIT;
	char *errors;

	(void)state;
	strbuf_printf(&text, "%04087d", 0);
	expect_bad("web", "directory", text.text,
	    "\"/etc/app/00000000000000000000000000000000000000000000000000"
	    "0\" and so on is too long, a path of 4095 bytes is allowed");
	strbuf_free(&text);
	strbuf_printf(&text, "[a]\ncommand = x\ndirectory = %04086d\n", 0);
	struct config *config = check_text(text.text, &errors);
	assert_non_null(config);
	assert_int_equal(strlen(config->apps[0].directory), 4095);
	config_unref(config);
	free(errors);
	strbuf_free(&text);
}

static void
key_env_has_a_stated_number_of_entries(void **state)
{
	struct strbuf text = STRBUF_INIT;
	struct config *config;
	char *errors;

	(void)state;
	strbuf_puts(&text, "[web]\ncommand = x\nenv =");
	for (unsigned i = 0; i < CONF_ENV_MAX; i++)
		strbuf_printf(&text, "\n A%u=1", i);
	config = check_text(text.text, &errors);
	assert_non_null(config);
	config_unref(config);
	free(errors);
	strbuf_puts(&text, "\n B=1\n");
	expect_errors(text.text, "app.ini:3: env: has 1025 entries, 1024 are "
	    "allowed\n");
	strbuf_free(&text);
}

static void
key_env(void **state)
{
	(void)state;
	GOOD("env", "none", "none");
	GOOD("env", "A=1", "A=1");
	GOOD("env", "A=", "A=");
	GOOD("env", "_a9=x, B=\"y\" ;z # \xff", "_a9=x, B=\"y\" ;z # \xff");
	GOOD("env", "A=1\n  B=2\n\n  port=x", "A=1\n\tB=2\n\tport=x");
	GOOD("env", "\n  A=1", "A=1");
	GOOD("env", "CLUSTER=1\n NGINX_PORT=1\n LISTEN=1\n CLUSTERD=1",
	    "CLUSTER=1\n\tNGINX_PORT=1\n\tLISTEN=1\n\tCLUSTERD=1");
	BAD("env", "", "\"\" is not NAME=value with a name of letters, digits "
	    "and _, no digit first");
	/* It may be what is meant. */
	BAD("env", "x # y", "\"x # y\" is not NAME=value with a name of "
	    "letters, digits and _, no digit first");
	BAD("env", "SECRET", "\"SECRET\" is not NAME=value with a name of "
	    "letters, digits and _, no digit first");
	BAD("env", "A B=secret", "\"A B\" is not NAME=value with a name of "
	    "letters, digits and _, no digit first");
	BAD("env", "9A=secret", "\"9A\" is not NAME=value with a name of "
	    "letters, digits and _, no digit first");
	BAD("env", "=secret", "\"\" is not NAME=value with a name of letters, "
	    "digits and _, no digit first");
	expect_errors("[a]\ncommand = x\nenv = A=1\n none\n",
	    "app.ini:4: env: \"none\" is not NAME=value with a name of "
	    "letters, digits and _, no digit first\n");
}

static void
env_names_of_clusterd_are_refused(void **state)
{
	static const char *const names[] = {
		"CLUSTERD_FD", "CLUSTERD_X", "LISTEN_FDS", "LISTEN_PID",
		"LISTEN_FDNAMES", "NOTIFY_SOCKET", "SERVER_STARTER_PORT",
		"SERVER_STARTER_GENERATION", "EINHORN_FD_COUNT",
		"EINHORN_FD_0", "NGINX", "FPM_SOCKETS",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char value[64], expected[128];

		snprintf(value, sizeof(value), "%s=secret", names[i]);
		snprintf(expected, sizeof(expected), "\"%s\" is reserved for "
		    "clusterd, another name is allowed", names[i]);
		BAD("env", value, expected);
	}
}

static void
set_env_file(const char *text, size_t len)
{
	env_text = text;
	env_len = len;
}

#define ENV_FILE(text) set_env_file(text, sizeof(text) - 1)

static void
key_env_file(void **state)
{
	struct config *config;
	struct strlist *e;

	(void)state;
	ENV_FILE("A=1\n\n  # c\n; c\nexport B = no\n");
	BAD("env_file", "env", "/etc/app/env:5: the entry is not NAME=value "
	    "with a name of letters, digits and _, no digit first");

	ENV_FILE("A=1\r\n\n  # c\n; c\nexport\tB=x\n C= y z \nD=\"q ; 'r'\"\n"
	    "E='s \"t\" '\nF=\nG=\"\"\nH=a\"b\"\nA=2 # 3\nexport=1\nI=\xff");
	config = expect_ok("[a]\ncommand = x\nenv_file = env\nenv = A=3\n");
	assert_string_equal(config->apps[0].env_file, "/etc/app/env");
	e = &config->apps[0].env_file_entries;
	assert_int_equal(e->n, 11);
	assert_string_equal(e->v[0], "A=1");
	assert_string_equal(e->v[1], "B=x");
	assert_string_equal(e->v[2], "C=y z");
	assert_string_equal(e->v[3], "D=q ; 'r'");
	assert_string_equal(e->v[4], "E=s \"t\" ");
	assert_string_equal(e->v[5], "F=");
	assert_string_equal(e->v[6], "G=");
	assert_string_equal(e->v[7], "H=a\"b\"");
	assert_string_equal(e->v[8], "A=2 # 3");
	assert_string_equal(e->v[9], "export=1");
	assert_string_equal(e->v[10], "I=\xff");
	assert_int_equal(config->apps[0].env.n, 1);
	config_unref(config);

	ENV_FILE("");
	GOOD("env_file", "env", "/etc/app/env");
	GOOD("env_file", "none", "none");
	set_env_file(NULL, 0);
	BAD("env_file", "env", "cannot read /etc/app/env: No such file or "
	    "directory");
	BAD("env_file", "", "the path is empty, a path is needed");
}

static void
an_env_file_may_begin_with_a_byte_order_mark(void **state)
{
	struct config *config;

	(void)state;
	ENV_FILE("\xef\xbb\xbf" "A=1\nB=2\n");
	config = expect_ok("[a]\ncommand = x\nenv_file = env\n");
	assert_int_equal(config->apps[0].env_file_entries.n, 2);
	assert_string_equal(config->apps[0].env_file_entries.v[0], "A=1");
	config_unref(config);
	ENV_FILE("\xef\xbb\xbf");
	GOOD("env_file", "env", "/etc/app/env");
	/* Only there. */
	ENV_FILE("A=1\n\xef\xbb\xbf" "B=2\n");
	BAD("env_file", "env", "/etc/app/env:2: the entry is not NAME=value "
	    "with a name of letters, digits and _, no digit first");
	set_env_file(NULL, 0);
}

static void
an_env_file_is_limited(void **state)
{
	size_t len = CONF_ENV_FILE_MAX + 1;
	char *text = malloc(len);

	(void)state;
	assert_non_null(text);
	memset(text, '\n', len);
	set_env_file(text, len - 1);
	GOOD("env_file", "env", "/etc/app/env");
	set_env_file(text, len);
	BAD("env_file", "env", "/etc/app/env is too long, 262144 bytes are "
	    "allowed");
	set_env_file(NULL, 0);
	free(text);
}

/* Each line of the env file, and never its content. */
static void
env_file_errors_keep_secrets(void **state)
{
	(void)state;
	ENV_FILE("secret\nA=\"secret\nB='a' 'b'\nC=\"\n9=secret\n"
	    "LISTEN_FDS=1\nD=sec\0ret\nE=sec\x1bret\n=secret\nF=ok\n");
	expect_errors("[a]\ncommand = x\n\nenv_file = env\n",
	    "app.ini:4: env_file: /etc/app/env:1: the entry is not NAME=value"
	    " with a name of letters, digits and _, no digit first\n"
	    "app.ini:4: env_file: /etc/app/env:2: the entry has a quote that "
	    "is not closed at the end of the line, one pair around the value "
	    "is allowed\n"
	    "app.ini:4: env_file: /etc/app/env:3: the entry has a quote that "
	    "is not closed at the end of the line, one pair around the value "
	    "is allowed\n"
	    "app.ini:4: env_file: /etc/app/env:4: the entry has a quote that "
	    "is not closed at the end of the line, one pair around the value "
	    "is allowed\n"
	    "app.ini:4: env_file: /etc/app/env:5: the entry is not NAME=value"
	    " with a name of letters, digits and _, no digit first\n"
	    "app.ini:4: env_file: /etc/app/env:6: the entry is reserved for "
	    "clusterd, another name is allowed\n"
	    "app.ini:4: env_file: /etc/app/env:7: the entry holds a NUL byte,"
	    " text and tabs are allowed\n"
	    "app.ini:4: env_file: /etc/app/env:8: the entry holds a control "
	    "byte, text and tabs are allowed\n"
	    "app.ini:4: env_file: /etc/app/env:9: the entry is not NAME=value"
	    " with a name of letters, digits and _, no digit first\n");
	set_env_file(NULL, 0);
}

static void
key_limit_nofile(void **state)
{
	(void)state;
	GOOD("limit_nofile", "inherit", "inherit");
	GOOD("limit_nofile", "16", "16");
	GOOD("limit_nofile", "1073741824", "1073741824");
	BAD("limit_nofile", "15", "\"15\" is not valid, a number from 16 to "
	    "1073741824 is allowed");
	BAD("limit_nofile", "1073741825", "\"1073741825\" is not valid, a "
	    "number from 16 to 1073741824 is allowed");
	BAD("limit_nofile", "unlimited", "\"unlimited\" is not valid, a "
	    "number from 16 to 1073741824 is allowed");
}

static void
key_user_and_group(void **state)
{
	struct config *config;
	const struct conf_app *app;

	(void)state;
	GOOD("user", "inherit", "inherit");
	GOOD("user", "web", "web");
	GOOD("group", "www", "www");
	BAD("user", "nobody2", "user \"nobody2\" does not exist");
	BAD("group", "nobody2", "group \"nobody2\" does not exist");
	BAD("user", "a b", "\"a b\" is not valid, the name or number of a "
	    "user is allowed");
	BAD("user", "web:www", "\"web:www\" is not valid, the name or number "
	    "of a user is allowed");
	BAD("user", "", "\"\" is not valid, the name or number of a user is "
	    "allowed");
	/* Of the two, the line of the one that is wrong. */
	expect_errors("[a]\ncommand = x\nuser = web\ngroup = w\n"
	       "[b]\ncommand = x\nuser = w\ngroup = www\n"
	       "[c]\ncommand = x\nuser = w\ngroup = w\n",
	    "app.ini:4: group: group \"w\" does not exist\n"
	    "app.ini:7: user: user \"w\" does not exist\n"
	    "app.ini:11: user: user \"w\" does not exist\n"
	    "app.ini:12: group: group \"w\" does not exist\n");

	config = expect_ok("[a]\ncommand = x\nuser = web\ngroup = www\n"
	       "[b]\ncommand = x\ngroup = www\n[c]\ncommand = x\n");
	app = config->apps;
	assert_true(app[0].creds.set);
	assert_int_equal(app[0].creds.uid, 33);
	assert_int_equal(app[0].creds.gid, 36);
	assert_int_equal(app[0].creds.n_groups, 2);
	assert_string_equal(app[0].creds.name, "web");
	assert_string_equal(app[0].creds.home, "/var/www");
	assert_true(app[1].creds.set);
	assert_null(app[1].creds.name);
	assert_int_equal(app[1].creds.gid, 36);
	assert_false(app[2].creds.set);
	config_unref(config);
}

/* As daemon/config/conf_load does it: again, until nothing new is asked. */
static unsigned
look_up(const char *text, struct config **ret_config, char **ret_errors)
{
	unsigned rounds = 0;

	*ret_config = NULL;
	*ret_errors = NULL;
	looking_up = true;
	do {
		config_unref(*ret_config);
		free(*ret_errors);
		pending = false;
		*ret_config = check_text(text, ret_errors);
		rounds++;
		if (pending)
			assert_string_equal(*ret_errors, "");
	} while (pending && rounds < 10);
	looking_up = false;
	strlist_free(&asked);
	return rounds;
}

static void
every_account_is_asked_for_in_the_first_round(void **state)
{
	struct config *config;
	char *errors;

	(void)state;
	assert_int_equal(look_up("[a]\ncommand = x\nuser = nobdy\n"
	    "group = daemn\n[b]\ncommand = x\nuser = web\ngroup = w\n"
	    "[c]\ncommand = x\nuser = w\ngroup = www\n"
	    "[d]\ncommand = x\nsocket_user = u\nsocket_group = g\n"
	    "[e]\ncommand = x\ngroup = ww\n",
	    &config, &errors), 2);
	assert_null(config);
	assert_string_equal(errors,
	    "app.ini:3: user: user \"nobdy\" does not exist\n"
	    "app.ini:4: group: group \"daemn\" does not exist\n"
	    "app.ini:8: group: group \"w\" does not exist\n"
	    "app.ini:11: user: user \"w\" does not exist\n"
	    "app.ini:15: socket_user: user \"u\" does not exist\n"
	    "app.ini:16: socket_group: group \"g\" does not exist\n"
	    "app.ini:19: group: group \"ww\" does not exist\n");
	free(errors);

	assert_int_equal(look_up("[a]\ncommand = x\nuser = web\n"
	    "group = www\n[b]\ncommand = x\nuser = web\n"
	    "[c]\ncommand = x\ngroup = www\n", &config, &errors), 2);
	assert_non_null(config);
	assert_int_equal(config->apps[0].creds.gid, 36);
	assert_int_equal(config->apps[0].creds.n_groups, 2);
	assert_int_equal(config->apps[0].creds.groups[0], 36);
	assert_int_equal(config->apps[1].creds.gid, 34);
	assert_int_equal(config->apps[1].creds.groups[0], 34);
	assert_int_equal(config->apps[2].creds.gid, 36);
	assert_null(config->apps[2].creds.name);
	config_unref(config);
	free(errors);
}

static void
an_account_without_the_right_to_it_is_named(void **state)
{
	struct config *config;
	char *errors;

	(void)state;
	config = check_at(&strict_host, "[a]\ncommand = x\nuser = web\n"
	    "[b]\ncommand = x\ngroup = www\nuser = web\n"
	    "[c]\ncommand = x\ngroup = www\n", &errors);
	assert_null(config);
	assert_string_equal(errors, "app.ini:7: user: \"web\": it takes root "
	    "to run as somebody else\n"
	    "app.ini:10: group: \"www\": it takes root to run as somebody "
	    "else\n");
	free(errors);
}

static void
an_account_that_is_not_known_yet_is_no_error(void **state)
{
	struct config *config = expect_ok("[a]\ncommand = x\nuser = soon\n"
	       "socket_user = soon\n");

	(void)state;
	assert_true(config->apps[0].creds.set);
	assert_int_equal(config->apps[0].creds.uid, 65534);
	assert_int_equal(config->apps[0].creds.gid, 65534);
	assert_int_equal(config->apps[0].creds.n_groups, 0);
	assert_string_equal(config->apps[0].creds.name, "soon");
	assert_string_equal(config->apps[0].creds.home, "/");
	assert_int_equal(config->apps[0].socket_uid, 65534);
	config_unref(config);
}

static void
key_restart(void **state)
{
	(void)state;
	GOOD("restart", "always", "always");
	GOOD("restart", "on-failure", "on-failure");
	GOOD("restart", "never", "never");
	BAD("restart", "on_failure", "\"on_failure\" is not known, did you "
	    "mean on-failure? always, on-failure or never is allowed");
	BAD("restart", "no", "\"no\" is not known, always, on-failure or "
	    "never is allowed");
}

#define DURATION "is not a duration, a number with ms, s, m or h behind it " \
	"is allowed, such as 500ms or 10s"

static void
durations(void **state)
{
	static const char *const bad[] = {
		"", "s", "ms", "1.5s", "-1s", "+1s", "1 s", "1d", "1S", "1sec",
		"1m30s", "0x10", "none", "99999999999999999999s",
		"9223372036854775807h", "999999999999999999999999999999",
	};

	(void)state;
	GOOD("restart_reset", "0", "0s");
	GOOD("restart_reset", "0ms", "0s");
	GOOD("restart_reset", "5", "5s");
	GOOD("restart_reset", "05s", "5s");
	GOOD("restart_reset", "60s", "1m");
	GOOD("restart_reset", "90s", "90s");
	GOOD("restart_reset", "3600000ms", "1h");
	GOOD("restart_reset", "61m", "61m");
	GOOD("restart_reset", "24h", "24h");
	GOOD("restart_reset", "1001ms", "1001ms");
	GOOD("restart_reset", "87600h", "87600h");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char expected[160];

		snprintf(expected, sizeof(expected), "\"%s\" " DURATION,
		    bad[i]);
		BAD("restart_reset", bad[i], expected);
	}
	BAD("restart_reset", "87601h", "\"87601h\" is too long, at most "
	    "87600h is allowed");
	BAD("restart_reset", "9223372036854775807ms", "\"9223372036854775807ms"
	    "\" is too long, at most 87600h is allowed");
}

static void
keys_of_durations(void **state)
{
	(void)state;
	GOOD("restart_delay", "1ms", "1ms");
	BAD("restart_delay", "0", "\"0\" is too short, at least 1ms is "
	    "allowed");
	GOOD("restart_delay_max", "1h", "1h");
	BAD("restart_delay_max", "0", "\"0\" is too short, at least 1ms is "
	    "allowed");
	GOOD("health_interval", "10ms", "10ms");
	BAD("health_interval", "1ms", "\"1ms\" is too short, at least 10ms is "
	    "allowed");
	GOOD("health_timeout", "60", "1m");
	GOOD("ready_timeout", "1ms", "1ms");
	BAD("ready_timeout", "0s", "\"0s\" is too short, at least 1ms is "
	    "allowed");
	GOOD("stop_timeout", "0", "0s");
	BAD("stop_timeout", "x", "\"x\" " DURATION);
	GOOD("drain_timeout", "0", "0s");
	GOOD("drain_timeout", "90", "90s");
	GOOD("drain_timeout", "1h", "1h");
	BAD("drain_timeout", "off", "\"off\" " DURATION);
	BAD("drain_timeout", "-1", "\"-1\" " DURATION);
	BAD("drain_timeout", "87601h", "\"87601h\" is too long, at most "
	    "87600h is allowed");
}

/* With a word for "never", which the dump says too. */
static void
key_drain_idle(void **state)
{
	struct config *config = expect_ok("[a]\ncommand = x\n"
	       "drain_idle = off\n[b]\ncommand = x\ndrain_idle = 0\n");

	(void)state;
	assert_int_equal(config->apps[0].drain_idle_ms, -1);
	assert_int_equal(config->apps[1].drain_idle_ms, 0);
	config_unref(config);
	GOOD("drain_idle", "off", "off");
	GOOD("drain_idle", "0", "0s");
	GOOD("drain_idle", "1500ms", "1500ms");
	BAD("drain_idle", "OFF", "\"OFF\" " DURATION);
	BAD("drain_idle", "none", "\"none\" " DURATION);
	BAD("drain_idle", "-1", "\"-1\" " DURATION);
	BAD("drain_idle", "", "\"\" " DURATION);
}

#define SURGE "is not valid, a number from 0 to 4096 is allowed"

static void
key_max_surge(void **state)
{
	(void)state;
	GOOD("max_surge", "0", "0");
	GOOD("max_surge", "1", "1");
	GOOD("max_surge", "4096", "4096");
	BAD("max_surge", "-1", "\"-1\" " SURGE);
	BAD("max_surge", "4097", "\"4097\" " SURGE);
	BAD("max_surge", "50%", "\"50%\" " SURGE);
	BAD("max_surge", "auto", "\"auto\" " SURGE);
	BAD("max_surge", "", "\"\" " SURGE);
	BAD("max_surge", "18446744073709551617",
	    "\"18446744073709551617\" " SURGE);
}

static void
key_canary(void **state)
{
	(void)state;
	GOOD("canary", "0", "0s");
	GOOD("canary", "1500ms", "1500ms");
	GOOD("canary", "5m", "5m");
	BAD("canary", "off", "\"off\" " DURATION);
	BAD("canary", "-1", "\"-1\" " DURATION);
	BAD("canary", "", "\"\" " DURATION);
}

static void
durations_that_belong_together(void **state)
{
	(void)state;
	GOOD("restart_delay", "30s", "30s");
	BAD("restart_delay", "1m", "1m is more than restart_delay_max, which "
	    "is 30s");
	BAD("restart_delay_max", "50ms", "50ms is less than restart_delay, "
	    "which is 100ms");
	expect_errors("[a]\ncommand = x\nrestart_delay_max = 1s\n"
	       "restart_delay = 2s\n",
	    "app.ini:3: restart_delay_max: 1s is less than restart_delay, "
	    "which is 2s\n");
	/* A value that is bad by itself is told once. */
	expect_errors("[a]\ncommand = x\nrestart_delay_max = 1ms\n"
	       "restart_delay = x\n",
	    "app.ini:4: restart_delay: \"x\" " DURATION "\n");

	BAD("ready", "alive:60s", "alive:1m never comes, it must be shorter "
	    "than ready_timeout, which is 1m");
	expect_errors("[a]\ncommand = x\nready_timeout = 1s\n"
	       "ready = alive:1001ms\n",
	    "app.ini:4: ready: alive:1001ms never comes, it must be shorter "
	    "than ready_timeout, which is 1s\n");
	config_unref(expect_ok("[a]\ncommand = x\nready_timeout = 10ms\n"));
}

#define RESTART_LIMIT "none or a number from 1 to 1000, a slash and a " \
	"duration, such as 5/60s is allowed"

static void
key_restart_limit(void **state)
{
	(void)state;
	GOOD("restart_limit", "none", "none");
	GOOD("restart_limit", "5/60s", "5/1m");
	GOOD("restart_limit", "1000/1ms", "1000/1ms");
	BAD("restart_limit", "5", "\"5\" is not valid, " RESTART_LIMIT);
	BAD("restart_limit", "0/60s", "\"0/60s\" is not valid, "
	    RESTART_LIMIT);
	BAD("restart_limit", "1001/60s", "\"1001/60s\" is not valid, "
	    RESTART_LIMIT);
	BAD("restart_limit", "123456789/1", "\"123456789/1\" is not valid, "
	    RESTART_LIMIT);
	BAD("restart_limit", "/60s", "\"/60s\" is not valid, " RESTART_LIMIT);
	BAD("restart_limit", "5/0", "\"0\" is too short, at least 1ms is "
	    "allowed");
	BAD("restart_limit", "5/", "\"\" " DURATION);
	BAD("restart_limit", "5/60s/", "\"60s/\" " DURATION);
}

#define CODES "a list of exit codes from 0 to 255, with ranges such as " \
	"10-12, is allowed"

static void
key_success_codes(void **state)
{
	struct config *config;

	(void)state;
	GOOD("success_codes", "0", "0");
	GOOD("success_codes", "12,10-11\n 0  3,255", "0,3,10-12,255");
	GOOD("success_codes", "0-255", "0-255");
	GOOD("success_codes", "7-7", "7");
	GOOD("success_codes", "1,2", "1-2");
	BAD("success_codes", "", "is empty, " CODES);
	BAD("success_codes", "none", "\"none\" is not valid, " CODES);
	BAD("success_codes", "256", "\"256\" is not valid, " CODES);
	BAD("success_codes", "0,5-3", "\"5-3\" is not valid, " CODES);
	BAD("success_codes", "0,-3", "\"-3\" is not valid, " CODES);
	BAD("success_codes", "3-", "\"3-\" is not valid, " CODES);
	BAD("success_codes", "1-2-3", "\"1-2-3\" is not valid, " CODES);
	BAD("success_codes", "TERM", "\"TERM\" is not valid, " CODES);

	config = expect_ok("[a]\ncommand = x\nsuccess_codes = 3,255\n");
	for (int code = -2; code < 300; code++)
		assert_int_equal(conf_app_success_code(config->apps, code),
		    code == 3 || code == 255);
	config_unref(config);
}

/* In an app that listens. */
static void
expect_health(const char *value, const char *printed)
{
	char text[128], *dump, wanted[128];
	struct config *config;

	snprintf(text, sizeof(text), "[a]\ncommand = x\nport = 80\n"
	    "health = %s\n", value);
	snprintf(wanted, sizeof(wanted), "\nhealth = %s\n", printed);
	config = expect_ok(text);
	dump = conf_print(config, &(struct conf_here){ 2, NULL });
	assert_non_null(strstr(dump, wanted));
	free(dump);
	config_unref(config);
}

static void
key_health(void **state)
{
	struct config *config;

	(void)state;
	GOOD("health", "none", "none");
	expect_health("tcp", "tcp");
	expect_health("watchdog", "watchdog");
	expect_health("queue", "queue");
	BAD("health", "queue", "there is no queue to look at: the app has no "
	    "TCP port; exec:COMMAND or watchdog is allowed");
	expect_errors("[a]\ncommand = x\nport = 80\nbalance = shared\n"
	    "instances = 2\nhealth = queue\n",
	    "app.ini:6: health: \"queue\" needs a queue for each instance, "
	    "and with balance = shared all have one; exec:COMMAND or watchdog "
	    "is allowed\n");
	expect_errors("[a]\ncommand = x\nport = 80\nbalance = shared\n"
	    "instances = 1..4\nhealth = queue\n",
	    "app.ini:6: health: \"queue\" needs a queue for each instance, "
	    "and with balance = shared all have one; exec:COMMAND or watchdog "
	    "is allowed\n");
	config_unref(expect_ok("[a]\ncommand = x\nport = 80\nbalance = shared\n"
	    "instances = 1\nhealth = queue\n"));
	expect_errors("[a]\ncommand = x\nport = 80\nhealth = queue\n"
	    "ready = health\n",
	    "app.ini:5: ready: \"health\" needs a check: health = tcp, "
	    "http:/PATH, exec:COMMAND or watchdog\n");
	GOOD("health", "watchdog", "watchdog");
	expect_health("http:/", "http:/");
	expect_health("http://a.example", "http://a.example/");
	expect_health("http://a:8080/b?c=d", "http://a:8080/b?c=d");
	GOOD("health", "exec:a 'b c'", "exec:a 'b c'");
	BAD("health", "tpc", "\"tpc\" is not known, did you mean tcp? none, "
	    "tcp, http:/PATH, http://NAME/PATH, exec:COMMAND, watchdog "
	    "or queue is allowed");
	BAD("health", "http:x", "\"http:x\" has no path: it begins with /, "
	    "and is printable ASCII without spaces, 512 bytes at most");
	BAD("health", "http:///x", "\"http:///x\" has no name behind http://, "
	    "such as http://www.example.org/healthz");
	BAD("health", "https:/x", "a check speaks no TLS: tcp, or exec: with "
	    "a client that does");
	BAD("health", "exec:", "has no command behind exec:");
	BAD("health", "tcp", "there is nothing to connect to: the app has no "
	    "TCP port and no Unix socket; exec:COMMAND or watchdog is "
	    "allowed");
	expect_errors("[a]\ncommand = x\nready = health\n",
	    "app.ini:3: ready: \"health\" needs a check: health = tcp, "
	    "http:/PATH, exec:COMMAND or watchdog\n");
	config = expect_ok("[a]\ncommand = x\nport = 80\n"
	    "health = http://h/p\nready = health\n");
	assert_int_equal(config->apps[0].health, CONF_HEALTH_HTTP);
	assert_string_equal(config->apps[0].health_host, "h");
	assert_string_equal(config->apps[0].health_path, "/p");
	assert_int_equal(config->apps[0].ready, CONF_READY_HEALTH);
	config_unref(config);
}

static void
key_ready(void **state)
{
	struct config *config;

	(void)state;
	GOOD("ready", "auto", "auto");
	GOOD("ready", "notify", "notify");
	GOOD("ready", "alive:0", "alive:0s");
	GOOD("ready", "alive:59999ms", "alive:59999ms");
	BAD("ready", "alive", "\"alive\" is not known, auto, notify, "
	    "accept, health or alive:DURATION is allowed");
	BAD("ready", "notfiy", "\"notfiy\" is not known, did you mean notify? "
	    "auto, notify, accept, health or alive:DURATION is allowed");
	BAD("ready", "alive:", "\"\" " DURATION);
	BAD("ready", "alive:x", "\"x\" " DURATION);
	/* The notify socket is there without the systemd protocol too. */
	config = expect_ok("[a]\ncommand = x\nready = notify\n"
	       "fd_protocol = clusterd\n[b]\ncommand = x\n");
	assert_int_equal(config->apps[0].ready, CONF_READY_NOTIFY);
	assert_int_equal(config->apps[1].ready, CONF_READY_AUTO);
	assert_int_equal(config->apps[1].ready_alive_ms, 1000);
	config_unref(config);
}

/* What has no listener waits for no connection. */
static void
ready_accept_needs_a_listener(void **state)
{
	struct config *config;

	(void)state;
	BAD("ready", "accept", "\"accept\" needs a port or listen, and the app "
	    "has none; auto, notify or alive:DURATION is allowed");
	config = expect_ok("[a]\ncommand = x\nready = accept\nport = 80\n"
	       "[b]\ncommand = x\nlisten = udp:53\nready = accept\n"
	       "[c]\ncommand = x\nlisten = unix:c\nready = accept\n"
	       "handoff = env\n");
	for (size_t i = 0; i < config->n_apps; i++)
		assert_int_equal(config->apps[i].ready, CONF_READY_ACCEPT);
	config_unref(config);
	/* A listener that is not understood is one all the same. */
	expect_errors("[a]\ncommand = x\nready = accept\nport = none at all\n",
	    "app.ini:4: port: \"none at all\" is not a port, a number from 0 "
	    "to 65535 is allowed\n");
	expect_errors("[a]\ncommand = x\nready = accept\nport = none\n"
	       "listen = none\n",
	    "app.ini:3: ready: \"accept\" needs a port or listen, and the "
	    "app has none; auto, notify or alive:DURATION is allowed\n");
	/* How long alive would take plays no part. */
	config_unref(expect_ok("[a]\ncommand = x\nready = accept\n"
	       "port = 80\nready_timeout = 10ms\n"));
}

static void
key_stop_signal(void **state)
{
	struct config *config;

	(void)state;
	GOOD("stop_signal", "TERM", "TERM");
	GOOD("stop_signal", "SIGTERM", "TERM");
	GOOD("stop_signal", "15", "TERM");
	GOOD("stop_signal", "KILL", "KILL");
	GOOD("stop_signal", "SIGWINCH", "WINCH");
	GOOD("stop_signal", "64", "64");
	BAD("stop_signal", "0", "\"0\" is not a signal, a name such as TERM, "
	    "INT, QUIT or USR1, or a number from 1 to 64 is allowed");
	BAD("stop_signal", "65", "\"65\" is not a signal, a name such as "
	    "TERM, INT, QUIT or USR1, or a number from 1 to 64 is allowed");
	BAD("stop_signal", "SIG", "\"SIG\" is not a signal, a name such as "
	    "TERM, INT, QUIT or USR1, or a number from 1 to 64 is allowed");
	BAD("stop_signal", "STOP", "STOP ends no process, a signal such as "
	    "TERM, INT, QUIT or USR1 is allowed");
	BAD("stop_signal", "SIGCONT", "SIGCONT ends no process, a signal such "
	    "as TERM, INT, QUIT or USR1 is allowed");
	BAD("stop_signal", "17", "17 ends no process, a signal such as TERM, "
	    "INT, QUIT or USR1 is allowed");
	config = expect_ok("[a]\ncommand = x\nstop_signal = SIGQUIT\n");
	assert_int_equal(config->apps[0].stop_signal, SIGQUIT);
	config_unref(config);
	/* There is none of nothing. */
	BAD("stop_signal", "none", "\"none\" is not a signal, a name such as "
	    "TERM, INT, QUIT or USR1, or a number from 1 to 64 is allowed");
}

#define DRAIN_SIGNAL "none, a name such as USR1 or WINCH, or a number from 1 " \
	"to 64 is allowed"

static void
key_drain_signal(void **state)
{
	struct config *config = expect_ok("[a]\ncommand = x\n"
	    "[b]\ncommand = x\ndrain_signal = USR1\n");

	(void)state;
	assert_int_equal(config->apps[0].drain_signal, 0);
	assert_int_equal(config->apps[1].drain_signal, SIGUSR1);
	config_unref(config);
	GOOD("drain_signal", "none", "none");
	GOOD("drain_signal", "SIGWINCH", "WINCH");
	GOOD("drain_signal", "34", "34");
	BAD("drain_signal", "0", "\"0\" is not a signal, " DRAIN_SIGNAL);
	BAD("drain_signal", "NONE", "\"NONE\" is not a signal, " DRAIN_SIGNAL);
	BAD("drain_signal", "KILL", "KILL tells a program nothing, "
	    DRAIN_SIGNAL);
	BAD("drain_signal", "STOP", "STOP tells a program nothing, "
	    DRAIN_SIGNAL);
}

static void
key_stop_words(void **state)
{
	struct config *config = expect_ok("[clusterd]\nstop_delay = 5s\n"
	    "[a]\ncommand = x\nstop_to = group\norphans = keep\n");

	(void)state;
	assert_int_equal(config->stop_delay_ms, 5000);
	assert_int_equal(config->apps[0].stop_to, CONF_STOP_TO_GROUP);
	assert_int_equal(config->apps[0].orphans, CONF_ORPHANS_KEEP);
	config_unref(config);
	config = expect_ok("[a]\ncommand = x\n");
	assert_int_equal(config->stop_delay_ms, 0);
	assert_int_equal(config->apps[0].stop_to, CONF_STOP_TO_PROCESS);
	assert_int_equal(config->apps[0].orphans, CONF_ORPHANS_STOP);
	config_unref(config);
	GOOD("stop_to", "process", "process");
	GOOD("orphans", "stop", "stop");
}

static void
key_stdout_and_stderr(void **state)
{
	(void)state;
	GOOD("stdout", "inherit", "inherit");
	GOOD("stdout", "null", "null");
	GOOD("stderr", "null", "null");
	GOOD("stdout", "prefix", "prefix");
	GOOD("stderr", "prefix", "prefix");
	GOOD("stdout", "/var/log/x", "/var/log/x");
	GOOD("stderr", "./null", "/etc/app/null");
	GOOD("stdout", "app.log", "/etc/app/app.log");
	/* Another place in each process: clusterd's own is meant. */
	GOOD("stdout", "/dev/stdout", "/dev/stdout");
	GOOD("stdout", "/dev/stderr", "/dev/stderr");
	GOOD("stderr", "/dev/stdout", "/dev/stdout");
	GOOD("stdout", "/dev/fd/1", "/dev/stdout");
	GOOD("stderr", "/dev/fd/2", "/dev/stderr");
	GOOD("stdout", "/proc/self/fd/1", "/dev/stdout");
	GOOD("stdout", "/proc/self/fd/2", "/dev/stderr");
	BAD("stdout", "/dev/fd/5", "\"/dev/fd/5\" is no place for output: of "
	    "clusterd's descriptors /dev/stdout and /dev/stderr are allowed");
	BAD("stderr", "/dev/stdin", "\"/dev/stdin\" is no place for output: of "
	    "clusterd's descriptors /dev/stdout and /dev/stderr are allowed");
	BAD("stdout", "nul", "\"nul\" is not known, did you mean null? "
	    "inherit, null, prefix or a path is allowed");
	BAD("stdout", "Prefix", "\"Prefix\" is not known, did you mean "
	    "prefix? inherit, null, prefix or a path is allowed");
	BAD("stdout", "", "\"\" is not known, inherit, null, prefix or a path "
	    "is allowed");
}

#define SIZES	"a size from 64K to 1024G, such as 512K, 10M or 2G, or none " \
		"is allowed"

static void
key_log_max_size(void **state)
{
	(void)state;
	GOOD("log_max_size", "64K", "64K");
	GOOD("log_max_size", "65536", "64K");
	GOOD("log_max_size", "65537", "65537");
	GOOD("log_max_size", "1024K", "1M");
	GOOD("log_max_size", "1500M", "1500M");
	GOOD("log_max_size", "2G", "2G");
	GOOD("log_max_size", "1024G", "1024G");
	GOOD("log_max_size", "none", "none");
	BAD("log_max_size", "63K", "\"63K\" is not valid, " SIZES);
	BAD("log_max_size", "1025G", "\"1025G\" is not valid, " SIZES);
	BAD("log_max_size", "99999999999999999999G",
	    "\"99999999999999999999G\" is not valid, " SIZES);
	BAD("log_max_size", "18446744073709551615G",
	    "\"18446744073709551615G\" is not valid, " SIZES);
	BAD("log_max_size", "0", "\"0\" is not valid, " SIZES);
	BAD("log_max_size", "-1M", "\"-1M\" is not valid, " SIZES);
	BAD("log_max_size", "1m", "\"1m\" is not valid, " SIZES);
	BAD("log_max_size", "1MB", "\"1MB\" is not valid, " SIZES);
	BAD("log_max_size", "1 M", "\"1 M\" is not valid, " SIZES);
	BAD("log_max_size", "M", "\"M\" is not valid, " SIZES);
	BAD("log_max_size", "", "\"\" is not valid, " SIZES);
}

static void
key_log_time(void **state)
{
	(void)state;
	GOOD("log_time", "none", "none");
	GOOD("log_time", "iso", "iso");
	BAD("log_time", "unix", "\"unix\" is not known, "
	    "none or iso is allowed");
}

static void
key_agent(void **state)
{
	(void)state;
	GOOD("agent", "none", "none");
	GOOD("agent", "127.0.0.1:9101", "127.0.0.1:9101");
	GOOD("agent", "unix:agent.sock", "unix:agent.sock");
	BAD("agent", "", "\"\" is not valid, PORT, IPV4:PORT, [IPV6]:PORT "
	    "or unix:PATH is allowed");
}

static void
key_log_keep(void **state)
{
	(void)state;
	GOOD("log_keep", "0", "0");
	GOOD("log_keep", "1000", "1000");
	BAD("log_keep", "1001", "\"1001\" is not valid, a number from 0 to "
	    "1000 is allowed");
	BAD("log_keep", "none", "\"none\" is not valid, a number from 0 to "
	    "1000 is allowed");
}

static void
a_file_of_several_streams(void **state)
{
	struct config *config = expect_ok("[a]\ncommand = x\nstdout = l\n"
	    "stderr = ./l\nlog_keep = 0\n[b]\ncommand = x\nstdout = l\n"
	    "log_keep = 0\nstderr = l.1\n");

	(void)state;
	assert_string_equal(config->apps[0].err.path, "/etc/app/l");
	config_unref(config);
	expect_errors("[a]\ncommand = x\nstdout = l\n[b]\ncommand = x\n"
	    "stderr = l\nlog_max_size = 11M\n[c]\ncommand = x\nlog_keep = 4\n"
	    "stdout = ../app/l\nuser = web\n",
	    "app.ini:6: stderr: \"/etc/app/l\" is the stdout of [a] on line 3 "
	    "too, but with another log_max_size; the same, or another path, "
	    "is allowed\n");
	expect_errors("[a]\ncommand = x\nstdout = l\nlog_keep = 1\n[b]\n"
	    "command = x\nstdout = l\n",
	    "app.ini:7: stdout: \"/etc/app/l\" is the stdout of [a] on line 3 "
	    "too, but with another log_keep; the same, or another path, is "
	    "allowed\n");
	expect_errors("[a]\ncommand = x\nstdout = l\n[b]\nuser = web\n"
	    "command = x\nstdout = l\n",
	    "app.ini:7: stdout: \"/etc/app/l\" is the stdout of [a] on line 3 "
	    "too, but with another user or group; the same, or another path, "
	    "is allowed\n");
	expect_errors("[a]\ncommand = x\nstdout = l\nstderr = p\n[clusterd]\n"
	    "log = l\npidfile = p\n",
	    "app.ini:3: stdout: \"/etc/app/l\" is the log of clusterd on line "
	    "6 already, another path is allowed\n"
	    "app.ini:4: stderr: \"/etc/app/p\" is the pidfile of clusterd on "
	    "line 7 already, another path is allowed\n");
	/* What a full one is renamed to. */
	expect_errors("[a]\ncommand = x\nstdout = l.5\nstderr = l.6\n[b]\n"
	    "command = x\nstdout = l\n",
	    "app.ini:3: stdout: \"/etc/app/l.5\" is where the stdout of [b] on "
	    "line 7 goes when it is full, another path is allowed\n");
	config = expect_ok("[a]\ncommand = x\nstdout = l.5\n[b]\n"
	    "command = x\nstdout = l\nlog_max_size = none\n");
	config_unref(config);
}

static void
key_control(void **state)
{
	char longest[CONF_CONTROL_PATH_MAX + 2];

	(void)state;
	expect_good("clusterd", "control", "auto", "auto");
	expect_good("clusterd", "control", "none", "none");
	expect_good("clusterd", "control", "/run/x.sock", "/run/x.sock");
	memset(longest, 'x', sizeof(longest));
	longest[0] = '/';
	longest[CONF_CONTROL_PATH_MAX] = '\0';
	expect_good("clusterd", "control", longest, longest);
	longest[CONF_CONTROL_PATH_MAX] = 'x';
	longest[CONF_CONTROL_PATH_MAX + 1] = '\0';
	expect_bad("clusterd", "control", longest, "\"/xxxxxxxxxxxxxxxxxxxx"
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\" and so on is too "
	    "long for a Unix socket, a path of 107 bytes is allowed");
	expect_bad("clusterd", "control", "",
	    "the path is empty, auto, none or a path is needed");
}

static void
key_control_group(void **state)
{
	(void)state;
	expect_good("clusterd", "control_group", "none", "none");
	expect_bad("clusterd", "control_group", "a b",
	    "\"a b\" is not valid, the name or number of a group is "
	    "allowed");
	expect_good("clusterd", "control_group", "www", "www");
	expect_bad("clusterd", "control_group", "nobody",
	    "group \"nobody\" does not exist");
}

static void
key_on_event(void **state)
{
	struct config *config;
	char *errors;

	(void)state;
	expect_good("clusterd", "on_event", "none", "none");
	expect_bad("clusterd", "on_event", "'a", "a single quote (') is not closed");
	expect_bad("clusterd", "on_event_user", "a b",
	    "\"a b\" is not valid, the name or number of a user is allowed");
	/* Of a user that is not needed nobody asks. */
	config = expect_ok("[clusterd]\non_event_user = wbe\n"
	    "[a]\ncommand = x\n");
	assert_int_equal(config->on_event.n, 0);
	assert_false(config->on_event_creds.set);
	config_unref(config);
	config = expect_ok("[clusterd]\non_event = ./tell {app} 'x y'\n"
	    "\tport = 1\non_event_user = web\n[a]\ncommand = x\n");
	assert_int_equal(config->on_event.n, 4);
	assert_string_equal(config->on_event.v[0], "/etc/app/tell");
	assert_string_equal(config->on_event.v[2], "x y");
	assert_true(config->on_event_creds.set);
	assert_int_equal(config->on_event_creds.uid, 33);
	config_unref(config);
	/* Nor of the default one, by who may become nobody else. */
	config = check_at(&humble_host, "[clusterd]\non_event = x\n"
	    "[a]\ncommand = x\n", &errors);
	assert_non_null(config);
	assert_string_equal(errors, "");
	assert_false(config->on_event_creds.set);
	config_unref(config);
	free(errors);
	config = check_at(&humble_host, "[clusterd]\non_event = x\n"
	    "on_event_user = web\n[a]\ncommand = x\n", &errors);
	assert_null(config);
	assert_string_equal(errors, "app.ini:3: on_event_user: \"web\": it "
	    "takes root to run as somebody else\n");
	free(errors);
}

/* ---- sections and keys as such ---- */

static void
unknown_keys(void **state)
{
	(void)state;
	expect_errors("[clusterd]\nlog_levle = info\nport = 80\nfoo = 1\n"
	       "[web]\ncommand = x\nrestart_dealy = 1\nPort = 80\n"
	       "restart-limit = 5/1s\nworkers = 4\npidfile = x\nx = 1\n"
	       "clusterd = 1\n",
	    "app.ini:2: log_levle: unknown key, did you mean log_level?\n"
	    "app.ini:3: port: is not a key of [clusterd], it belongs into an "
	    "app's section\n"
	    "app.ini:4: foo: unknown key, see clusterd.ini(5) for those that "
	    "are allowed\n"
	    "app.ini:7: restart_dealy: unknown key, did you mean "
	    "restart_delay?\n"
	    "app.ini:8: Port: unknown key, did you mean port?\n"
	    "app.ini:9: restart-limit: unknown key, did you mean "
	    "restart_limit?\n"
	    "app.ini:10: workers: unknown key, here it is instances\n"
	    "app.ini:11: pidfile: is not a key of an app, it belongs into the "
	    "section [clusterd]\n"
	    "app.ini:12: x: unknown key, see clusterd.ini(5) for those that "
	    "are allowed\n"
	    "app.ini:13: clusterd: unknown key, see clusterd.ini(5) for those "
	    "that are allowed\n");
}

static void
a_near_miss_of_the_other_section(void **state)
{
	(void)state;
	expect_errors("[clusterd]\nprot = 80\ncomand = x\n"
	       "[web]\ncommand = x\nlog_levle = info\npid-file = x\n",
	    "app.ini:2: prot: unknown key, did you mean port? it belongs into "
	    "an app's section\n"
	    "app.ini:3: comand: unknown key, did you mean command? it belongs "
	    "into an app's section\n"
	    "app.ini:6: log_levle: unknown key, did you mean log_level? it "
	    "belongs into the section [clusterd]\n"
	    "app.ini:7: pid-file: unknown key, did you mean pidfile? it "
	    "belongs into the section [clusterd]\n");
}

static const char *
near_of(const char *text, const char *word)
{
	const char *best = NULL;
	unsigned distance = CONF_NEAR_INIT;

	conf_near(text, word, &best, &distance);
	return best;
}

/* Two letters at most, and a third of them. */
static void
a_near_miss_is_near(void **state)
{
	(void)state;
	assert_non_null(near_of("LOG", "log"));
	assert_non_null(near_of("lgo", "log"));
	assert_non_null(near_of("lo", "log"));
	assert_null(near_of("foo", "log"));
	assert_null(near_of("o", "log"));
	assert_null(near_of("", "log"));
	assert_non_null(near_of("prot", "port"));
	assert_null(near_of("sort-", "port"));
	assert_null(near_of("litsne", "users"));
	assert_non_null(near_of("lisetn", "listen"));
	assert_non_null(near_of("comad", "command"));
	assert_null(near_of("coma", "command"));
	assert_non_null(near_of("restart_dlya", "restart_delay"));
	assert_null(near_of("restart_dly_", "restart_delay"));
	assert_null(near_of("restart", "restart_delay"));
	assert_null(near_of("a_word_that_is_longer_than_any_of_ours",
	    "a_word_that_is_longer_than_any_of_ours"));
}

/* Also behind more errors than are shown, and in little time. */
static void
very_many_unknown_keys(void **state)
{
	struct strbuf text = STRBUF_INIT;
	struct conf_source source;
	struct conf_errors errors = { .file = "app.ini" };
	struct config *config;

	(void)state;
	strbuf_puts(&text, "[web]\n");
	for (unsigned i = 0; i < 60000; i++)
		strbuf_puts(&text, "restart_delay_minimum = 1\n");
	strbuf_puts(&text, "log_levle = info\n");
	assert_int_equal(conf_read(text.text, text.len, &source, &errors), 0);
	assert_int_equal(conf_check(&source, &host, &config, &errors), 0);
	assert_null(config);
	conf_errors_sort(&errors);
	assert_int_equal(errors.n, CONF_ERRORS_MAX);
	/* The first line is that of the missing command. */
	assert_string_equal(errors.v[0].text, "app.ini:1: command: missing in "
	    "section [web], every app needs one");
	assert_int_equal(errors.v[99].line, 100);
	assert_int_equal(errors.dropped, 60002 - CONF_ERRORS_MAX);
	conf_source_free(&source);
	conf_errors_free(&errors);
	strbuf_free(&text);
}

static void
duplicate_keys(void **state)
{
	(void)state;
	expect_errors("[a]\ncommand = x\nport = 80\nport = 81\nport = 82\n",
	    "app.ini:4: port: duplicate key, the first is on line 3\n"
	    "app.ini:5: port: duplicate key, the first is on line 3\n");
}

static void
duplicate_sections(void **state)
{
	(void)state;
	/* No second command is asked for, no address counted twice. */
	expect_errors("[clusterd]\npidfile = a\n[a]\ncommand = x\nport = 80\n"
	       "[a]\nport = 80\nfoo = 1\n[clusterd]\npidfile = b\n",
	    "app.ini:6: [a] is a duplicate section, the first is on line 3\n"
	    "app.ini:8: foo: unknown key, see clusterd.ini(5) for those that "
	    "are allowed\n"
	    "app.ini:9: [clusterd] is a duplicate section, the first is on "
	    "line 1\n");
}

static void
an_app_is_needed(void **state)
{
	(void)state;
	expect_errors("", "app.ini: no app is configured: a section such as "
	    "[web] with a command is needed\n");
	expect_errors("# empty\n[clusterd]\nlog_level = debug\n",
	    "app.ini: no app is configured: a section such as [web] with a "
	    "command is needed\n");
	expect_errors("port = 80\n", "app.ini: no app is configured: a "
	    "section such as [web] with a command is needed\n"
	    "app.ini:1: port: stands before any section, a [NAME] is needed "
	    "above it\n");
}

static void
command_is_needed(void **state)
{
	(void)state;
	expect_errors("[a]\ncommand = x\n\n[web]\nport = 80\n[b]\n",
	    "app.ini:4: command: missing in section [web], every app needs "
	    "one\n"
	    "app.ini:6: command: missing in section [b], every app needs "
	    "one\n");
}

/* The sample of the manual: syntax and values, in the order of the lines. */
static void
all_errors_in_one_pass(void **state)
{
	(void)state;
	expect_errors("[clusterd]\n"			/* 1 */
	       "log_level = loud\n"
	       "log_format = jsn\n"
	       "\n"
	       "# the web server\n"
	       "[web\n"
	       "command ./server\n"
	       "port = 70000\n"
	       "listen = 8080, [::1]\n"
	       "    localhost:80\n"			/* 10 */
	       "restart_dealy = 1s\n"
	       "restart = alwys\n"
	       "instances = 0\n"
	       "user = nobody2\n"
	       "balance = randon\n"
	       "env_file = env\n"
	       "\x07\n"
	       "[Api]\n"
	       "command = 'x\n"
	       "port = 80\n"				/* 20 */
	       "port = 81\n"
	       "[web] # again\n"
	       "ready = alive:2m\n",
	    "app.ini:2: log_level: \"loud\" is not known, error, warning, "
	    "info or debug is allowed\n"
	    "app.ini:3: log_format: \"jsn\" is not known, did you mean json? "
	    "text or json is allowed\n"
	    "app.ini:6: \"[web\" has no ], [NAME] is needed\n"
	    "app.ini:6: command: missing in section [web], every app needs "
	    "one\n"
	    "app.ini:7: \"command ./server\" has no =, KEY = VALUE is "
	    "needed\n"
	    "app.ini:8: port: \"70000\" is not a port, a number from 0 to "
	    "65535 is allowed\n"
	    "app.ini:9: listen: \"[::1]\" has no port, [IPV6]:PORT is "
	    "allowed\n"
	    "app.ini:10: listen: \"localhost:80\": \"localhost\" is not an "
	    "address, names are not looked up, PORT, IPV4:PORT, [IPV6]:PORT "
	    "(udp: before it for UDP) or unix:PATH is allowed\n"
	    "app.ini:11: restart_dealy: unknown key, did you mean "
	    "restart_delay?\n"
	    "app.ini:12: restart: \"alwys\" is not known, did you mean "
	    "always? always, on-failure or never is allowed\n"
	    "app.ini:13: instances: \"0\" is not valid, " INSTANCES "\n"
	    "app.ini:14: user: user \"nobody2\" does not exist\n"
	    "app.ini:15: balance: \"randon\" is not known, did you mean "
	    "random? " BALANCES "\n"
	    "app.ini:16: env_file: cannot read /etc/app/env: No such file or "
	    "directory\n"
	    "app.ini:17: the line holds the control byte 0x07, text and tabs "
	    "are allowed\n"
	    "app.ini:18: [Api] is not a section name, up to 32 of a-z, 0-9, _ "
	    "and - are allowed, a letter or digit first\n"
	    "app.ini:19: command: a single quote (') is not closed\n"
	    "app.ini:21: port: duplicate key, the first is on line 20\n"
	    "app.ini:22: text behind [web], a comment needs a line of its "
	    "own\n"
	    "app.ini:22: [web] is a duplicate section, the first is on line "
	    "6\n"
	    "app.ini:23: ready: alive:2m never comes, it must be shorter than "
	    "ready_timeout, which is 1m\n");
}

static void
defaults(void **state)
{
	struct config *config = expect_ok("[web]\ncommand = server\n");
	const struct conf_app *app = &config->apps[0];

	(void)state;
	assert_int_equal(config->refs, 1);
	assert_int_equal(config->n_apps, 1);
	assert_int_equal(config->log_level, CONF_LOG_INFO);
	assert_int_equal(config->log_format, CONF_LOG_TEXT);
	assert_null(config->log);
	assert_null(config->pidfile);
	assert_string_equal(app->name, "web");
	assert_int_equal(app->line, 1);
	assert_int_equal(app->command.n, 1);
	assert_string_equal(app->command.v[0], "server");
	assert_int_equal(app->n_listens, 0);
	assert_false(app->has_port);
	assert_int_equal(app->socket_mode, 0660);
	assert_null(app->socket_user);
	assert_int_equal(app->socket_uid, UINT32_MAX);
	assert_int_equal(app->backlog, 4096);
	assert_int_equal(app->instances_kind, CONF_INSTANCES_AUTO);
	assert_int_equal(app->handoff, CONF_HANDOFF_AUTO);
	assert_int_equal(app->fd_protocols, 0);
	assert_null(app->directory);
	assert_int_equal(app->umask, -1);
	assert_int_equal(app->env.n, 0);
	assert_null(app->env_file);
	assert_true(app->limit_nofile == -1);
	assert_null(app->user);
	assert_false(app->creds.set);
	assert_int_equal(app->restart, CONF_RESTART_ALWAYS);
	assert_int_equal(app->restart_delay_ms, 100);
	assert_int_equal(app->restart_delay_max_ms, 30000);
	assert_int_equal(app->restart_reset_ms, 10000);
	assert_int_equal(app->restart_limit, 0);
	assert_true(conf_app_success_code(app, 0));
	assert_false(conf_app_success_code(app, 1));
	assert_int_equal(app->ready, CONF_READY_AUTO);
	assert_int_equal(app->ready_timeout_ms, 60000);
	assert_int_equal(app->stop_signal, SIGTERM);
	assert_int_equal(app->stop_timeout_ms, 10000);
	assert_int_equal(app->drain_timeout_ms, 10000);
	assert_int_equal(app->drain_idle_ms, 5000);
	assert_int_equal(app->max_surge, 1);
	assert_int_equal(app->canary_ms, 1000);
	assert_int_equal(app->out.kind, CONF_OUTPUT_INHERIT);
	assert_int_equal(app->err.kind, CONF_OUTPUT_INHERIT);
	assert_true(app->log_max_size == 10 << 20);
	assert_int_equal(app->log_keep, 5);
	assert_int_equal(app->log_time, CONF_LOG_TIME_NONE);
	assert_null(app->agent);
	config_unref(config);
}

static void
port_comes_before_listen(void **state)
{
	struct config *config = expect_ok("[a]\ncommand = x\n"
	       "listen = 81, unix:s\nport = 80\n[b]\ncommand = y\n"
	       "listen = 82\n");

	(void)state;
	assert_int_equal(config->apps[0].n_listens, 3);
	assert_true(config->apps[0].has_port);
	assert_int_equal(config->apps[0].listens[0].port, 80);
	assert_int_equal(config->apps[0].listens[1].port, 81);
	assert_string_equal(config->apps[0].listens[2].path, "/etc/app/s");
	assert_false(config->apps[1].has_port);
	assert_ptr_equal(config_find_app(config, "b"), &config->apps[1]);
	assert_null(config_find_app(config, "c"));
	config_unref(config);
}

static void
a_config_is_shared_by_reference(void **state)
{
	struct config *config = expect_ok("[a]\ncommand = x\n");

	(void)state;
	assert_ptr_equal(config_ref(config), config);
	config_unref(config);
	assert_string_equal(config->apps[0].name, "a");
	config_unref(config);
	config_unref(NULL);
}

/* ---- a source from the command line ---- */

static void
a_source_by_hand(void **state)
{
	struct conf_source source = { .sections = NULL };
	struct conf_errors errors = { .file = "command line" };
	struct config *config;
	char *text;

	(void)state;
	conf_source_add_section(&source, "web", 0);
	conf_source_add_entry(&source, 0, "command", "./x $'a\\nb' 'c\nd'");
	conf_source_add_entry(&source, 0, "port", "80");
	assert_int_equal(conf_check(&source, &host, &config, &errors), 0);
	assert_non_null(config);
	assert_string_equal(config->apps[0].command.v[0], "/etc/app/x");
	assert_string_equal(config->apps[0].command.v[1], "a\nb");
	assert_string_equal(config->apps[0].command.v[2], "c\nd");
	config_unref(config);

	conf_source_add_section(&source, "web", 0);
	conf_source_add_entry(&source, 0, "instances", "x\n");
	conf_source_add_section(&source, "Web", 0);
	conf_source_add_entry(&source, 0, "command", "x");
	assert_int_equal(conf_check(&source, &host, &config, &errors), 0);
	assert_null(config);
	text = join_errors(&errors);
	assert_string_equal(text,
	    "command line: [web] is a duplicate section\n"
	    "command line: instances: \"x?\" is not valid, " INSTANCES "\n"
	    "command line: \"Web\" is not a name for an app, up to 32 of a-z, "
	    "0-9, _ and - are allowed, a letter or digit first\n");
	free(text);
	conf_errors_free(&errors);
	conf_source_free(&source);
}

/* ---- the schema ---- */

static void
every_row_is_whole(void **state)
{
	size_t n;
	const struct conf_key *schema = conf_schema(&n);

	(void)state;
	assert_int_equal(n, CONF_KEY_N);
	for (size_t i = 0; i < n; i++) {
		const struct conf_key *key = &schema[i];

		assert_non_null(key->name);
		assert_ptr_equal(conf_schema_find(key->scope, key->name), key);
		assert_true(key->preset != NULL || i == CONF_KEY_COMMAND);
		assert_true(key->allowed != NULL || key->words != NULL);
		if (key->type == CONF_TYPE_ENUM)
			assert_non_null(key->words);
	}
}

/* clusterd's own streams are its log: raw lines have no place there. */
static void
test_into_log(void **state)
{
	static const struct {
		const char *said;
		enum conf_output_kind kind, in_log;
	} table[] = {
		{ "inherit", CONF_OUTPUT_INHERIT, CONF_OUTPUT_PREFIX },
		{ "/dev/stdout", CONF_OUTPUT_STDOUT, CONF_OUTPUT_PREFIX },
		{ "/dev/stderr", CONF_OUTPUT_STDERR, CONF_OUTPUT_PREFIX },
		{ "prefix", CONF_OUTPUT_PREFIX, CONF_OUTPUT_PREFIX },
		{ "null", CONF_OUTPUT_NULL, CONF_OUTPUT_NULL },
		{ "web.log", CONF_OUTPUT_FILE, CONF_OUTPUT_FILE },
	};
	struct conf_host at = host;

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(table) / sizeof(*table); i++) {
		char text[256], *errors = NULL;
		enum conf_output_kind kind = i % 2 != 0 ? table[i / 2].in_log :
		    table[i / 2].kind;
		struct config *config;

		snprintf(text, sizeof(text), "[web]\ncommand = x\nstdout = %s\n"
		    "stderr = %s\n", table[i / 2].said, table[i / 2].said);
		at.into_log = i % 2 != 0;
		config = check_at(&at, text, &errors);
		assert_non_null(config);
		assert_int_equal(config->apps[0].out.kind, kind);
		assert_int_equal(config->apps[0].err.kind, kind);
		config_unref(config);
		free(errors);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(key_log_level),
		cmocka_unit_test(key_log_format),
		cmocka_unit_test(key_log),
		cmocka_unit_test(key_pidfile),
		cmocka_unit_test(log_and_pidfile_are_two_files),
		cmocka_unit_test(paths_are_normalised),
		cmocka_unit_test(key_command),
		cmocka_unit_test(an_indented_key_below_command_is_told),
		cmocka_unit_test(braces_need_their_listener),
		cmocka_unit_test(brace_fd_needs_a_handoff),
		cmocka_unit_test(brace_fd_is_for_env_too),
		cmocka_unit_test(brace_env_needs_its_variable),
		cmocka_unit_test(key_port),
		cmocka_unit_test(key_listen),
		cmocka_unit_test(too_many_listeners),
		cmocka_unit_test(an_address_has_one_app),
		cmocka_unit_test(key_socket_owner),
		cmocka_unit_test(key_backlog),
		cmocka_unit_test(key_instances),
		cmocka_unit_test(key_instances_of_a_range),
		cmocka_unit_test(the_number_of_instances),
		cmocka_unit_test(the_most_instances),
		cmocka_unit_test(key_balance),
		cmocka_unit_test(key_handoff),
		cmocka_unit_test(key_fd_protocol),
		cmocka_unit_test(protocols_of_each_handoff),
		cmocka_unit_test(protocols_that_cannot_say_it),
		cmocka_unit_test(names_of_listeners),
		cmocka_unit_test(key_directory_and_umask),
		cmocka_unit_test(a_path_is_limited),
		cmocka_unit_test(key_env),
		cmocka_unit_test(key_env_has_a_stated_number_of_entries),
		cmocka_unit_test(env_names_of_clusterd_are_refused),
		cmocka_unit_test(key_env_file),
		cmocka_unit_test(an_env_file_may_begin_with_a_byte_order_mark),
		cmocka_unit_test(an_env_file_is_limited),
		cmocka_unit_test(env_file_errors_keep_secrets),
		cmocka_unit_test(key_limit_nofile),
		cmocka_unit_test(key_user_and_group),
		cmocka_unit_test(every_account_is_asked_for_in_the_first_round),
		cmocka_unit_test(an_account_without_the_right_to_it_is_named),
		cmocka_unit_test(an_account_that_is_not_known_yet_is_no_error),
		cmocka_unit_test(key_restart),
		cmocka_unit_test(durations),
		cmocka_unit_test(keys_of_durations),
		cmocka_unit_test(key_drain_idle),
		cmocka_unit_test(key_max_surge),
		cmocka_unit_test(key_canary),
		cmocka_unit_test(durations_that_belong_together),
		cmocka_unit_test(key_restart_limit),
		cmocka_unit_test(key_success_codes),
		cmocka_unit_test(key_health),
		cmocka_unit_test(key_ready),
		cmocka_unit_test(ready_accept_needs_a_listener),
		cmocka_unit_test(key_stop_signal),
		cmocka_unit_test(key_drain_signal),
		cmocka_unit_test(key_stop_words),
		cmocka_unit_test(key_stdout_and_stderr),
		cmocka_unit_test(key_log_max_size),
		cmocka_unit_test(key_log_keep),
		cmocka_unit_test(key_log_time),
		cmocka_unit_test(key_agent),
		cmocka_unit_test(a_file_of_several_streams),
		cmocka_unit_test(key_control),
		cmocka_unit_test(key_control_group),
		cmocka_unit_test(key_on_event),
		cmocka_unit_test(unknown_keys),
		cmocka_unit_test(a_near_miss_of_the_other_section),
		cmocka_unit_test(a_near_miss_is_near),
		cmocka_unit_test(very_many_unknown_keys),
		cmocka_unit_test(duplicate_keys),
		cmocka_unit_test(duplicate_sections),
		cmocka_unit_test(an_app_is_needed),
		cmocka_unit_test(command_is_needed),
		cmocka_unit_test(all_errors_in_one_pass),
		cmocka_unit_test(defaults),
		cmocka_unit_test(port_comes_before_listen),
		cmocka_unit_test(a_config_is_shared_by_reference),
		cmocka_unit_test(a_source_by_hand),
		cmocka_unit_test(test_into_log),
		cmocka_unit_test(every_row_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
