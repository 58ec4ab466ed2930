#include <sys/socket.h>

#include <errno.h>
#include <string.h>

#include "linux/keeper/keeper_asked.h"
#include "linux/keeper/keeper_page.h"
#include "linux/keeper/keeper_post.h"
#include "linux/keeper/keeper_share.h"

int
keeper_mail_send(int fd, const struct sockaddr_un *to, socklen_t to_len,
    const char *text, size_t len, int passed)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	struct iovec iov = { .iov_base = (char *)text, .iov_len = len };
	struct msghdr msg = {
		.msg_name = (struct sockaddr_un *)to, .msg_namelen = to_len,
		.msg_iov = &iov, .msg_iovlen = 1,
	};

	if (passed >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		control.head = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(sizeof(int)),
			.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(&control.head), &passed, sizeof(passed));
	}
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
}

void
keeper_asked_mail(void)
{
	struct keeper_page *p = keeper_page();
	enum keeper_asked asked = KEEPER_ASKED;

	/* Called off, its descriptors may be closed, and be others by now. */
	if (!__atomic_compare_exchange_n(&p->mail, &asked, KEEPER_AT_IT,
	    false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return;
	p->mail_errno = keeper_mail_send(p->mail_fd, &p->mail_to,
	    p->mail_to_len, p->mail_text, p->mail_len, p->mail_passed);
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
