#include <sys/socket.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mono.h"
#include "base/str.h"
#include "core/conf/advice_inspect.h"
#include "core/conf/conf.h"
#include "core/conf/conf_env.h"
#include "core/names/placeholder.h"
#include "core/sockets/private_word.h"
#include "daemon/adopt/adopt_ask.h"
#include "daemon/adopt/adopt_hint.h"
#include "daemon/adopt/trap_priv.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/child/seccomp_notify.h"
#include "linux/process/inspect.h"
#include "linux/process/locks.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_close.h"

/* The binds of one process for which is looked whether the port is free. */
#define HINTS_MAX	8

/* How long a bind that the kernel carries out may take to be seen. */
#define SIBLING_MS	100

static bool
joins_on_purpose(const struct ask *a)
{
	socklen_t len = sizeof(int);
	int on = 0;

	if (a->copy >= 0)
		(void)getsockopt(a->copy, SOL_SOCKET, SO_REUSEPORT, &on, &len);
	return on != 0;
}

static bool
is_told_port(const struct conf_app *conf)
{
	for (size_t i = 0; i < conf->command.n; i++)
		if (placeholder_in(PLACEHOLDER_PORT, conf->command.v[i]))
			return true;
	for (size_t i = 0; i < conf->env.n; i++)
		if (placeholder_in(PLACEHOLDER_PORT, conf->env.v[i]))
			return true;
	return false;
}

/* One that has bound none of its listeners was most likely not told of the port
   that {port} and PORT have: that of the first with a port. */
static void
put_untold(struct strbuf *sb, const struct worker *w)
{
	const struct conf_app *conf = w->spec->conf;
	const struct address *bound = app_spec_bound(w->spec, w->instance);
	const char *said = conf_env_said(conf, "PORT");
	char port[16];
	size_t i = 0;

	while (i < conf->n_listens && bound[i].kind == ADDRESS_UNIX)
		i++;
	if (i == conf->n_listens || bound[i].kind != ADDRESS_TCP ||
	    w->bound != 0 || is_told_port(conf))
		return;
	snprintf(port, sizeof(port), "%u", (unsigned)bound[i].port);
	strbuf_printf(sb, "; if it is to serve %s, tell it: {port} in its "
	    "command, or PORT, which ", port);
	if (said == NULL || strcmp(said, port) == 0)
		strbuf_puts(sb, "its environment has");
	else
		strbuf_printf(sb, "env or env_file sets to \"%.20s\"", said);
}

/* Does another instance hold a file for itself alone? */
static bool
has_locked_sibling(const struct worker *w)
{
	struct locks locks;
	bool found = false;

	locks_read(&locks);
	for (const struct worker *o = w->crew->workers; o != NULL && !found;
	    o = o->next) {
		struct fsids ids;

		if (o == w || o->pid == 0)
			continue;
		ids = inspect_begin(&o->spec->conf->creds);
		found = locks_held(&locks, o->pid);
		inspect_end(&ids);
	}
	locks_free(&locks);
	return found;
}

static bool
asks_for_inspector(const struct worker *w, const struct address *at)
{
	return at->kind == ADDRESS_TCP && at->port != 0 &&
	    advice_inspect_may_be(w->spec->conf, environ, at->port);
}

/*
 * Nobody is advised to share what was not made for it: a database whose port
 * alone keeps it from running twice on the same data. One that holds a lock has
 * said so.
 */
