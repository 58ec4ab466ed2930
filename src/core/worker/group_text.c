#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/worker/group_text.h"

static const struct controller {
	const char *name;
	const char *key;
	const char *file;
} controllers[] = {
	[GROUP_MEMORY] = { "memory", "memory_limit", "memory.max" },
	[GROUP_CPU] = { "cpu", "cpu_limit", "cpu.max" },
	[GROUP_TASKS] = { "pids", "tasks_limit", "pids.max" },
};
static_assert(sizeof(controllers) / sizeof(*controllers) == GROUP_CONTROLLERS,
    "one row for each");

#define OWN_PREFIX "_clusterd."

/* The kernel's own default, in microseconds. */
#define CPU_PERIOD_US 100000

const char *
group_controller_name(enum group_controller which)
{
	return controllers[which].name;
}

const char *
group_limit_key(enum group_controller which)
{
	return controllers[which].key;
}

const char *
group_limit_file(enum group_controller which)
{
	return controllers[which].file;
}

static int64_t
limit_of(const struct conf_app *app, enum group_controller which)
{
	switch (which) {
	case GROUP_MEMORY:
		return app->memory_limit;
	case GROUP_CPU:
		return app->cpu_limit;
	case GROUP_TASKS:
		return app->tasks_limit;
	default:
		return -1;
	}
}

unsigned
group_controllers(const struct conf_app *app)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < GROUP_CONTROLLERS; i++)
		if (limit_of(app, (enum group_controller)i) >= 0)
			bits |= 1U << i;
	return bits;
}

void
group_limit_value(struct strbuf *sb, const struct conf_app *app,
    enum group_controller which)
{
	int64_t limit = limit_of(app, which);

	if (which == GROUP_CPU)
		strbuf_printf(sb, "%" PRId64 " %d",
		    limit * CPU_PERIOD_US / 1000, CPU_PERIOD_US);
	else
		strbuf_printf(sb, "%" PRId64, limit);
}

bool
group_list_has(const char *list, enum group_controller which)
{
	const char *name = controllers[which].name;
	const size_t want = strlen(name);

	while (*list != '\0') {
		size_t len;

		list += strspn(list, " \n");
		len = strcspn(list, " \n");
		if (len == want && memcmp(list, name, len) == 0)
			return true;
		list += len;
	}
	return false;
}

#define DIGITS		"0123456789"
#define RUN_LEN		16	/* of a run's number, in hexadecimal */

void
group_name(char name[GROUP_NAME_MAX], const char *app, unsigned instance,
    uint64_t run_id, uint64_t serial)
{
	(void)snprintf(name, GROUP_NAME_MAX, "%.*s.%u.%0*" PRIx64 ".%" PRIu64,
	    CONF_NAME_MAX, app, instance, RUN_LEN, run_id, serial);
}

/* The dot before what it ends with, within `len`, all of those characters; NULL:
   there is none. */
static const char *
dot_before(const char *name, size_t len, const char *of)
{
	size_t n = 0;

	while (n < len && strchr(of, name[len - n - 1]) != NULL)
		n++;
	return n > 0 && n < len && name[len - n - 1] == '.' ?
	    name + len - n - 1 : NULL;
}

bool
group_is_name(const char *name)
{
	const char *serial = dot_before(name, strlen(name), DIGITS);
	const char *run = serial == NULL ? NULL :
	    dot_before(name, (size_t)(serial - name), DIGITS "abcdef");
	const char *instance = run == NULL || serial - run != RUN_LEN + 1 ?
	    NULL : dot_before(name, (size_t)(run - name), DIGITS);

	return instance != NULL && instance > name;
}

void
group_own_name(char name[GROUP_NAME_MAX], pid_t keeper, uint64_t started)
{
	(void)snprintf(name, GROUP_NAME_MAX, OWN_PREFIX "%d.%" PRIu64,
	    (int)keeper, started);
}

bool
group_own_parse(const char *name, pid_t *ret_keeper, uint64_t *ret_started)
{
	const size_t prefix = strlen(OWN_PREFIX);
	const char *dot;
	char digits[16];
	uint64_t keeper, started;

	if (strncmp(name, OWN_PREFIX, prefix) != 0)
		return false;
	name += prefix;
	dot = strchr(name, '.');
	if (dot == NULL || (size_t)(dot - name) >= sizeof(digits))
		return false;
	memcpy(digits, name, (size_t)(dot - name));
	digits[dot - name] = '\0';
	if (!num_parse(digits, 1, INT32_MAX, &keeper) ||
	    !num_parse(dot + 1, 0, UINT64_MAX, &started))
		return false;
	*ret_keeper = (pid_t)keeper;
	*ret_started = started;
	return true;
}

size_t
group_above_own(const char *path, const char *own)
{
	const char *last = strrchr(path, '/');

	if (last == NULL || strcmp(last + 1, own) != 0)
		return 0;
	return last == path ? 1 : (size_t)(last - path);
}

bool
group_event(const char *events, const char *name, uint64_t *ret_n)
{
	const size_t want = strlen(name);

	while (*events != '\0') {
		size_t line = strcspn(events, "\n");
		char digits[24];

		if (line > want + 1 && line - want - 1 < sizeof(digits) &&
		    memcmp(events, name, want) == 0 && events[want] == ' ') {
			memcpy(digits, events + want + 1, line - want - 1);
			digits[line - want - 1] = '\0';
			return num_parse(digits, 0, UINT64_MAX, ret_n);
		}
		events += line;
		if (*events == '\n')
			events++;
	}
	return false;
}
