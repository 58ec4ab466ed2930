#include <stdlib.h>
#include <string.h>

#include "core/names/address.h"
#include "core/conf/conf.h"
#include "core/worker/fd_protocol.h"

/* "3,4" with any separator; `closed`: one behind the last too. */
static void
put_fds(struct strbuf *sb, size_t n, char separator, bool closed)
{
	for (size_t i = 0; i < n; i++) {
		strbuf_printf(sb, "%zu", FD_PROTOCOL_FIRST + i);
		if (closed || i + 1 < n)
			strbuf_putc(sb, separator);
	}
}

/* Take the built entry over; a failed buffer makes the list failed. */
static void
add_built(struct strlist *env, struct strbuf *sb)
{
	strlist_take(env, strbuf_take(sb));
}

static void
append_clusterd(const struct fd_protocol_args *a, struct strlist *env)
{
	struct strbuf sb = STRBUF_INIT;

	strlist_printf(env, "CLUSTERD_APP=%s", a->app);
	strlist_printf(env, "CLUSTERD_INSTANCE=%u", a->instance);
	strlist_printf(env, "CLUSTERD_INSTANCES=%u", a->instances);
	strlist_printf(env, "CLUSTERD_GENERATION=%u", a->generation);
	if (a->n_bound == 0)
		return;
	strbuf_puts(&sb, "CLUSTERD_FD=");
	put_fds(&sb, a->n_bound, ',', false);
	add_built(env, &sb);
}

/* sd_listen_fds(3) */
static void
append_systemd(const struct fd_protocol_args *a, struct strlist *env)
{
	struct strbuf sb = STRBUF_INIT;

	if (a->n_bound == 0)
		return;
	strlist_printf(env, "LISTEN_FDS=%zu", a->n_bound);
	strlist_add(env, "LISTEN_PID=");
	strbuf_puts(&sb, "LISTEN_FDNAMES=");
	for (size_t i = 0; i < a->n_bound; i++)
		strbuf_printf(&sb, "%s%s", i > 0 ? ":" : "",
		    a->names != NULL && a->names[i] != NULL ? a->names[i] :
		    a->app);
	add_built(env, &sb);
}

/*
 * HOST:PORT or a path for each, as start_server --port has it. A socket that is
 * for IPv6 and IPv4 has no name there: conf_said_check() refuses it.
 */
static void
append_server_starter(const struct fd_protocol_args *a, struct strlist *env)
{
	struct strbuf sb = STRBUF_INIT;

	if (a->n_bound == 0)
		return;
	strbuf_puts(&sb, "SERVER_STARTER_PORT=");
	for (size_t i = 0; i < a->n_bound; i++) {
		char *name = address_format_numeric(&a->bound[i]);

		if (name == NULL)
			sb.failed = true;
		else
			strbuf_printf(&sb, "%s%s=%zu", i > 0 ? ";" : "", name,
			    FD_PROTOCOL_FIRST + i);
		free(name);
	}
	add_built(env, &sb);
	strlist_printf(env, "SERVER_STARTER_GENERATION=%u", a->generation);
}

static const char *
family_name(const struct address *a)
{
	if (a->kind == ADDRESS_UNIX)
		return "AF_UNIX";
	return a->host == ADDRESS_HOST_IPV4 ? "AF_INET" : "AF_INET6";
}

/*
 * EINHORN_FD_COUNT and one each; a client whose parent is not the master that
 * is named believes nothing of it. Without a family it is AF_INET to them.
 */
static void
append_einhorn(const struct fd_protocol_args *a, struct strlist *env)
{
	if (a->n_bound == 0)
		return;
	strlist_printf(env, "EINHORN_MASTER_PID=%ld", a->master);
	strlist_printf(env, "EINHORN_CHILD_INDEX=%u", a->instance);
	strlist_printf(env, "EINHORN_FD_COUNT=%zu", a->n_bound);
	for (size_t i = 0; i < a->n_bound; i++) {
		strlist_printf(env, "EINHORN_FD_%zu=%zu", i,
		    FD_PROTOCOL_FIRST + i);
		strlist_printf(env, "EINHORN_FD_FAMILY_%zu=%s", i,
		    family_name(&a->bound[i]));
	}
}

/* nginx, ngx_add_inherited_sockets(): each number ends in ';' or ':'. */
static void
append_nginx(const struct fd_protocol_args *a, struct strlist *env)
{
	struct strbuf sb = STRBUF_INIT;

	if (a->n_bound == 0)
		return;
	strbuf_puts(&sb, "NGINX=");
	put_fds(&sb, a->n_bound, ';', true);
	add_built(env, &sb);
}

/* php-fpm compares with what it makes of its own `listen`: the address in
   numbers, IPv6 without brackets (":::9000" for a bare port). */
static void
append_php_fpm(const struct fd_protocol_args *a, struct strlist *env)
{
	struct strbuf sb = STRBUF_INIT;

	if (a->n_bound == 0)
		return;
	strbuf_puts(&sb, "FPM_SOCKETS=");
	for (size_t i = 0; i < a->n_bound; i++) {
		char *name = address_format_bare(&a->bound[i]);

		if (name == NULL)
			sb.failed = true;
		else
			strbuf_printf(&sb, "%s%s=%zu", i > 0 ? "," : "", name,
			    FD_PROTOCOL_FIRST + i);
		free(name);
	}
	add_built(env, &sb);
}

void
fd_protocol_append(const struct fd_protocol_args *a, struct strlist *env)
{
	static const struct {
		unsigned bit;
		void (*append)(const struct fd_protocol_args *,
		    struct strlist *);
	} protocols[] = {
		{ CONF_FDP_CLUSTERD, append_clusterd },
		{ CONF_FDP_SYSTEMD, append_systemd },
		{ CONF_FDP_SERVER_STARTER, append_server_starter },
		{ CONF_FDP_EINHORN, append_einhorn },
		{ CONF_FDP_NGINX, append_nginx },
		{ CONF_FDP_PHP_FPM, append_php_fpm },
	};

	for (size_t i = 0; i < sizeof(protocols) / sizeof(*protocols); i++)
		if ((a->protocols & protocols[i].bit) != 0)
			protocols[i].append(a, env);
	if (a->notify_socket != NULL)
		strlist_printf(env, "NOTIFY_SOCKET=%s", a->notify_socket);
}
