#include <sys/mman.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "core/ledger/ledger.h"
#include "linux/keeper/keeper_clear.h"
#include "linux/keeper/keeper_page.h"
#include "linux/keeper/keeper_state.h"
#include "linux/ledger/descriptors.h"

#define MAGIC	UINT64_C(0x6564726574737563)

struct head {
	uint64_t magic;
	char word[KEEPER_STATE_WORD_SIZE];
	uint64_t page_size;
	pid_t pid;
};

const char *
keeper_state_word(char word[KEEPER_STATE_WORD_SIZE])
{
	snprintf(word, KEEPER_STATE_WORD_SIZE, "%d.%d.%zu",
	    KEEPER_STATE_VERSION, LEDGER_VERSION,
	    sizeof(struct keeper_page) + sizeof(struct keeper_handover));
	return word;
}

static struct head
make_head(void)
{
	struct head head = {
		.magic = MAGIC, .page_size = sizeof(struct keeper_page),
		.pid = getpid(),
	};

	(void)keeper_state_word(head.word);
	return head;
}

/* Where the state stands in the file, the first thing. */
int
keeper_state_fd(int *ret_ledger_fd)
{
	const char *value = getenv(KEEPER_STATE_ENV);
	struct keeper_handover *skipped = NULL;
	const struct head mine = make_head();
	struct keeper_page page;
	struct head head;
	uint64_t fd;

	if (value == NULL)
		return -1;
	if (!num_parse(value, 3, INT32_MAX, &fd) ||
	    pread((int)fd, &head, sizeof(head), 0) !=
		(ssize_t)sizeof(head) ||
	    memcmp(&head, &mine, sizeof(head)) != 0 ||
	    pread((int)fd, &page, sizeof(page), (off_t)(sizeof(head) +
		sizeof(*skipped))) != (ssize_t)sizeof(page))
		fd = UINT64_MAX;
	(void)unsetenv(KEEPER_STATE_ENV);
	if (fd == UINT64_MAX)
		return -1;
	*ret_ledger_fd = page.ledger_fd;
	return (int)fd;
}

int
keeper_check_state(const char *word, const char *version)
{
	char mine[KEEPER_STATE_WORD_SIZE];
	bool takes = strcmp(word, keeper_state_word(mine)) == 0;

	printf(takes ? "clusterd %s takes state %s\n" :
	    "clusterd %s understands state %s, not that of the one that runs\n",
	    version, mine);
	return fflush(stdout) == 0 && takes ? 0 : 1;
}

/* ---- handing over ---- */

/* Those that an exec would close, but for the program itself. */
static int
note_closing(int binary, struct descriptors *ret)
{
	struct descriptors all;
	int code = descriptors_list(NULL, &all);
	size_t n = 0;

	if (code < 0)
		return code;
	for (size_t i = 0; i < all.n; i++) {
		int flags = fcntl(all.v[i], F_GETFD);

		if (flags >= 0 && (flags & FD_CLOEXEC) != 0 &&
		    all.v[i] != binary)
			all.v[n++] = all.v[i];
	}
	all.n = n;
	*ret = all;
	return 0;
}

static void
set_closing(const struct descriptors *d, bool closing)
{
	for (size_t i = 0; i < d->n; i++)
		(void)fcntl(d->v[i], F_SETFD, closing ? FD_CLOEXEC : 0);
}

static int
write_all(int fd, const struct keeper_handover *handover,
    const struct descriptors *closing)
{
	const struct head head = make_head();
	uint64_t n = closing->n;

	if (keeper_state_put(fd, &head, sizeof(head)) < 0 ||
	    keeper_state_put(fd, handover, sizeof(*handover)) < 0 ||
	    keeper_state_put(fd, keeper_page(), sizeof(struct keeper_page)) <
		0 ||
	    keeper_page_hand_over(fd) < 0 || keeper_clear_hand_over(fd) < 0 ||
	    keeper_state_put(fd, &n, sizeof(n)) < 0 ||
	    keeper_state_put(fd, closing->v, n * sizeof(*closing->v)) < 0 ||
	    lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	return 0;
}

int
keeper_state_exec(int binary, char *const argv[],
    const struct keeper_handover *handover)
{
	struct descriptors closing = { .v = NULL };
	int fd = memfd_create("clusterd-keeper", 0), code;
	char number[16];

	if (fd < 0)
		return -errno;
	snprintf(number, sizeof(number), "%d", fd);
	code = note_closing(binary, &closing);
	if (code == 0)
		code = write_all(fd, handover, &closing);
	if (code == 0 && setenv(KEEPER_STATE_ENV, number, 1) < 0)
		code = -errno;
	if (code == 0) {
		set_closing(&closing, false);
		(void)syscall(SYS_execveat, binary, "", argv, environ,
		    AT_EMPTY_PATH);
		code = -errno;
		set_closing(&closing, true);
	}
	(void)unsetenv(KEEPER_STATE_ENV);
	free(closing.v);
	fd_close(&fd);
	return code;
}

/* ---- taking ---- */

static int
take_closing(int fd)
{
	struct descriptors closing = { .v = NULL };
	uint64_t n;
	int code = keeper_state_get(fd, &n, sizeof(n));

	if (code < 0 || n == 0)
		return code;
	closing.n = (size_t)n;
	closing.v = calloc(closing.n, sizeof(*closing.v));
	if (closing.v == NULL)
		return -ENOMEM;
	code = keeper_state_get(fd, closing.v, closing.n *
	    sizeof(*closing.v));
	if (code == 0)
		set_closing(&closing, true);
	free(closing.v);
	return code;
}

static int
take_all(int fd, struct keeper_handover *handover)
{
	const struct head mine = make_head();
	struct head head;
	int code = keeper_state_get(fd, &head, sizeof(head));

	if (code < 0)
		return code;
	if (memcmp(&head, &mine, sizeof(head)) != 0)
		return -EBADMSG;
	code = keeper_state_get(fd, handover, sizeof(*handover));
	if (code == 0)
		code = keeper_page_take(fd);
	if (code == 0)
		code = keeper_clear_take(fd);
	return code == 0 ? take_closing(fd) : code;
}

int
keeper_state_take(int fd, struct keeper_handover *ret)
{
	int code = take_all(fd, ret);

	fd_close(&fd);
	return code;
}
