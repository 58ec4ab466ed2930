/* What the real programs make of these files is in the comments of the importers. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/import/draft.h"
#include "core/import/import.h"

static const char *file_there;	/* the only one */

static bool
is_file(void *ctx, const char *path)
{
	(void)ctx;
	return file_there != NULL && strcmp(path, file_there) == 0;
}

static char *
import(enum import_from from, const char *dir, const char *text,
    struct strlist *wrong)
{
	const struct import_host host = { .is_file = is_file, .dir = dir };
	struct import_result res;
	struct error err = ERROR_INIT;

	if (import_text(from, "FILE", text, strlen(text), &host, &res, wrong,
	    &err) < 0)
		fail_msg("%s", error_text(&err));
	return res.text;
}

/* Is each line, up to NULL, in the result, which has no error? Those that begin
   with a ! are not. */
static void
expect(enum import_from from, const char *text, const char *const *lines)
{
	struct strlist wrong = STRLIST_INIT;
	char *all = import(from, ".", text, &wrong);

	if (wrong.n > 0)
		fail_msg("%s in\n%s", wrong.v[0], all);
	for (; *lines != NULL; lines++) {
		struct strbuf line = STRBUF_INIT;
		bool not = **lines == '!';

		strbuf_printf(&line, "\n%s\n", *lines + not);
		if ((strstr(all, line.text) != NULL) == not)
			fail_msg("%s: \"%s\" in\n%s", not ? "unexpected" :
			    "missing", *lines + not, all);
		strbuf_free(&line);
	}
	free(all);
}

#define LINES(...) ((const char *const []){ __VA_ARGS__, NULL })

static void
refuse(enum import_from from, const char *text, const char *words)
{
	const struct import_host host = { .is_file = is_file, .dir = "." };
	struct import_result res;
	struct strlist wrong = STRLIST_INIT;
	struct error err = ERROR_INIT;

	assert_int_equal(import_text(from, "FILE", text, strlen(text), &host,
	    &res, &wrong, &err), -EINVAL);
	assert_string_equal(error_text(&err), words);
	error_clear(&err);
}

/* ---- PM2 ---- */

static void
pm2_carries_over(void **state)
{
	(void)state;
	expect(IMPORT_PM2,
	    "{ \"apps\": [{ // one\n"
	    "\"name\": \"web\", \"script\": \"dist/main.js\",\n"
	    "\"cwd\": \"/srv/web\", \"instances\": \"max\",\n"
	    "\"node_args\": \"--inspect=0 -r './a b'\",\n"
	    "\"args\": [\"serve\", 5, true, \"it's\"],\n"
	    "\"env\": { \"PORT\": \"3000\", \"N\": 1.5, \"NO\": null, },\n"
	    "\"autorestart\": false, \"kill_timeout\": 3000,\n"
	    "\"listen_timeout\": 8000, \"error_file\": \"e.log\",\n"
	    "\"out_file\": \"/dev/null\", \"time\": true, /* last */\n"
	    "}], }",
	    LINES("[web]", "command = node --inspect=0 -r './a b' dist/main.js "
	    "serve 5 true 'it'\\''s'", "directory = /srv/web",
	    "instances = auto", "port = 3000", "restart = never",
	    "stop_timeout = 3000ms", "ready_timeout = 8000ms",
	    "stdout = null", "stderr = /srv/web/e.log", "log_time = iso",
	    "stop_signal = INT", "env =", "    N=1.5", "    NO=null",
	    "!    PORT=3000"));
}

static void
pm2_numbers_and_words(void **state)
{
	(void)state;
	expect(IMPORT_PM2, "[{\"script\": \"a.py\", \"instances\": \"50%\", "
	    "\"args\": \"f\\\\ g\", \"max_memory_restart\": \"1G\", "
	    "\"kill_timeout\": \"3s\", \"restart_delay\": 40000, "
	    "\"stop_exit_codes\": 7}]",
	    LINES("[a]", "command = python3 a.py 'f\\' g", "instances = 50",
	    "# instances = 50%: PM2 takes the number in front",
	    "max_memory = 1G", "# kill_timeout = 3s: PM2 takes a number of milliseconds "
	    "alone", "restart_delay = 40000ms", "restart_delay_max = 40000ms",
	    "restart = on-failure", "success_codes = 7", "directory = ."));
	expect(IMPORT_PM2, "{\"script\": \"a.sh\", \"instances\": 0}",
	    LINES("command = bash a.sh", "instances = auto"));
	expect(IMPORT_PM2, "{\"script\": \"./a.js\"}",
	    LINES("command = node ./a.js", "instances = 1"));
}

