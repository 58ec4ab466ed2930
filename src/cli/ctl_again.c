#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "base/mono.h"
#include "cli/ctl_again.h"
#include "linux/control/control_link.h"

/* After several quick deaths the next one comes 10 seconds later: that long
   nobody is kept waiting without a word. */
#define WAIT_MS		10000
#define PAUSE_MS	20

bool
ctl_again_is_there(const struct control_link *client)
{
	return client->pid <= 0 || kill(client->pid, 0) == 0 || errno == EPERM;
}

/* Is it worth another try? */
static bool
comes_later(int code)
{
	return code == -ECONNREFUSED || code == -ENOENT ||
	    code == -ECONNRESET || code == -ETIMEDOUT;
}

bool
ctl_again(struct control_link *client)
{
	struct mono end = mono_add_ms(mono_now(), WAIT_MS);
	struct control_link next;
	int code = -ECONNRESET;

	/* One that does not tell keeps no keeper. */
	if (!client->supervised)
		return false;
	while (code < 0 && comes_later(code) &&
	    ctl_again_is_there(client) && mono_before(mono_now(), end)) {
		code = control_link_open(&next, client->path, end, NULL);
		if (code < 0)
			(void)poll(NULL, 0, PAUSE_MS);
	}
	if (code < 0)
		return false;
	if (!next.supervised || next.pid != client->pid ||
	    next.supervisor == client->supervisor) {
		control_link_close(&next);
		return false;
	}
	control_link_close(client);
	*client = next;
	return true;
}