static void
hint_taken(const struct worker *w, const struct address *at)
{
	const struct address_text name = address_text(at);
	const char *in_file = w->spec->conf->line == 0 ? " in a file (-c)" : "";
	struct strbuf untold = STRBUF_INIT;
	const char *first;

	if (asks_for_inspector(w, at)) {
		worker_log_often(LOG_LEVEL_WARNING, w, "asks for %s, a "
		    "debugger's port by its --inspect, which another has: only "
		    "one of its instances can have it; --inspect=0 gives each "
		    "one of its own", name.s);
		return;
	}
	put_untold(&untold, w);
	first = untold.text != NULL && !untold.failed ? untold.text : "";
	if (has_locked_sibling(w))
		worker_log_often(LOG_LEVEL_WARNING, w, "asks for %s, which is taken "
		    "and is none of this app's listeners; another instance "
		    "holds a lock on a file, so they are hardly to share it: "
		    "instances = 1 if only one may run", name.s);
	else if (w->crew->wanted < 2)
		worker_log_often(LOG_LEVEL_WARNING, w, "asks for %s, which is taken "
		    "and is none of this app's listeners%s; if the worker "
		    "before it has it: listen = %s%s", name.s, first, name.s,
		    in_file);
	else
		worker_log_often(LOG_LEVEL_WARNING, w, "asks for %s, which is taken "
		    "and is none of this app's listeners%s; if its instances "
		    "may share it, and no data of their own: listen = %s%s; if "
		    "each is to have one: {instance} in that", name.s, first,
		    name.s, in_file);
	strbuf_free(&untold);
}

void
adopt_hint_late(struct worker *w)
{
	struct trap *t = w->trap;

	if (t->hint_late && spec_told_note_hint(&w->spec->told, &t->hint_at))
		hint_taken(w, &t->hint_at);
	t->hint_late = false;
}

void
adopt_hint(const struct ask *a)
{
	const struct address asked = address_unmapped(&a->asked);
	const struct mono now = mono_now();
	struct app_spec *spec = a->w->spec;

	if (a->asked.kind == ADDRESS_UNIX || a->asked.port == 0 ||
	    a->w->trap->hints >= HINTS_MAX || joins_on_purpose(a))
		return;
	a->w->trap->hints++;
	adopt_hint_late(a->w);
	/* Another instance's bind may be under way. */
	if (!spec_told_sibling_bound(&spec->told, &asked, a->w->instance, now,
	    SIBLING_MS) && !listeners_taken(&a->asked)) {
		spec_told_note_bind(&spec->told, &asked, a->w->instance, now);
	} else {
		a->w->trap->hint_late = true;
		a->w->trap->hint_at = asked;
		a->w->trap->hint_ino = a->ino;
	}
}

static bool
is_bound_to(const struct worker *w, const struct seccomp_call *call, uint64_t ino,
    unsigned port)
{
	struct fsids ids = inspect_begin(&w->spec->conf->creds);
	pid_t pid = inspect_process_of(call->tid);
	struct address at = { .kind = ADDRESS_TCP };
	bool bound = false;
	int copy;

	inspect_end(&ids);
	copy = pid > 0 ? inspect_take_fd(pid, call->fd) : -1;
	if (copy < 0)
		return false;
	if (socket_inode(copy) == ino && socket_address(copy, &at) == 0) {
		bound = at.kind == ADDRESS_TCP && at.port == port;
		address_free(&at);
	}
	socket_close(&copy);
	return bound;
}

void
adopt_hint_listens(struct worker *w, const struct seccomp_call *call, uint64_t ino)
{
	struct trap *t = w->trap;

	if (t->hint_late && t->hint_ino == ino &&
	    is_bound_to(w, call, ino, t->hint_at.port))
		t->hint_late = false;
}

/* All that the app listens on, as its file says: "8080, udp:53". */
static void
put_listens(struct strbuf *sb, const struct worker *w)
{
	const struct conf_app *conf = app_spec_conf(w->spec, w->instance);
	const struct address *bound = app_spec_bound(w->spec, w->instance);

	for (size_t i = 0; i < conf->n_listens; i++) {
		struct address a = conf->listens[i];

		if (a.kind != ADDRESS_UNIX)
			a.port = bound[i].port;
		strbuf_printf(sb, "%s%s", i > 0 ? ", " : "",
		    address_text(&a).s);
	}
}

