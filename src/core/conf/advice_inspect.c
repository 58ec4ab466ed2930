#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "core/conf/advice_inspect.h"
#include "core/conf/conf.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_keys.h"

#define BLANKS " \t"

/* What all of these programs take where none is named, but for Bun. */
#define INSPECT_PORT 9229

/* The port of [HOST:]PORT, or 0: any, or of each instance its own. */
static int
port_of(const char *value, size_t len)
{
	char digits[8];
	uint64_t port;

	if (memchr(value, '{', len) != NULL)
		return 0;
	for (size_t i = len; i > 0; i--)
		if (value[i - 1] == ':') {
			value += i;
			len -= i;
			break;
		}
	if (len >= sizeof(digits))
		return INSPECT_PORT;
	memcpy(digits, value, len);
	digits[len] = '\0';
	return num_parse(digits, 0, 65535, &port) ? (int)port :
	    INSPECT_PORT;
}

/* Of one option; -1: it is another one. */
static int
port_of_option(const char *word, size_t len)
{
	static const char *const options[] = {
		"--inspect", "--inspect-brk", "--inspect-wait",
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		size_t n = strlen(options[i]);

		if (len < n || memcmp(word, options[i], n) != 0)
			continue;
		if (len == n)
			return INSPECT_PORT;
		if (word[n] == '=')
			return port_of(word + n + 1, len - n - 1);
	}
	return -1;
}

/* The program's own options only: those behind the script are the script's. */
static int
port_in_command(const struct conf_app *app)
{
	static const char *const programs[] = {
		"node", "nodejs", "deno", "bun", "tsx", "ts-node", NULL,
	};
	static const char *const with_value[] = {
		"-r", "--require", "--import", "--loader", "-C",
		"--conditions", "--experimental-loader", "--env-file", NULL,
	};
	static const char *const verbs[] = { "run", "serve", NULL };

	if (!str_is_one_of(str_base_name(app->command.v[0]), programs))
		return -1;
	for (size_t i = 1; i < app->command.n; i++) {
		const char *word = app->command.v[i];
		int port = port_of_option(word, strlen(word));

		if (port >= 0)
			return port;
		if (str_is_one_of(word, with_value))
			i++;
		else if (*word != '-' && (i > 1 || !str_is_one_of(word, verbs)))
			break;
	}
	return -1;
}

/* The last one counts. */
static const char *
find_options(const struct strlist *entries)
{
	for (size_t i = entries->n; i > 0; i--)
		if (str_starts(entries->v[i - 1], "NODE_OPTIONS="))
			return entries->v[i - 1];
	return NULL;
}

static int
port_in_options(const char *entry)
{
	if (entry == NULL)
		return -1;
	for (const char *s = strchr(entry, '=') + 1; *s != '\0';) {
		size_t len;
		int port;

		s += strspn(s, BLANKS);
		len = strcspn(s, BLANKS);
		port = port_of_option(s, len);
		if (port >= 0)
			return port;
		s += len;
	}
	return -1;
}

int
advice_inspect_port(const struct conf_app *app, char *const *env,
    bool *ret_in_env)
{
	int port = port_in_command(app);
	const char *options = find_options(&app->env);

	if (ret_in_env != NULL)
		*ret_in_env = port < 0;
	if (port >= 0)
		return port;
	if (options == NULL)
		options = find_options(&app->env_file_entries);
	for (; options == NULL && env != NULL && *env != NULL; env++)
		if (str_starts(*env, "NODE_OPTIONS="))
			options = *env;
	return port_in_options(options);
}

/* So that NODE_OPTIONS is for it. Behind a shell or env(1) it may be, too: that is
   not told. */
static bool
reads_options(const struct conf_app *app)
{
	static const char *const programs[] = {
		"node", "nodejs", "npm", "npx", "yarn", "yarnpkg", "pnpm",
		"pnpx", "corepack", "tsx", "ts-node", "next", "nuxt", "nest",
		"vite", "nodemon", NULL,
	};
	static const char *const endings[] = {
		".js", ".mjs", ".cjs", ".ts", NULL,
	};
	const char *program = str_base_name(app->command.v[0]);
	const char *dot = strrchr(program, '.');

	return str_is_one_of(program, programs) ||
	    (dot != NULL && str_is_one_of(dot, endings));
}

/* Where the kernel takes a port from that nobody has named (ip(7)). */
#define EPHEMERAL_MIN 32768

bool
advice_inspect_may_be(const struct conf_app *app, char *const *env,
    unsigned port)
{
	int inspected = advice_inspect_port(app, env, NULL);

	return inspected == 0 ? port >= EPHEMERAL_MIN :
	    inspected > 0 && port == (unsigned)inspected;
}

/* Where the option stands; without a key in clusterd's own environment. */
static const char *
place_of(const struct conf_app *app, bool in_env, enum conf_key_id *ret_id)
{
	if (!in_env)
		*ret_id = CONF_KEY_COMMAND;
	else if (find_options(&app->env) != NULL)
		*ret_id = CONF_KEY_ENV;
	else if (find_options(&app->env_file_entries) != NULL)
		*ret_id = CONF_KEY_ENV_FILE;
	else
		return NULL;
	return conf_key_name(*ret_id);
}

void
advice_inspect(const struct conf_keys *keys, const struct conf_app *app,
    unsigned instances, char *const *env, struct conf_errors *warnings)
{
	enum conf_key_id id = CONF_KEY_COMMAND;
	bool in_env;
	int port = advice_inspect_port(app, env, &in_env);
	const char *key, *program = str_base_name(app->command.v[0]);
	char number[16] = "";

	if (port <= 0 || instances < 2 || (in_env && !reads_options(app)))
		return;
	/* Bun has another one where none is named. */
	if (strcmp(program, "bun") != 0)
		snprintf(number, sizeof(number), ", %d", port);
	key = place_of(app, in_env, &id);
	conf_error_add(warnings, conf_keys_line(keys, id), key, "%s--inspect "
	    "is for a debugger's port%s, which only one of %u instances can "
	    "have: --inspect=0 gives each one of its own, or %s",
	    key == NULL ? "NODE_OPTIONS in clusterd's environment: " : "",
	    number, instances, app->line == 0 ? "-n 1" : "instances = 1");
}
