/*
 * What a file may say and hardly means: each warning with the case, and with the
 * near misses that must not be warned of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/str.h"
#include "core/conf/advice_command.h"
#include "core/conf/advice_inspect.h"
#include "core/conf/conf.h"
#include "core/conf/conf_check.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_host.h"
#include "core/conf/conf_keys.h"
#include "core/conf/conf_read.h"
#include "core/conf/conf_source.h"

/* ---- a host with a few files ---- */

static const char *env_text;

static int
read_file(void *ctx, const char *path, char **ret_text, size_t *ret_len,
    struct error *err)
{
	(void)ctx;
	if (env_text == NULL)
		return error_set(err, -ENOENT, "no %s", path);
	*ret_text = strdup(env_text);
	*ret_len = strlen(env_text);
	return *ret_text != NULL ? 0 : -ENOMEM;
}

static int
find_creds(void *ctx, const char *user, const char *group,
    struct conf_creds *ret_creds, struct error *err)
{
	(void)ctx;
	(void)group;
	(void)err;
	*ret_creds = (struct conf_creds){ .set = true, .uid = 33, .gid = 33 };
	ret_creds->name = user != NULL ? strdup(user) : NULL;
	return 0;
}

static int
look(void *ctx, const char *path)
{
	static const struct {
		const char *path;
		enum conf_look what;
	} there[] = {
		{ "/usr/bin/node", CONF_LOOK_PROGRAM },
		{ "/usr/bin/plain", CONF_LOOK_FILE },
		{ "/opt/my app/run", CONF_LOOK_PROGRAM },
		{ "/srv/app/app.js", CONF_LOOK_FILE },
		{ "/srv/app/run", CONF_LOOK_PROGRAM },
		{ "/srv/app/dist/main.js", CONF_LOOK_FILE },
		{ "/srv/app/package.json", CONF_LOOK_FILE },
		{ "/srv/app/public", CONF_LOOK_DIRECTORY },
		{ "/root", CONF_LOOK_DIRECTORY },
		{ "/srv/app", CONF_LOOK_DIRECTORY },
		{ "/root/both.js", CONF_LOOK_FILE },
		{ "/srv/app/both.js", CONF_LOOK_FILE },
		{ "/secret/x", CONF_LOOK_UNKNOWN },
		{ "/secret/p", CONF_LOOK_UNKNOWN },
		{ "/nowhere/there", CONF_LOOK_FILE },
		{ "/srv/app/there", CONF_LOOK_FILE },
		{ "/secret/x.js", CONF_LOOK_UNKNOWN },
	};

	(void)ctx;
	for (size_t i = 0; i < sizeof(there) / sizeof(*there); i++)
		if (strcmp(there[i].path, path) == 0)
			return there[i].what;
	return CONF_LOOK_NOTHING;
}

static int
may_write(void *ctx, const char *path, const struct conf_creds *creds,
    struct error *err)
{
	(void)ctx;
	if (!creds->set && strcmp(path, "/srv/app/link") == 0)
		return error_set(err, -ELOOP, "a link");
	if (!creds->set && (str_starts(path, "/nowhere/") ||
	    strcmp(path, "/secret/p") == 0))
		return error_set(err, -ENOENT, "cannot open %s as you: no",
		    path);
	if (!creds->set || strcmp(path, "/var/log/web.log") != 0)
		return 0;
	return error_set(err, -EACCES, "cannot open %s as %s: no", path,
	    creds->name);
}

static char *const environment[] = {
	(char[]){ "PATH=/bin:/usr/bin" }, NULL,
};

static struct conf_host host = {
	.base_dir = "/srv/app", .environ = environment, .auto_instances = 4,
	.read_file = read_file, .find_creds = find_creds,
};

