#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "core/ledger/ledger.h"
#include "core/ledger/ledger_read.h"
#include "core/names/address.h"

/* As many as a file of an app has, and more. */
#define POSITION_MAX 65535
#define INSTANCE_MAX 65535
#define SLOT_MAX 65535
#define WORKER_STATES 11	/* of core/worker/worker_fsm.h */
#define ACCEPTS_MAX 15

static_assert(sizeof(struct ledger_address) == 72, "no padding");
static_assert(sizeof(struct ledger_listener) == 72 + 2 * 72 +
    LEDGER_APP_SIZE + LEDGER_PATH_SIZE, "no padding");
static_assert(sizeof(struct ledger_lane) == 56, "no padding");
static_assert(sizeof(struct ledger_worker) == 112 + 8 * LEDGER_DEATHS + 40 +
    LEDGER_APP_SIZE, "no padding");
static_assert(sizeof(struct ledger_conf) == 32 + LEDGER_APP_SIZE,
    "no padding");
static_assert(sizeof(struct ledger_call) == 40, "no padding");
static_assert(sizeof(struct ledger_count) == 56, "no padding");
static_assert(sizeof(struct ledger_program) == 40 + LEDGER_PATH_SIZE,
    "no padding");

static bool
is_text(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL && !address_has_control(text);
}

static bool
is_address(const struct ledger_listener *r, const struct ledger_address *at)
{
	struct address a;

	return ledger_address_get(at, (char *)r->path, &a) == 0;
}

int
ledger_get_listener(const struct ledger *l, uint32_t place,
    struct ledger_listener *ret)
{
	struct ledger_listener r;
	int code = ledger_get(l, LEDGER_LISTENER, place, &r);

	if (code <= 0)
		return code;
	if (r.serial == 0 || r.position > POSITION_MAX || r.instance < -1 ||
	    r.instance > INSTANCE_MAX || r.mode > 07777 ||
	    !is_text(r.app, sizeof(r.app)) || r.app[0] == '\0' ||
	    !is_text(r.path, sizeof(r.path)) || !is_address(&r, &r.written) ||
	    !is_address(&r, &r.bound) || r.written.kind != r.bound.kind)
		return -EBADMSG;
	*ret = r;
	return 1;
}

int
ledger_get_lane(const struct ledger *l, uint32_t place,
    struct ledger_lane *ret)
{
	struct ledger_lane r;
	int code = ledger_get(l, LEDGER_LANE, place, &r);

	if (code <= 0)
		return code;
	/* Standard streams are nobody's socket. */
	if (r.ino == 0 || r.listener == 0 || r.fd < 3 || r.slot > SLOT_MAX)
		return -EBADMSG;
	*ret = r;
	return 1;
}

/* Standard streams are nobody's. */
static bool
is_fd(int32_t fd)
{
	return fd == -1 || fd > 2;
}

int
ledger_get_worker(const struct ledger *l, uint32_t place,
    struct ledger_worker *ret)
{
	struct ledger_worker r;
	int code = ledger_get(l, LEDGER_WORKER, place, &r);

	if (code <= 0)
		return code;
	if (r.number == 0 || r.pid < 0 || r.pid == 1 ||
	    r.instance > INSTANCE_MAX || r.state >= WORKER_STATES ||
	    r.watchdog_us < 0 || r.deaths_n > LEDGER_DEATHS ||
	    r.accepts > ACCEPTS_MAX ||
	    !is_fd(r.notify) || !is_fd(r.trap) || !is_fd(r.out[0]) ||
	    !is_fd(r.out[1]) || !is_text(r.app, sizeof(r.app)) ||
	    r.app[0] == '\0')
		return -EBADMSG;
	*ret = r;
	return 1;
}

int
ledger_get_conf(const struct ledger *l, uint32_t place, struct ledger_conf *ret)
{
	struct ledger_conf r;
	int code = ledger_get(l, LEDGER_CONF, place, &r);

	if (code <= 0)
		return code;
	if (!is_fd(r.text) || r.wanted > INSTANCE_MAX ||
	    !is_text(r.app, sizeof(r.app)))
		return -EBADMSG;
	*ret = r;
	return 1;
}

int
ledger_get_call(const struct ledger *l, uint32_t place, struct ledger_call *ret)
{
	struct ledger_call r;
	int code = ledger_get(l, LEDGER_CALL, place, &r);

	if (code <= 0)
		return code;
	if (r.worker == 0 || r.tid <= 0 || r.is_bind > 1)
		return -EBADMSG;
	*ret = r;
	return 1;
}

