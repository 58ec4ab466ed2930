#include <stdint.h>
#include <unistd.h>

#include "linux/keeper/keeper_page.h"
#include "linux/keeper/keeper_post.h"

void
keeper_post_wake(void)
{
	const uint64_t one = 1;

	(void)!write(keeper_page()->wake_fd, &one, sizeof(one));
}

static bool
has_same(const struct keeper_signal *s)
{
	const struct keeper_page *p = keeper_page();
	unsigned taken = __atomic_load_n(&p->taken, __ATOMIC_ACQUIRE);

	for (unsigned i = taken; i != p->put; i++)
		if (p->signals[i % KEEPER_SIGNALS].signo == s->signo)
			return true;
	return false;
}

void
keeper_post_signal(const struct keeper_signal *s)
{
	struct keeper_page *p = keeper_page();
	unsigned taken = __atomic_load_n(&p->taken, __ATOMIC_ACQUIRE);

	if (p->put - taken >= KEEPER_SIGNALS - 8 && has_same(s))
		return;
	if (p->put - taken == KEEPER_SIGNALS)
		return;
	p->signals[p->put % KEEPER_SIGNALS] = *s;
	__atomic_store_n(&p->put, p->put + 1, __ATOMIC_RELEASE);
	keeper_post_wake();
}

/* The place of the next one, which nobody reads as a death yet. */
static void
fill_next(pid_t pid, int status)
{
	struct keeper_page *p = keeper_page();

	if (keeper_post_has_room())
		p->deaths[p->died % KEEPER_DEATHS] = (struct keeper_death){
			.pid = pid, .status = status,
		};
}

void
keeper_post_dying(pid_t pid, int status)
{
	fill_next(pid, status);
}

void
keeper_post_not(void)
{
	fill_next(0, 0);
}

void
keeper_post_death(pid_t pid, int status)
{
	struct keeper_page *p = keeper_page();

	p->deaths[p->died % KEEPER_DEATHS] = (struct keeper_death){
		.pid = pid, .status = status,
	};
	__atomic_store_n(&p->died, p->died + 1, __ATOMIC_RELEASE);
	keeper_post_not();
	keeper_post_wake();
}

bool
keeper_post_has_room(void)
{
	const struct keeper_page *p = keeper_page();

	return p->died - __atomic_load_n(&p->buried, __ATOMIC_ACQUIRE) <
	    KEEPER_DEATHS;
}