static char *
warnings_of(const char *text)
{
	struct conf_source source;
	struct conf_errors errors = { .file = "app.ini" };
	struct config *config = NULL;
	struct strbuf sb = STRBUF_INIT;

	assert_int_equal(conf_read(text, strlen(text), &source, &errors), 0);
	assert_int_equal(conf_check(&source, &host, &config, &errors), 0);
	if (errors.n > 0)
		fail_msg("%s", errors.v[0].text);
	for (size_t i = 0; i < config->warnings.n; i++)
		strbuf_printf(&sb, "%s\n", config->warnings.v[i].text);
	conf_source_free(&source);
	conf_errors_free(&errors);
	config_unref(config);
	return sb.text != NULL ? strbuf_take(&sb) : strdup("");
}

/* One warning, which has the words; NULL: none. */
static void
expect(const char *text, const char *words)
{
	char *said = warnings_of(text);

	if (words == NULL) {
		if (*said != '\0')
			fail_msg("%s\n%s", text, said);
	} else if (strstr(said, words) == NULL ||
	    strchr(said, '\n') != said + strlen(said) - 1) {
		fail_msg("%s\nsaid: %s", text, said);
	}
	free(said);
}

static void
expect_command(const char *command, const char *words)
{
	struct strbuf text = STRBUF_INIT;

	strbuf_printf(&text, "[web]\ncommand = %s\n", command);
	expect(text.text, words);
	strbuf_free(&text);
}

/* ---- slow_start ---- */

#define WEB "[web]\ncommand = node app.js\nslow_start = 30s\n"

static void
slow_start_of_nobody(void **state)
{
	(void)state;
	expect(WEB, "app.ini:3: slow_start: does nothing here: there are no "
	    "listeners");
	expect(WEB "listen = unix:/run/x\n", "it is for TCP, and a Unix "
	    "listener is shared");
	expect(WEB "listen = udp:53, unix:/run/x\n", "it is for TCP, not for "
	    "UDP");
	expect(WEB "port = 80\nbalance = random\n", "balance has to be "
	    "least-connections or round-robin");
	expect(WEB "port = 80\nbalance = source\n", "balance has to be");
	expect(WEB "port = 80\nbalance = shared\n", "balance has to be");
	expect(WEB "port = 80\n", NULL);
	expect(WEB "port = 80\nbalance = round-robin\n", NULL);
	expect(WEB "listen = unix:/run/x, 80\nbalance = least-connections\n",
	    NULL);
	expect("[web]\ncommand = node app.js\nslow_start = 0s\n", NULL);
}

/* ---- command ---- */

static void
words_of_a_shell(void **state)
{
	(void)state;
	expect_command("cd /srv && node app.js", "app.ini:2: command: \"cd\" is "
	    "no program: a word of a shell, and no shell runs this: directory "
	    "= DIR, or sh -c '...' is one");
	expect_command("exec node app.js", "leave it out");
	expect_command("export A=1", "a word of a shell");
	expect_command(". venv/bin/activate", "a word of a shell");
	expect_command("NODE_ENV=production node app.js", "\"NODE_ENV=...\" is "
	    "no program: a variable goes into env, and no shell runs this");
	expect_command("node app.js && echo", "\"&&\" is plain text, as no "
	    "shell runs this: sh -c '...' is one");
	expect_command("node app.js | tee log", "\"|\" is plain text");
	expect_command("node a.js || node b.js", "\"||\" is plain text");
	expect_command("node a.js ; node b.js", "\";\" is plain text");
	expect_command("node app.js > out.log", "\">\" is plain text, as no "
	    "shell runs this: stdout and stderr say where output goes");
	expect_command("node app.js 2>&1", "\"2>&1\" is plain text");
	expect_command("node app.js >/dev/null", "\">/dev/null\" is");
	expect_command("node app.js >out.log", "\">out.log\" is plain text");
	expect_command("node app.js 2>>logs/err", "\"2>>logs/err\" is plain");
	expect_command("./migrate; node app.js", "\";\" is plain text, as no "
	    "shell runs this: sh -c '...' is one");
	expect_command("node app.js &", "a worker stays in the foreground");
	/* One is enough: the rest follows from it. */
	expect_command("node app.js > x 2>&1 &", "\">\" is plain text");
	/* This one is no operator of the shell that is there. */
	expect_command("sh -c 'cd x' && node", "\"&&\" is plain text");
}

