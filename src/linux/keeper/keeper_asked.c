#include <sys/socket.h>

#include <errno.h>

#include "linux/keeper/keeper_asked.h"
#include "linux/keeper/keeper_page.h"
#include "linux/keeper/keeper_post.h"

void
keeper_asked_mail(void)
{
	struct keeper_page *p = keeper_page();

	if (__atomic_load_n(&p->mail, __ATOMIC_ACQUIRE) != KEEPER_ASKED)
		return;
	p->mail_errno = sendto(p->mail_fd, p->mail_text, p->mail_len,
	    MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&p->mail_to,
	    p->mail_to_len) < 0 ? errno : 0;
	__atomic_store_n(&p->mail, KEEPER_DONE, __ATOMIC_RELEASE);
	keeper_post_wake();
}

void
keeper_asked_listen(void)
{
	struct keeper_page *p = keeper_page();

	if (__atomic_load_n(&p->listens, __ATOMIC_ACQUIRE) != KEEPER_ASKED)
		return;
	p->listen_code = listen(p->listen_fd, p->listen_backlog) < 0 ? -errno :
	    0;
	__atomic_store_n(&p->listens, KEEPER_DONE, __ATOMIC_RELEASE);
	keeper_post_wake();
}
