#include "base/log.h"
#include "base/mono.h"
#include "base/str.h"
#include "daemon/sockets/lanes_words.h"
#include "daemon/sockets/listener.h"
#include "linux/bpf/steering_ebpf.h"

/* Of more than these nobody reads a list. */
#define TELL_MAX 64

static bool
is_in_doubt(const struct lane *lane)
{
	const struct lane_order *o = &lane->listener->lanes.order;
	size_t place = lane_order_find(o, lane->slot);

	return place != LANE_ORDER_NONE && o->v[place].doubt;
}

static void
put_lane(struct strbuf *sb, const struct lane *lane)
{
	strbuf_printf(sb, " %u", lane->slot);
	if (lane->holder != NULL)
		strbuf_printf(sb, " of [%ld]", lane->holder->about.instance);
	if (!lane->listening)
		strbuf_puts(sb, " (which does not listen)");
	else if (lane->listener->lanes.ebpf == NULL && is_in_doubt(lane))
		strbuf_puts(sb, " (whose place is in doubt)");
}

void
lanes_words_tell_live(const struct listener *l)
{
	const struct lanes *ls = &l->lanes;
	struct strbuf sb = STRBUF_INIT;
	const char *between = "";

	if (ls->n > TELL_MAX || !log_enabled(LOG_LEVEL_DEBUG))
		return;
	for (size_t i = 0; i < ls->n; i++) {
		if (!ls->v[i]->live)
			continue;
		strbuf_puts(&sb, between);
		put_lane(&sb, ls->v[i]);
		between = ",";
	}
	if (!sb.failed)
		log_app_often(LOG_LEVEL_DEBUG, l->app,
		    "new connections to %s go to lane%s",
		    address_text_numeric(&l->bound).s,
		    sb.text != NULL ? sb.text : "s as before");
	strbuf_free(&sb);
}

/* The program chooses among those that it knows, and rather those to which not
   much is under way. */
static void
put_obstacles_of_ebpf(struct strbuf *sb, const struct lane *lane)
{
	const struct steering_ebpf *ebpf = lane->listener->lanes.ebpf;
	uint64_t n = steering_ebpf_charged(ebpf, lane->slot, mono_now());

	if (!steering_ebpf_knows(ebpf, lane->slot))
		strbuf_puts(sb, ", unknown to eBPF");
	if (n > 0)
		strbuf_printf(sb, ", %llu under way", (unsigned long long)n);
}

void
lanes_words_put_obstacles(struct strbuf *sb, const struct lane *lane)
{
	if (!lane->listening)
		strbuf_puts(sb, ", does not listen");
	if (!lane->live)
		strbuf_puts(sb, lane->wanted ? ", not live yet" : ", not live");
	if (lane->deserted)
		strbuf_puts(sb, ", deserted");
	if (lane->broken)
		strbuf_puts(sb, ", broken");
	if (lane->sealed)
		strbuf_puts(sb, ", sealed");
	if (lane->listener->lanes.ebpf != NULL)
		put_obstacles_of_ebpf(sb, lane);
	else if (is_in_doubt(lane))
		strbuf_puts(sb, ", its place is in doubt");
}