static void
pm2_who_runs_the_script(void **state)
{
	(void)state;
	expect(IMPORT_PM2, "{\"script\": \"npm\", \"args\": \"start\"}",
	    LINES("[npm]", "command = npm start"));
	file_there = "server";
	expect(IMPORT_PM2, "{\"script\": \"server\"}",
	    LINES("command = node server"));
	expect(IMPORT_PM2, "{\"script\": \"server\", "
	    "\"interpreter\": \"none\"}", LINES("command = ./server"));
	file_there = NULL;
	expect(IMPORT_PM2, "{\"script\": \"bin/www\"}",
	    LINES("[www]", "command = node bin/www"));
	expect(IMPORT_PM2, "{\"script\": \"./srv\", \"cwd\": \"app\", "
	    "\"interpreter\": \"none\"}", LINES("command = app/./srv",
	    "directory = app"));
	expect(IMPORT_PM2, "{\"script\": \"echo hi > f; sleep 9\"}",
	    LINES("command = bash -c 'echo hi > f; sleep 9'"));
}

static void
pm2_names(void **state)
{
	(void)state;
	expect(IMPORT_PM2, "[{\"script\": \"x\", \"name\": \"My App!\"}, "
	    "{\"script\": \"x\", \"name\": \"my-app-\"}, "
	    "{\"script\": \"x\", \"name\": \"clusterd\"}, "
	    "{\"script\": \"x\", \"name\": \"\\u00e9\"}]",
	    LINES("[my-app-]", "[my-app--2]", "[clusterd-2]", "[app]"));
}

static void
what_cannot_be_written_is_a_comment(void **state)
{
	(void)state;
	expect(IMPORT_PM2, "{\"script\": \"x\", \"env\": {\"A\": \"1\\n2\", "
	    "\"B\": \" x\", \"NODE_UNIQUE_ID\": \"1\", \"bad name\": 1, "
	    "\"CLUSTERD_FD\": 3, \"C\": \"3\"}, \"uid\": \"a b\"}",
	    LINES("# A = 1?2: such a variable cannot be written in env; in a "
	    "file of env_file it", "    C=3", "!    A=1", "!    B= x",
	    "# user = a b: user: \"a b\" is not valid, the name or number of a "
	    "user is", "!user = a b"));
}

/* A .json file is JavaScript to PM2, as its own examples are. */
static void
pm2_in_javascript(void **state)
{
	(void)state;
	expect(IMPORT_PM2,
	    "{ apps : [{ name: 'web', script: 'npm', args: 'run it\\'s',\n"
	    "cwd: '/srv', node_args: '--x', env: { A_1: \"it's\" }, $x: 1 }] }",
	    LINES("[web]", "command = npm run its", "directory = /srv",
	    "# node_args = --x: PM2 has no use for it without an interpreter",
	    "    A_1=it's", "# $x = 1: PM2 does not know it either"));
}

static void
pm2_is_refused(void **state)
{
	(void)state;
	refuse(IMPORT_PM2, "{}", "there is no app: { \"apps\": [ ... ] } is "
	    "needed");
	refuse(IMPORT_PM2, "{ \"apps\": [\n1 ] }", "line 2: an app is an "
	    "object");
	refuse(IMPORT_PM2, "{ \"a\": 1\n \"b\" }", "line 2: a comma or } is "
	    "missing");
	refuse(IMPORT_PM2, "{ 1: 1 }", "line 1: a name is needed here");
	refuse(IMPORT_PM2, "{ a-b: 1 }", "line 1: a colon is missing");
	refuse(IMPORT_PM2, "{ a: b }", "line 1: a value is needed: text stands "
	    "in quotes");
	refuse(IMPORT_PM2, "['a\"]", "line 1: a string without an end on "
	    "its line");
	refuse(IMPORT_PM2, "[\"a\nb\"]", "line 1: a string without an end on "
	    "its line");
	refuse(IMPORT_PM2, "[01]", "line 1: a value is needed: text stands in "
	    "quotes");
	refuse(IMPORT_PM2, "[] x", "line 1: there is more behind the end");
	refuse(IMPORT_PM2, "[ /* ", "line 1: a comment without an end");
	refuse(IMPORT_PM2, "[\"\\ud800\"]", "line 1: a character that no text "
	    "may have");
	refuse(IMPORT_PM2, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "line 1: too "
	    "deep");
}