static void
no_words_of_a_shell(void **state)
{
	static const char *const commands[] = {
		"sh -c 'cd x && y'",
		"sh -c \"cd x && exec node > log 2>&1 &\"",
		"/bin/sh -c\n\tcd x && exec node app.js > log",
		"bash -lc\n\tNODE_ENV=production node app.js # mine",
		"env NODE_ENV=production node app.js",
		"node app.js --filter 'a && b' --or '||' --pipe \\|",
		"node app.js a&&b a|b x>y --range=>1.2 -> =>",
		"node app.js --semver >=1.2", "node app.js >x >1.2 2>x >$x.y",
		"node app.js; ", "nginx -g user=x; y", "find . -exec x; y",
		"bash x; y", "node 'app.js;' y",
		"node app.js <tag>",
		"find . -name x -exec rm {} ;",
		"node app.js ;",
		"ssh host cd x && ./y",
		"/usr/bin/watch ls | wc",
		"nginx -g 'daemon off;'",
		"cut -d |", "parse -F | -x", "sort -t ; x",
		"cdrom", "./cd x", "executor", "/opt/A=1/node app.js",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		expect_command(commands[i], NULL);
}

static void
variables(void **state)
{
	(void)state;
	expect_command("node app.js --port $PORT\nport = 80", "\"$PORT\" is "
	    "plain text, as no shell runs this: {port} is the port");
	expect_command("node app.js --port $PORT", "{env:PORT} is replaced");
	expect_command("node app.js --home=${HOME}/x", "\"${HOME}\" is plain "
	    "text, as no shell runs this: {env:HOME} is replaced");
	expect_command("node app.js \"$HOME\"", "\"$HOME\" is plain");
	expect_command("node app.js ${PORT:-8080}", "\"${PORT:-8080}\" is "
	    "plain");
	expect_command("node ${A:-${PORT}}", "\"${PORT}\" is plain");
	expect_command("node app.js -p $PORT", "\"$PORT\" is plain");
	expect_command("server -p $PORT", "\"$PORT\" is plain");
	expect_command("node app.js $(PORT)", "{env:PORT} is replaced");
	expect_command("gunicorn -c conf.py -b 0.0.0.0:$PORT app", "$PORT");
	expect_command("node --name=$(hostname)", "\"$(hostname)\" is plain");
	expect_command("node ~/app.js", "\"~/app.js\" is plain text, as no "
	    "shell runs this: {env:HOME} is replaced");
	expect_command("~/app", "{env:HOME} is replaced");
	expect_command("serve ~", "\"~\" is plain text");
	expect_command("node $(cat x)", "\"$(cat\" is plain text");
	expect_command("node `hostname`", "\"`hostname`\" is plain text");
}

static void
no_variables(void **state)
{
	static const char *const commands[] = {
		"node app.js --re '^foo$' --x ^a$ --y '$PORT' --z \\$PORT",
		"node app.js --re ^(a|b)$ --price 5$ --dollar $ --one $1",
		"node app.js --format $host --x=a$b --mixed $Port",
		"node app.js $ENV{PORT} $A[0]",
		"sh -c \"exec node --port $PORT\"",
		"sh -c \"$RUN\"",
		"bash -c $RUN",
		"node -p $HOME", "node -pe $HOME x",
		"ruby --eval=$X", "run --exec=\"$X\"", "su x --command=$HOME",
		"login --hash=$6$SALT$HASH", "x s/$1/$NAME/",
		"perl -e \"print $ENV{PATH} . $HOME\"",
		"ruby -e \"$X\"",
		"awk \"{print $NF}\"",
		"node app.js \"costs $PRICE in all\"",
		"node $'a$PORT'", "node ~x a~ '~/x' ~1.2", "sh ~/x", "x -c ~/y",
		"node app.js {env:PATH} {port}\nport = 80",
		"/bin/sh -c\n\texec node --port $PORT `x` $(y)",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		expect_command(commands[i], NULL);
}

static void
comments(void **state)
{
	(void)state;
	expect_command("node app.js # my app", "\"#\" and what follows are "
	    "words of it: a comment stands on a line of its own");
	expect_command("node app.js #", "\"#\" and what follows");
	/* The first of both, and what is in the comment is no shell's. */
	expect_command("node app.js # a && b", "\"#\" and what follows");
	expect_command("node app.js '# no'", NULL);
	expect_command("node app.js '#' no", NULL);
	expect_command("node app.js \\# no", NULL);
	expect_command("node a#b.js --color #fff #channel", NULL);
	expect_command("node app.js\n\t# a comment", NULL);
	expect_command("cut -d # x", NULL);
	expect_command("node --x # x", "\"#\" and what follows");
	expect_command("# x", NULL);
}

/* Each byte of a command is looked at once, or so: else these take minutes, and
   the alarm ends them. */
static void
long_commands(void **state)
{
	static const char *const parts[] = {
		"$", "\"$\"", "${A:", "$A{", "$a ", "; ", "a ", "\" ", "'$'",
	};

	(void)state;
	alarm(60);
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		struct strbuf command = STRBUF_INIT;
		struct conf_app app = { .name = NULL };
		struct conf_errors warnings = { .file = NULL };
		struct conf_keys keys = { .base_dir = NULL };
		struct conf_entry entry = { .line = 1 };

		strbuf_puts(&command, "find ");
		while (command.len < 400000)
			strbuf_puts(&command, parts[i]);
		strbuf_puts(&command, i == 7 ? "\"" : " -exec");
		strlist_add(&app.command, "find");
		strlist_add(&app.command, "-exec");
		strlist_add(&entry.lines, command.text);
		keys.seen[CONF_KEY_COMMAND].entry = &entry;
		advice_command(&keys, &app, &warnings);
		assert_int_equal(warnings.n, 0);
		strlist_free(&app.command);
		strlist_free(&entry.lines);
		conf_errors_free(&warnings);
		strbuf_free(&command);
	}
	alarm(0);
}

static void
programs(void **state)
{
	(void)state;
	assert_non_null(advice_program("cd"));
	assert_non_null(advice_program("A=1"));
	assert_non_null(advice_program("node app.js"));
	assert_null(advice_program("node"));
	assert_null(advice_program("./A=1"));
	assert_null(advice_program("/usr/bin/cd"));
	assert_null(advice_program("1=1"));
}

/* ---- env ---- */

static void
expect_env(const char *entry, const char *words)
{
	struct strbuf text = STRBUF_INIT;

	strbuf_printf(&text, "[web]\ncommand = x\nenv =\n\tFIRST=1\n\t%s\n",
	    entry);
	expect(text.text, words);
	strbuf_free(&text);
}

static void
entries(void **state)
{
	static const char *const good[] = {
		"AA=1 B=2", "AA=1,B=2", "TITLE=x of YY=1", "A=1 BB=2 c",
		"A=Suite # 5", "A=1", "A=", "A=a b c", "A=x y=1 z=2", "A=B=1 C=2",
		"JAVA_OPTS=-Xmx1g -DNAME=1 FOO=2", "A=-O2 X=1",
		"NODE_OPTIONS=--inspect=0 A=1", "A=https://x/?a B=1",
		"KEYS=QUJD,REVG=", "KEYS=QUJD REVG==", "A=a,b=c",
		"DSN=host=x USER=y", "A=ab 1=2",
		"GREETING=it's \"all\" taken as it is; # even this",
		"A=a#b", "A=#fff", "A=x #fff", "A=x#",
		"A=\"x\" \"y\"", "A='a','b'", "A=\"", "A=it's", "A=x\"y\"",
		"A={\"a\":\"b\"}",
	};

	(void)state;
	expect_env("A=1 BB=2", "app.ini:5: env: A: what looks like a second "
	    "variable belongs to the value: each stands on a line of its own, "
	    "or if it is meant, see env_file");
	expect_env("A=1 BB=2 CC=3", "a second variable");
	expect_env("A=1 B=2", "a second variable");
	expect_env("A=1,B=2", "a second variable");
	expect_env("A=1,BB=2", "a second variable");
	expect_env("A=\"1\",BB=\"2\"", "a second variable");
	expect_env("A=\"x y\"", "A: the quotes belong to the value: leave them "
	    "out");
	expect_env("A='x'", "the quotes belong");
	expect_env("SECRET=abc # note", "app.ini:5: env: SECRET: \"#\" and what "
	    "follows belong to the value: a comment stands on a line of its "
	    "own, or if they are meant, see env_file");
	expect_env("A=x # 5 apples", NULL);
	expect_env("A=x #", "belong to the value");
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		expect_env(good[i], NULL);
}

static void
expect_env_file(const char *lines, const char *words)
{
	env_text = lines;
	expect("[web]\ncommand = x\nenv_file = env\n", words);
	env_text = NULL;
}

static void
env_files(void **state)
{
	(void)state;
	expect_env_file("# all\nA=x # note\n", "app.ini:3: env_file: "
	    "/srv/app/env:2: A: \"#\" and what follows belong to the value: a "
	    "comment stands on a line of its own; if they are meant, quotes say "
	    "so");
	expect_env_file("A=1 BB=2\n", "/srv/app/env:1: A: what looks like a "
	    "second");
	expect_env_file("A=1 B=2\n", "/srv/app/env:1: A: what looks like a "
	    "second");
	expect_env_file("A=\"x y\"\nB='1 CC=2'\nC=\"x # y\"\nD=x#y\n"
	    "export E=a b\n", NULL);
}

/* ---- the debugger ---- */

static char *const of_node[] = {
	(char[]){ "NODE_OPTIONS=--inspect=9300" }, NULL,
};

static void
inspectors(void **state)
{
	(void)state;
	expect_command("node --inspect app.js", "app.ini:2: command: --inspect "
	    "is for a debugger's port, 9229, which only one of 4 instances can "
	    "have: --inspect=0 gives each one of its own, or instances = 1");
	expect_command("/usr/bin/node -r x --inspect-brk=0.0.0.0:9300 app.js",
	    "port, 9300, ");
	expect_command("deno run --inspect app.ts", "9229");
	expect_command("node app.js\nenv = NODE_OPTIONS=--max=1 --inspect",
	    "app.ini:3: env: --inspect is for");
	expect_command("npm start\nenv = NODE_OPTIONS=--inspect",
	    "app.ini:3: env: --inspect is for");
	expect_command("./node_modules/x/server.js\nenv = NODE_OPTIONS="
	    "--inspect", "app.ini:3: env: --inspect is for");
	expect_command("python x\nenv = NODE_OPTIONS=--inspect", NULL);
	expect_command("bun --inspect app.ts", "command: --inspect is for a "
	    "debugger's port, which only");
	host.environ = of_node;
	expect_command("node app.js", "app.ini:2: NODE_OPTIONS in clusterd's "
	    "environment: --inspect is for a debugger's port, 9300, which");
	expect_command("python x", NULL);
	host.environ = environment;
	expect_command("node --inspect app.js\ninstances = 1", NULL);
	expect_command("node --inspect=0 app.js", NULL);
	expect_command("node --inspect=127.0.0.1:0 app.js", NULL);
	expect_command("node --inspect=930{instance} app.js", NULL);
	expect_command("node --inspect-port=1 app.js", NULL);
	expect_command("node app.js --inspect", NULL);
	expect_command("other --inspect", NULL);
	expect_command("node -r --inspect app.js", NULL);
}

static void
ports_of_inspectors(void **state)
{
	struct conf_app app = { .name = NULL };

	(void)state;
	strlist_add(&app.command, "node");
	strlist_add(&app.command, "--inspect=9300");
	assert_int_equal(advice_inspect_port(&app, NULL, NULL), 9300);
	assert_true(advice_inspect_may_be(&app, NULL, 9300));
	assert_false(advice_inspect_may_be(&app, NULL, 40000));
	strlist_free(&app.command);
	strlist_add(&app.command, "node");
	strlist_add(&app.command, "--inspect=0");
	assert_int_equal(advice_inspect_port(&app, NULL, NULL), 0);
	assert_true(advice_inspect_may_be(&app, NULL, 40000));
	assert_false(advice_inspect_may_be(&app, NULL, 3000));
	strlist_free(&app.command);
	strlist_add(&app.command, "node");
	assert_int_equal(advice_inspect_port(&app, NULL, NULL), -1);
	assert_false(advice_inspect_may_be(&app, NULL, 9229));
	strlist_free(&app.command);
}

/* ---- files ---- */

static void
begin_looking(bool testing)
{
	host.look = look;
	host.may_write = may_write;
	host.cwd = "/root";
	host.testing = testing;
}

static void
end_looking(void)
{
	host.look = NULL;
	host.may_write = NULL;
	host.cwd = NULL;
	host.testing = false;
}

static void
files(void **state)
{
	(void)state;
	begin_looking(true);
	expect_command("node x", NULL);
	expect_command("nodee x", "app.ini:2: command: there is no nodee in "
	    "PATH");
	expect_command("nodee x\nenv = PATH=/nowhere:/secret", "no nodee in");
	expect_command("node x\nenv = PATH=/nowhere", "no node in PATH");
	/* What cannot be known is not told. */
	expect_command("x\nenv = PATH=/nowhere:/secret", NULL);
	expect_command("node x\nenv = PATH=bin", NULL);
	expect_command("nodee\nenv = PATH={env:PATH}", NULL);
	expect_command("{app}", NULL);
	expect_command("app.js", "a name without a / is looked up in PATH, and "
	    "app.js is not there: ./app.js is the file beside this one, which "
	    "is not executable: its interpreter stands before it");
	expect_command("run", "./run is the file beside this one\n");
	expect_command("./run", NULL);
	expect_command("./app.js", "/srv/app/app.js is not executable: chmod");
	expect_command("./public", "/srv/app/public is a directory");
	expect_command("./gone", "there is no /srv/app/gone");
	expect_command("plain", "there is no plain in PATH");
	expect_command("/secret/x", NULL);
	expect_command("node gone.js", "app.ini:2: command: there is no "
	    "gone.js in /root, where clusterd is started now\n");
	expect_command("node /gone.js", "there is no /gone.js\n");
	expect_command("node gone.js\ndirectory = .", "there is no gone.js in "
	    "/srv/app\n");
	expect_command("node app.js\ndirectory = .", NULL);
	expect_command("node app.js\ndirectory = /nowhere", "directory: ");
	expect_command("node both.js", NULL);
	expect_command("node app.js", "app.js is looked for");
	expect_command("node app.js /srv/app", NULL);
	expect_command("node /secret/x.js", NULL);
	expect_command("node {app}.js", NULL);
	expect_command("node -r gone.js", NULL);
	expect_command("run gone.js", "./run is the file");
	expect_command("\"node app.js\"", "there is no program \"node app.js\": "
	    "one word, with its blanks: without the quotes it is");
	expect_command("'/usr/bin/node app.js'", "without the quotes");
	expect_command("\"/opt/my app/run\"", NULL);
	expect_command("cd x", "\"cd\" is no program");
	expect_command("node x\ndirectory = /nowhere", "app.ini:3: directory: "
	    "there is no /nowhere\n");
	expect_command("node x\ndirectory = /srv/app # here", "there is no "
	    "/srv/app # here; a comment stands on a line of its own");
	expect_command("node x\ndirectory = app.js", "is no directory");
	expect_command("node x\ndirectory = .", NULL);
	expect_command("node x\ndirectory = /{instance}", NULL);
	expect_command("node x\nuser = www\nstdout = /var/log/web.log\n"
	    "stderr = /var/log/web.log", "app.ini:4: stdout: [web] cannot open "
	    "/var/log/web.log as www: no");
	expect_command("node x\nuser = www\nstderr = /var/log/web.log",
	    "app.ini:4: stderr: [web] cannot");
	expect_command("node x\nstdout = /var/log/web.log", NULL);
	end_looking();
	expect_command("nodee x\ndirectory = /nowhere", NULL);
	expect_command("\"node app.js\"", NULL);
}

static void
scripts(void **state)
{
	(void)state;
	begin_looking(false);
	expect_command("node app.js", "app.ini:2: command: app.js is looked "
	    "for in the directory that clusterd is started in, now /root, and "
	    "is not there: directory = . is that of this file, where it is");
	expect_command("node -x dist/main.js app.js", "dist/main.js is looked");
	expect_command("node both.js", NULL);
	expect_command("node app.js\ndirectory = .", NULL);
	expect_command("node gone.js /srv/app/app.js --x=app.js", NULL);
	expect_command("node public run", NULL);
	expect_command("npm start", "package.json is looked for in the "
	    "directory that clusterd is started in, now /root, and is not");
	expect_command("yarn run x", "package.json is looked for");
	expect_command("npm --prefix x start", NULL);
	expect_command("npm start\ndirectory = .", NULL);
	/* It may go there first. */
	expect_command("uv --directory /srv/app run app.js", NULL);
	expect_command("yarn --cwd=/srv/app node app.js", NULL);
	expect_command("node app.js /secret/x --x=/nowhere", "app.js is");
	/* At a start, what fails then is told then. */
	expect_command("nodee\ndirectory = /nowhere", NULL);
	host.cwd = "/srv/app";
	expect_command("node app.js", NULL);
	/* It is looked for above, too. */
	host.cwd = "/srv/app/sub";
	expect_command("npm start", NULL);
	end_looking();
}

/* ---- what clusterd opens for itself ---- */

static void
own_files(void **state)
{
	(void)state;
	begin_looking(true);
	expect("[clusterd]\nlog = /nowhere/a\n[web]\ncommand = node x\n",
	    "app.ini:2: log: cannot open /nowhere/a as you: no");
	expect("[clusterd]\npidfile = /nowhere/p\n[web]\ncommand = node x\n",
	    "app.ini:2: pidfile: cannot open /nowhere/p as you: no");
	expect("[clusterd]\npidfile = /nowhere/there\n[web]\ncommand = node x\n",
	    "app.ini:2: pidfile: cannot replace /nowhere/there as you: no file "
	    "can be made beside it\n");
	expect("[clusterd]\npidfile = public\n[web]\ncommand = node x\n",
	    "app.ini:2: pidfile: /srv/app/public is a directory\n");
	expect("[clusterd]\npidfile = /secret/p\n[web]\ncommand = node x\n",
	    "app.ini:2: pidfile: cannot open /secret/p as you: no");
	expect("[clusterd]\npidfile = there\n[web]\ncommand = node x\n",
	    NULL);
	expect("[clusterd]\ncontrol = /nowhere/c\n[web]\ncommand = node x\n",
	    "app.ini:2: control: there is no /nowhere\n");
	expect("[clusterd]\ncontrol = c\n[web]\ncommand = node x\n", NULL);
	expect("[clusterd]\non_event = /nowhere/e x\n[web]\ncommand = node x\n",
	    "app.ini:2: on_event: there is no /nowhere/e\n");
	expect("[clusterd]\non_event = node e\n[web]\ncommand = node x\n",
	    NULL);
	expect("[clusterd]\nweb_token_file = t\n[web]\ncommand = node x\n",
	    "app.ini:2: web_token_file: there is no /srv/app/t\n");
	expect_command("node x\nlisten = 8080, unix:s\n    unix:/nowhere/s",
	    "app.ini:4: listen: there is no /nowhere\n");
	expect_command("node x\nlisten = unix:/s, unix:/run/app/s", NULL);
	expect_command("node x\nport = 80\nhealth = exec:/nowhere/h x",
	    "app.ini:4: health: there is no /nowhere/h\n");
	expect("[clusterd]\nlog = link\n[web]\ncommand = node x\n", NULL);
	expect("[clusterd]\nlog = a\npidfile = p\n[web]\ncommand = node x\n",
	    NULL);
	/* Such directories are made by whoever starts it. */
	expect("[clusterd]\nlog = /run/app/a\npidfile = /var/run/app/p\n"
	    "[web]\ncommand = node x\n", NULL);
	begin_looking(false);
	expect("[clusterd]\nlog = /nowhere/a\n[web]\ncommand = node x\n",
	    NULL);
	end_looking();
}

/* ---- root ---- */

static void
roots(void **state)
{
	(void)state;
	host.root = true;
	expect("[web]\ncommand = x\n[db]\ncommand = x\nuser = www\n[c]\n"
	    "command = x\ngroup = www\n", "app.ini:1: web, c: workers run as "
	    "root: user = NAME has them run as somebody else, and user = root "
	    "says that it is meant");
	expect("[web]\ncommand = x\nuser = root\n", NULL);
	host.root = false;
	expect("[web]\ncommand = x\n", NULL);
}

static void
test_port_in_env(void **state)
{
	const char *words = "PORT is 9 there, and the app listens on 8080: "
	    "without that entry its workers would be told PORT=8080";

	(void)state;
	expect("[web]\ncommand = x\nport = 8080\nenv = PORT=9\n", words);
	expect("[web]\ncommand = x\nlisten = unix:/run/x, 8080\nenv = PORT=9\n",
	    words);
	expect("[web]\ncommand = x\nport = 8080\nenv = PORT=8080\n", NULL);
	expect("[web]\ncommand = x\nlisten = 8080, 9\nenv = PORT=9\n", NULL);
	expect("[web]\ncommand = x\nport = 8080\nenv = PORT={port}\n", NULL);
	expect("[web]\ncommand = x\nport = 8080\nenv = PORTS=9\n", NULL);
	expect("[web]\ncommand = x\nport = 8080\nenv = PORT=name\n", NULL);
	expect("[web]\ncommand = x --port {port}\nport = 8080\nenv = PORT=9\n",
	    NULL);
	expect("[web]\ncommand = x\nport = 8080\nenv = PORT=9\nhandoff = env\n",
	    NULL);
	expect("[web]\ncommand = x\nlisten = unix:/run/x\nenv = PORT=9\n", NULL);
	expect("[web]\ncommand = x\nenv = PORT=9\n", NULL);
	expect("[web]\ncommand = x\nlisten = 808{instance}\nenv = PORT=9\n",
	    NULL);
	env_text = "PORT=9\n";
	expect("[web]\ncommand = x\nport = 8080\nenv_file = env\n", words);
	expect("[web]\ncommand = x\nport = 8080\nenv_file = env\n"
	    "env = PORT=8080\n", NULL);
	env_text = NULL;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slow_start_of_nobody),
		cmocka_unit_test(words_of_a_shell),
		cmocka_unit_test(no_words_of_a_shell),
		cmocka_unit_test(variables),
		cmocka_unit_test(no_variables),
		cmocka_unit_test(comments),
		cmocka_unit_test(long_commands),
		cmocka_unit_test(programs),
		cmocka_unit_test(entries),
		cmocka_unit_test(env_files),
		cmocka_unit_test(inspectors),
		cmocka_unit_test(ports_of_inspectors),
		cmocka_unit_test(files),
		cmocka_unit_test(scripts),
		cmocka_unit_test(own_files),
		cmocka_unit_test(test_port_in_env),
		cmocka_unit_test(roots),
	};

	return cmocka_run_group_tests_name("advice", tests, NULL, NULL);
}
