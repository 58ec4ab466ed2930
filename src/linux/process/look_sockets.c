#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mono.h"
#include "linux/process/look_sockets.h"

/* Of a step. */
#define STEP_MS 1

/* So often in turn a search may be lost. */
#define STALE_MAX 3

struct of_sockets {
	uint64_t number;
	size_t n;		/* of the roots; 0: it goes on */
	pid_t roots[LOOK_ROOTS_MAX];
};

#define SOCKETS_MAX	500
/* So many entries tree_sockets_step() looks at, at least. */
#define SOCKETS_STEP	64

struct sockets {
	size_t n;
	struct tree_socket v[SOCKETS_MAX];
};
_Static_assert(sizeof(struct sockets) <= LOOKER_BYTES_MAX &&
    sizeof(struct of_sockets) <= LOOKER_BYTES_MAX, "");

/* ---- over there ---- */

struct search {
	uint64_t number;	/* 0: a free place */
	uint64_t stepped;	/* the higher, the later */
	struct tree_sockets tree;
};

static struct {
	pid_t owner;
	uint64_t steps;
	struct search v[LOOK_SEARCHES_MAX];
} searches;

/* What a process has of its parent's are directories that are closed. */
static void
be_own(void)
{
	if (searches.owner != getpid())
		memset(&searches, 0, sizeof(searches));
	searches.owner = getpid();
}

static struct search *
find_search(uint64_t number)
{
	for (size_t i = 0; i < LOOK_SEARCHES_MAX; i++)
		if (searches.v[i].number == number)
			return &searches.v[i];
	return NULL;
}

static void
end_search(struct search *x)
{
	tree_sockets_end(&x->tree);
	x->number = x->stepped = 0;
}

static int
begin_search(const struct of_sockets *of, struct search **ret)
{
	struct search *x = find_search(of->number);
	int code;

	if (x == NULL)
		x = &searches.v[0];
	for (size_t i = 0; x->number != of->number &&
	    i < LOOK_SEARCHES_MAX; i++)
		if (searches.v[i].stepped < x->stepped)
			x = &searches.v[i];
	end_search(x);
	code = tree_sockets_begin(&x->tree, of->roots, of->n);
	if (code == 0)
		x->number = of->number;
	*ret = x;
	return code;
}

static void
note_socket(void *ctx, const struct tree_socket *socket)
{
	struct sockets *s = ctx;

	s->v[s->n++] = *socket;
}

/* -ESTALE: it was another child's, or others have taken its place. */
static int
do_sockets(const void *arg, void *ret, struct looker_fds *fds)
{
	const struct of_sockets *of = arg;
	struct mono end = mono_add_ms(mono_now(), STEP_MS);
	struct sockets *found = ret;
	struct search *x;
	int code = 0;

	(void)fds;
	be_own();
	if (of->n > 0)
		code = begin_search(of, &x);
	else if ((x = find_search(of->number)) == NULL)
		code = -ESTALE;
	if (code < 0)
		return code;
	x->stepped = ++searches.steps;
	do
		code = tree_sockets_step(&x->tree, 0, note_socket, found);
	while (code > 0 && found->n + SOCKETS_STEP <= SOCKETS_MAX &&
	    mono_before(mono_now(), end));
	if (code <= 0)
		end_search(x);
	return code;
}

/* ---- here ---- */

int
look_sockets_begin(struct look_sockets *s, const pid_t *roots, size_t n)
{
	struct look_sockets fresh = { .n = n };

	if (n > LOOK_ROOTS_MAX)
		return -E2BIG;
	fresh.roots = calloc(n > 0 ? n : 1, sizeof(roots[0]));
	if (fresh.roots == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		fresh.roots[i] = roots[i];
	*s = fresh;
	return 0;
}

void
look_sockets_end(struct look_sockets *s)
{
	free(s->roots);
	*s = (struct look_sockets){ .n = 0 };
}

static int
start_anew(struct look_sockets *s)
{
	s->begun = false;
	if (++s->stale < STALE_MAX)
		return 1;
	s->stale = 0;
	return -EBUSY;
}

int
look_sockets_step(struct look_sockets *s, const struct conf_creds *creds,
    void (*fn)(void *ctx, const struct tree_socket *socket), void *ctx)
{
	static uint64_t numbers;
	const struct looker_whom whom = {
		.pid = s->n > 0 ? s->roots[0] : 0, .creds = creds,
	};
	struct of_sockets of = { .n = s->begun ? 0 : s->n };
	struct sockets found = { .n = 0 };
	int code;

	if (s->n == 0)
		return 0;
	if (s->number == 0)
		s->number = ++numbers;
	of.number = s->number;
	memcpy(of.roots, s->roots, of.n * sizeof(s->roots[0]));
	code = looker_ask(&whom, &(struct looker_question){
	    .fn = do_sockets, .arg = &of,
	    .arg_len = offsetof(struct of_sockets, roots) +
		of.n * sizeof(of.roots[0]),
	    .ret = &found, .ret_len = sizeof(found),
	});
	if (code == -ESTALE)
		return start_anew(s);
	if (looker_is_held_up(code))
		return code;
	for (size_t i = 0; i < found.n; i++)
		fn(ctx, &found.v[i]);
	if (s->begun)
		s->stale = 0;
	s->begun = true;
	return code;
}
