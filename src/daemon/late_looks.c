#include <sys/epoll.h>

#include "daemon/adopt/adopt.h"
#include "daemon/adopt/adopt_review.h"
#include "daemon/late_looks.h"
#include "daemon/watch/drainers.h"
#include "daemon/watch/orphans.h"
#include "daemon/watch/readiness.h"
#include "linux/process/looker.h"

static void
news_came(void *ctx, uint32_t events)
{
	struct late_looks *late = ctx;

	(void)events;
	looker_news();
	adopt_look_again(late->adopt);
	adopt_review_look_again(late->adopt->review);
	readiness_look_again(late->readiness);
	drainers_look_again(late->drainers);
	orphans_look_again(late->orphans);
}

void
late_looks_begin(struct late_looks *late, struct loop *loop,
    struct adopt *adopt, struct readiness *readiness,
    struct drainers *drainers, struct orphans *orphans)
{
	int fd = looker_keep();

	*late = (struct late_looks){
		.adopt = adopt, .readiness = readiness,
		.drainers = drainers, .orphans = orphans,
	};
	if (fd >= 0)
		(void)loop_add(loop, fd, EPOLLIN, false, news_came, late,
		    &late->handle);
}
