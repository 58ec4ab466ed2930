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

void
group_name(char name[GROUP_NAME_MAX], const char *app, unsigned instance,
    uint64_t serial)
{
	(void)snprintf(name, GROUP_NAME_MAX, "%.*s.%u.%" PRIu64, CONF_NAME_MAX,
	    app, instance, serial);
}

/* The dot before the digits that it ends with, within `len`; NULL: none. */
static const char *
dot_before_number(const char *name, size_t len)
{
	size_t digits = 0;

	while (digits < len && name[len - digits - 1] >= '0' &&
	    name[len - digits - 1] <= '9')
		digits++;
	return digits > 0 && digits < len && name[len - digits - 1] == '.' ?
	    name + len - digits - 1 : NULL;
}

bool
group_is_name(const char *name)
{
	const char *dot = dot_before_number(name, strlen(name));

	if (dot != NULL)
		dot = dot_before_number(name, (size_t)(dot - name));
	return dot != NULL && dot > name;
}

void
group_own_name(char name[GROUP_NAME_MAX], pid_t keeper)
{
	(void)snprintf(name, GROUP_NAME_MAX, OWN_PREFIX "%d", (int)keeper);
}

bool
group_is_own_name(const char *name)
{
	const size_t prefix = strlen(OWN_PREFIX);

	return strncmp(name, OWN_PREFIX, prefix) == 0 &&
	    name[prefix] != '\0' &&
	    name[prefix + strspn(name + prefix, "0123456789")] == '\0';
}

size_t
group_above_own(const char *path, pid_t keeper)
{
	const char *last = strrchr(path, '/');
	char own[GROUP_NAME_MAX];

	group_own_name(own, keeper);
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