static void
an_app_without_a_command_is_told(void **state)
{
	struct strlist wrong = STRLIST_INIT;
	char *text = import(IMPORT_PM2, ".", "{\"apps\": {\"name\": \"x\"}}",
	    &wrong);

	(void)state;
	assert_int_equal(wrong.n, 1);
	assert_non_null(strstr(wrong.v[0], "command: missing in section [x]"));
	strlist_free(&wrong);
	free(text);
}

/* ---- supervisord ---- */

static void
supervisord_carries_over(void **state)
{
	(void)state;
	expect(IMPORT_SUPERVISORD,
	    "[program:web]\n"
	    "Command=/bin/cat 'a b' \"c\\\"d\" $HOME %(ENV_X)s 5%%\n"
	    "    --more  ; comment\n"
	    "numprocs=3\nautorestart=true\nexitcodes=0,2\nstopwaitsecs=20\n"
	    "startsecs=5\nstopasgroup=true\nuser=www\numask=022\n"
	    "stdout_logfile=/var/log/%(program_name)s.log # where\n"
	    "redirect_stderr=true\nstdout_logfile_maxbytes=10 mb\n"
	    "stdout_logfile_backups=3\nstopsignal=QUIT\n",
	    LINES("[web]", "command = /bin/cat 'a b' 'c\"d' '$HOME' {env:X} 5% "
	    "--more", "instances = 3", "restart = always",
	    "success_codes = 0 2", "stop_timeout = 20s", "ready = alive:5s",
	    "stop_to = group", "user = www", "umask = 022",
	    "stdout = /var/log/{app}.log", "stderr = /var/log/{app}.log",
	    "log_max_size = 10M", "log_keep = 3", "stop_signal = QUIT"));
}

static void
supervisord_environment(void **state)
{
	(void)state;
	expect(IMPORT_SUPERVISORD, "[program:a]\ncommand=x\n"
	    "environment=A=\"1,2\",B='x y',C=http://h/?a=b,D=\"\","
	    "E=%(process_num)d,F=one two,\n",
	    LINES("    A=1,2", "    B=x y", "    C=http://h/", "    D=",
	    "    E={instance}", "    F=one"));
	/* A comment may begin within quotes. */
	expect(IMPORT_SUPERVISORD, "[program:a]\ncommand=x\n"
	    "environment=A=\"1 ;2\"\n", LINES("    A=1"));
	expect(IMPORT_SUPERVISORD, "[program:a]\ncommand=x;y\n",
	    LINES("command = 'x;y'"));
}

static void
supervisord_sections(void **state)
{
	(void)state;
	expect(IMPORT_SUPERVISORD, "[supervisord]\nlogfile=/x\n"
	    "[program:a]\ncommand=x\n[include]\nfiles=*.conf\n"
	    "[program:a]\nCOMMAND=y\nautostart=false\n[group:g]\n",
	    LINES("command = y", "!command = x", "# [supervisord] logfile = "
	    "/x: here it is log", "# autostart = false: here every app of the "
	    "file starts", "# [group:g]: there are no groups of apps here",
	    /* Whose defaults they are. */
	    "restart = on-failure", "instances = 1"));
	expect(IMPORT_SUPERVISORD, "[program:a]\ncommand=%(here)s/x.sh %(n)s\n"
	    "directory=%(here)s\n", LINES("directory = .",
	    "command = ./x.sh '%(n)s'", "# command = %(here)s/x.sh %(n)s: it has "
	    "an expansion that there is not here"));
	refuse(IMPORT_SUPERVISORD, "[x]\na = 1\n", "there is no "
	    "[program:NAME]");
	refuse(IMPORT_SUPERVISORD, "[program:a]\nnothing\n", "line 2: neither "
	    "a [section] nor KEY = VALUE below one");
}

