#include <stddef.h>

#include "core/conf/conf.h"
#include "core/conf/conf_order.h"
#include "daemon/above.h"
#include "daemon/apps/apps.h"
#include "daemon/ending.h"
#include "linux/keeper/keeper_share.h"

int
above_open(struct above *above, struct loop *loop)
{
	int code = sd_notify_open(loop, &above->up);

	if (code == 0)
		fd_store_open(&above->store, &above->up);
	return code;
}

static int64_t
stop_ms(const struct conf_app *app)
{
	return app->drain_timeout_ms + 2 * app->stop_timeout_ms;
}

int64_t
above_stop_ms(const struct config *config)
{
	return conf_order_longest(config, stop_ms) + ENDING_GIVE_UP_MS;
}

/* It has a time limit of its own. */
void
above_tell_stop(struct above *above, const struct config *config,
    const char *words, int64_t delay_ms)
{
	above->leaves = true;
	sd_notify_send(&above->up, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld",
	    (long long)(delay_ms + above_stop_ms(config)) * 1000);
	sd_notify_status(&above->up, "STATUS=%s", words);
}

void
above_tell_more(struct above *above, int64_t ms)
{
	sd_notify_send(&above->up, "EXTEND_TIMEOUT_USEC=%lld",
	    (long long)ms * 1000);
}

/* No message says that a reload has failed, and without READY=1 systemd waits
   until its time is over. */
void
above_tell_ready(struct above *above, int code)
{
	if (!above->leaves)
		sd_notify_send(&above->up, "READY=1\nMAINPID=%d\nERRNO=%d",
		    (int)keeper_pid(), code);
}

void
above_tell_status(struct above *above, const struct apps *apps,
    const char *refusal)
{
	unsigned ready, wanted;

	if (above->leaves)
		return;
	apps_count(apps, &ready, &wanted);
	sd_notify_status(&above->up, "STATUS=%u of %u instances ready%s%s",
	    ready, wanted, refusal != NULL ? "; reload refused: " : "",
	    refusal != NULL ? refusal : "");
}