/* What to do about it, if it is all that the worker serves. */
static void
put_remedies(struct strbuf *sb, const struct worker *w,
    const struct address *at)
{
	const struct conf_app *conf = w->spec->conf;
	bool no_file = conf->line == 0;

	put_untold(sb, w);
	strbuf_printf(sb, "; if clients are to come there: ");
	if (no_file)
		strbuf_printf(sb, "-p %u", (unsigned)at->port);
	else if (at->host == ADDRESS_HOST_ANY || conf->has_port)
		strbuf_printf(sb, "port = %u", (unsigned)at->port);
	else
		strbuf_printf(sb, "listen = %s", address_text(at).s);
	if (conf->handoff == CONF_HANDOFF_AUTO)
		strbuf_printf(sb, "; if it looks whether its port is free, and "
		    "finds it taken by clusterd: handoff = adopt%s",
		    no_file ? ", in a file (-c)" : "");
}

void
adopt_hint_elsewhere(const struct worker *w, const struct address *at)
{
	const struct address where = address_unmapped(at);
	struct strbuf sb = STRBUF_INIT;
	bool alone = !w->trap->bound && !worker_ready(w);

	/* Nobody's clients are to come there. */
	if (asks_for_inspector(w, &where))
		return;
	if (!spec_told_note_elsewhere(&w->spec->told, &where))
		return;
	put_listens(&sb, w);
	strbuf_putc(&sb, ')');
	if (alone)
		put_remedies(&sb, w, &where);
	worker_log_often(alone ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, w, "listens on "
	    "%s, which is none of this app's listeners (%s",
	    address_text_numeric(&where).s, sb.failed ? "?)" : sb.text);
	strbuf_free(&sb);
}

/* Words as they are executed, as far as {port} goes. */
static bool
expand_command(const struct conf_app *conf, unsigned port,
    struct strlist *ret_words)
{
	char number[16];
	const struct placeholders p = {
		.values = { [PLACEHOLDER_PORT] = number },
	};
	struct strlist words = STRLIST_INIT;

	snprintf(number, sizeof(number), "%u", port);
	for (size_t i = 0; i < conf->command.n; i++)
		strlist_take(&words,
		    placeholders_expand(&p, conf->command.v[i]));
	*ret_words = words;
	return !words.failed;
}

/* Open to all, and nobody has asked for another address. */
static bool
is_public(const struct app_spec *spec, const struct listener *l)
{
	static const uint8_t nought[sizeof(l->bound.ip)];

	return l != NULL && l->listening && !l->inherited &&
	    l->bound.kind == ADDRESS_TCP && !app_spec_has_taken(spec, l) &&
	    (l->bound.host == ADDRESS_HOST_ANY ||
	    memcmp(l->bound.ip, nought, sizeof(nought)) == 0);
}

void
adopt_hint_public(struct app_spec *spec,
    bool (*is_served)(void *ctx, struct listener *l), void *ctx)
{
	const struct conf_app *conf = spec->conf;

	if (conf->handoff == CONF_HANDOFF_ADOPT || spec->told.public)
		return;
	for (size_t i = 0; i < conf->n_listens; i++) {
		struct listener *l = spec->listeners[i];
		struct strlist words = STRLIST_INIT;
		const char *word = NULL;
		unsigned port = spec->bound[i].port;

		if (is_public(spec, l) && expand_command(conf, port, &words))
			word = private_word(&words, port);
		if (word != NULL && is_served(ctx, l) &&
		    spec_told_note_public(&spec->told))
			log_app(LOG_LEVEL_WARNING, conf->name, "its command "
			    "says %s, and its workers serve %s, which they "
			    "were given and which is open to all: listen = "
			    "127.0.0.1:%u makes that private, handoff = adopt "
			    "lets them bind by themselves", word,
			    address_text_numeric(&l->bound).s, port);
		strlist_free(&words);
	}
}

void
adopt_log_refused(const struct ask *a, size_t position)
{
	worker_log_often(LOG_LEVEL_WARNING, a->w, "asks for %s with an IPv4 "
	    "socket, but listen = %s is for IPv6 alone: refused",
	    address_text(&a->asked).s,
	    address_text(&a->w->spec->conf->listens[position]).s);
}