int
ledger_get_count(const struct ledger *l, struct ledger_count *ret)
{
	struct ledger_count r;
	int code = ledger_end(l, LEDGER_COUNT) == 0 ? 0 :
	    ledger_get(l, LEDGER_COUNT, 0, &r);

	if (code <= 0)
		return code;
	for (int i = 0; i < LEDGER_COUNT_FDS + LEDGER_HUB_FDS; i++)
		if (r.fds[i] < 0 || !is_fd(r.fds[i]))
			return -EBADMSG;
	*ret = r;
	return 1;
}

int
ledger_get_stop(const struct ledger *l, struct ledger_stop *ret)
{
	struct ledger_stop r;
	int code = ledger_end(l, LEDGER_STOP) == 0 ? 0 :
	    ledger_get(l, LEDGER_STOP, 0, &r);

	if (code <= 0)
		return code;
	if (r.phase < LEDGER_STOP_LEAVES || r.phase > LEDGER_STOP_STOPS)
		return -EBADMSG;
	*ret = r;
	return 1;
}

int
ledger_get_file(const struct ledger *l, uint32_t place, struct ledger_file *ret)
{
	struct ledger_file r;
	int code = ledger_get(l, LEDGER_FILE, place, &r);

	if (code <= 0)
		return code;
	if (r.fd < 0 || !is_fd(r.fd) || !is_text(r.path, sizeof(r.path)) ||
	    r.path[0] != '/')
		return -EBADMSG;
	*ret = r;
	return 1;
}

int
ledger_get_lines(const struct ledger *l, struct ledger_lines *ret)
{
	struct ledger_lines r;
	int code = ledger_end(l, LEDGER_LINES) == 0 ? 0 :
	    ledger_get(l, LEDGER_LINES, 0, &r);

	if (code <= 0)
		return code;
	if (r.fd < 0 || !is_fd(r.fd))
		return -EBADMSG;
	*ret = r;
	return 1;
}

int
ledger_get_program(const struct ledger *l, struct ledger_program *ret)
{
	struct ledger_program r;
	int code = ledger_end(l, LEDGER_PROGRAM) == 0 ? 0 :
	    ledger_get(l, LEDGER_PROGRAM, 0, &r);

	if (code <= 0)
		return code;
	if (!is_fd(r.notify_dir) ||
	    !is_text(r.notify_path, sizeof(r.notify_path)))
		return -EBADMSG;
	*ret = r;
	return 1;
}

void
ledger_put_text(char *at, size_t size, const char *text)
{
	size_t len = strnlen(text, size - 1);

	memset(at, 0, size);
	memcpy(at, text, len);
}

void
ledger_address_put(struct ledger_address *at, const struct address *a)
{
	*at = (struct ledger_address){
		.kind = a->kind,
		.host = a->host,
		.port = a->port,
		.scope = a->scope,
		.freebind = a->options.freebind,
		.transparent = a->options.transparent,
		.mark = a->options.mark,
		.defer_accept = a->options.defer_accept,
		.fastopen = a->options.fastopen,
	};
	memcpy(at->ip, a->ip, sizeof(at->ip));
	memcpy(at->interface, a->options.interface, sizeof(at->interface));
}

int
ledger_address_get(const struct ledger_address *at, char *path,
    struct address *ret)
{
	struct address a = {
		.kind = (enum address_kind)at->kind,
		.host = (enum address_host)at->host,
		.port = (uint16_t)at->port,
		.scope = at->scope,
		.path = at->kind == ADDRESS_UNIX ? path : NULL,
		.options = {
			.freebind = at->freebind != 0,
			.transparent = at->transparent != 0,
			.mark = at->mark,
			.defer_accept = at->defer_accept,
			.fastopen = at->fastopen,
		},
	};

	if (at->kind > ADDRESS_UNIX || at->host > ADDRESS_HOST_IPV6 ||
	    at->port > UINT16_MAX ||
	    !is_text((const char *)at->interface, sizeof(at->interface)) ||
	    (at->kind == ADDRESS_UNIX) != (path[0] == '/'))
		return -EBADMSG;
	memcpy(a.ip, at->ip, sizeof(a.ip));
	memcpy(a.options.interface, at->interface,
	    sizeof(a.options.interface));
	*ret = a;
	return 0;
}