/* ---- Procfile ---- */

static void
procfile_carries_over(void **state)
{
	(void)state;
	file_there = ".env";
	expect(IMPORT_PROCFILE, "# all\nweb: bin/server -p $PORT ${PORT}\n"
	    "worker:node w.js\nshell: cd x && node $A\n"
	    "quoted: ./x 'a b' $PORTS\n my.app: x\n",
	    LINES("[web]", "command = bin/server -p {port} {port}",
	    "port = 5000", "[worker]", "command = node w.js", "!port = 5100",
	    "[shell]", "command = sh -c 'cd x && node $A'", "[quoted]",
	    "command = sh -c 'exec ./x '\\''a b'\\'' $PORTS'",
	    "env_file = .env", "#  my.app: x: no line of a process, NAME: "
	    "COMMAND from the first column on"));
	file_there = NULL;
	expect(IMPORT_PROCFILE, "a: x\nb: y $PORT\n", LINES("port = 5100",
	    "!env_file = .env"));
	refuse(IMPORT_PROCFILE, "nothing\n", "there is no process: NAME: "
	    "COMMAND is needed");
}

/* ---- all ---- */

static void
paths_lead_to_the_other_file(void **state)
{
	struct strlist wrong = STRLIST_INIT;
	char *text = import(IMPORT_PM2, "/srv/old", "{\"script\": \"./a\", "
	    "\"interpreter\": \"none\", \"cwd\": \"in\", \"out_file\": \"o\"}",
	    &wrong);

	(void)state;
	assert_int_equal(wrong.n, 0);
	assert_non_null(strstr(text, "\ncommand = /srv/old/in/./a\n"));
	assert_non_null(strstr(text, "\ndirectory = /srv/old/in\n"));
	assert_non_null(strstr(text, "\nstdout = /srv/old/in/o\n"));
	free(text);
	text = import(IMPORT_PROCFILE, "/srv/old", "a: ./x -c y/z\n", &wrong);
	assert_non_null(strstr(text, "\ncommand = /srv/old/./x -c y/z\n"));
	free(text);
}

static void
which_it_is(void **state)
{
	static const struct {
		const char *file, *text;
		int from;
	} files[] = {
		{ "x/ecosystem.config.js", "", IMPORT_PM2_SCRIPT },
		{ "a.cjs", "", IMPORT_PM2_SCRIPT },
		{ "process.json", "", IMPORT_PM2 },
		{ "Procfile", "", IMPORT_PROCFILE },
		{ "Procfile.dev", "", IMPORT_PROCFILE },
		{ "supervisord.conf", "x\n[supervisord]\n",
		    IMPORT_SUPERVISORD },
		{ "web.ini", "[program:web]\n", IMPORT_SUPERVISORD },
		{ "web.ini", "[web]\n", -1 },
		{ "a.yaml", "", -1 },
		{ "Procfile.d/x", "", -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		enum import_from from;
		struct error err = ERROR_INIT;
		int r = import_guess(files[i].file, files[i].text, &from, &err);

		assert_int_equal(r == 0 ? (int)from : -1, files[i].from);
		error_clear(&err);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pm2_carries_over),
		cmocka_unit_test(pm2_numbers_and_words),
		cmocka_unit_test(pm2_who_runs_the_script),
		cmocka_unit_test(pm2_names),
		cmocka_unit_test(what_cannot_be_written_is_a_comment),
		cmocka_unit_test(pm2_in_javascript),
		cmocka_unit_test(pm2_is_refused),
		cmocka_unit_test(an_app_without_a_command_is_told),
		cmocka_unit_test(supervisord_carries_over),
		cmocka_unit_test(supervisord_environment),
		cmocka_unit_test(supervisord_sections),
		cmocka_unit_test(procfile_carries_over),
		cmocka_unit_test(paths_lead_to_the_other_file),
		cmocka_unit_test(which_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
