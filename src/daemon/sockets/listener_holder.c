#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/str.h"
#include "core/names/address.h"
#include "daemon/sockets/listener_holder.h"
#include "linux/keeper/keeper_share.h"
#include "linux/process/looks.h"
#include "linux/process/process.h"
#include "linux/socket/socket_holders.h"

#define BUDGET_MS	1000
#define QUICK_MS	10
#define NAME_MAX_LEN	64
#define ANCESTORS_MAX	32

/* By its name, which may be ours in another version: 1, 0; -1: that cannot be
   told. */
static int
is_clusterd(pid_t pid)
{
	char name[NAME_MAX_LEN], own[NAME_MAX_LEN];

	if (!process_name(pid, name, sizeof(name)))
		return -1;
	return strcmp(name, "clusterd") == 0 ||
	    (process_name(keeper_pid(), own, sizeof(own)) &&
		strcmp(name, own) == 0);
}

/* The nearest clusterd above it; 0: there is none; -1: not all of those above
   it can be seen. */
static pid_t
find_clusterd(pid_t pid)
{
	struct process_stat st;

	for (int i = 0; i < ANCESTORS_MAX && pid > 1; i++) {
		int yes = is_clusterd(pid);

		if (yes != 0)
			return yes > 0 ? pid : -1;
		if (!process_stat(pid, &st))
			return -1;
		pid = st.parent;
	}
	return pid == 1 ? (pid_t)is_clusterd(1) : -1;
}

static bool
is_worker(pid_t pid)
{
	const struct looker_whom whom = { .pid = pid };
	char id[NAME_MAX_LEN];

	return look_env(&whom, "CLUSTERD_WORKER_ID", id, sizeof(id)) == 0;
}

/* What ends those that nobody looks after. */
static void
put_left_behind(struct strbuf *sb, const struct socket_holders *h)
{
	strbuf_puts(sb, ", which a clusterd that is gone has left behind: "
	    "\"kill");
	for (size_t i = 0; i < h->n; i++)
		if (is_worker(h->pids[i]) && find_clusterd(h->pids[i]) == 0)
			strbuf_printf(sb, " %d", (int)h->pids[i]);
	strbuf_printf(sb, "\" ends %s", h->n == 1 ? "it" : "them");
}

static void
put_pids(struct strbuf *sb, const struct socket_holders *h, bool quick)
{
	pid_t first = h->pids[0], clusterd = find_clusterd(first);
	size_t others = h->n + h->more - 1;
	char name[NAME_MAX_LEN];

	strbuf_printf(sb, ", by pid %d", (int)first);
	if (process_name(first, name, sizeof(name)))
		strbuf_printf(sb, " (%s)", name);
	if (others > 0)
		strbuf_printf(sb, " and %zu other process%s", others,
		    others == 1 ? "" : "es");
	if (clusterd == keeper_pid())
		strbuf_puts(sb, ", of this clusterd");
	else if (clusterd > 0 && clusterd != first)
		strbuf_printf(sb, ", of the clusterd with pid %d",
		    (int)clusterd);
	else if (clusterd == 0 && !quick && is_worker(first))
		put_left_behind(sb, h);
}

void
listener_holder_tell(const struct address *a, bool quick, struct error *err)
{
	struct socket_holders holders;
	struct strbuf sb = STRBUF_INIT;

	if (err == NULL)
		return;
	socket_holders_find(a, quick ? QUICK_MS : BUDGET_MS, &holders);
	if (!holders.known)
		return;
	strbuf_puts(&sb, error_text(err));
	if (holders.n > 0)
		put_pids(&sb, &holders, quick);
	else if (holders.uid != (uint32_t)-1)
		strbuf_printf(&sb, ", by a process of the user with number %u",
		    (unsigned)holders.uid);
	else
		strbuf_puts(&sb, ", by a process that cannot be looked at");
	if (!sb.failed)
		error_set(err, -EADDRINUSE, "%s", sb.text);
	strbuf_free(&sb);
}
