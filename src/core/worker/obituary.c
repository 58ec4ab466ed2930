#include "base/str.h"
#include "core/conf/conf_value.h"
#include "core/worker/obituary.h"
#include "core/names/signal_name.h"
#include "core/worker/worker_fsm.h"
#include "core/worker/worker_words.h"

void
obituary_cause(struct strbuf *sb, struct exit_status status)
{
	const char *name;

	if (!status.signalled) {
		strbuf_printf(sb, "exited with code %d", status.code);
		return;
	}
	if (status.code == EXIT_STATUS_UNSEEN.code) {
		strbuf_puts(sb, "gone, nobody saw how,");
		return;
	}
	name = signal_name(status.code);
	strbuf_printf(sb, "killed by signal %d", status.code);
	if (name != NULL)
		strbuf_printf(sb, " (SIG%s)", name);
	if (status.core_dumped)
		strbuf_puts(sb, ", core dumped,");
}

void
obituary_oom(struct strbuf *sb, int64_t limit)
{
	strbuf_puts(sb, "killed by the OOM killer");
	if (limit < 0)
		return;
	strbuf_puts(sb, " (memory_limit ");
	conf_size_print(sb, limit);
	strbuf_puts(sb, ")");
}

void
obituary_duration(struct strbuf *sb, int64_t ms)
{
	if (ms < 1000)
		strbuf_printf(sb, "%dms", (int)ms);
	else if (ms < 60 * 1000)
		strbuf_printf(sb, "%d.%ds", (int)(ms / 1000),
		    (int)(ms % 1000 / 100));
	else if (ms < 3600 * 1000)
		strbuf_printf(sb, "%dm%02ds", (int)(ms / 60000),
		    (int)(ms / 1000 % 60));
	else if (ms < 48 * 3600 * (int64_t)1000)
		strbuf_printf(sb, "%dh%02dm", (int)(ms / 3600000),
		    (int)(ms / 60000 % 60));
	else
		strbuf_printf(sb, "%lldd%02dh",
		    (long long)(ms / 86400000), (int)(ms / 3600000 % 24));
}

static void
put_consequence(struct strbuf *sb, const struct worker_step *step)
{
	switch (step->why) {
	case WORKER_WHY_AGAIN:
	case WORKER_WHY_NO_FORK:
		if (step->delay_ms == 0) {
			strbuf_puts(sb, ", restarting now");
		} else {
			strbuf_puts(sb, ", restarting in ");
			obituary_duration(sb, step->delay_ms);
		}
		break;
	case WORKER_WHY_NOTHING:
	case WORKER_WHY_ASKED:
		break;
	default:
		strbuf_printf(sb, ", %s", worker_reason_text(step->why));
		break;
	}
}

void
obituary_line(struct strbuf *sb, const char *cause, int64_t lived_ms,
    const struct worker_step *step)
{
	strbuf_printf(sb, "%s after ", cause);
	obituary_duration(sb, lived_ms);
	put_consequence(sb, step);
}
