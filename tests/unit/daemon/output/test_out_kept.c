/* What is kept: room, order, and whose it is. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "core/output/out_form.h"
#include "daemon/output/out_kept.h"
#include "daemon/output/out_losses.h"
#include "daemon/output/out_place.h"

/* Linked with -Wl,--wrap= for it: while `no_memory`, it fails. */
void *__real_malloc(size_t size) __attribute__((weak));
void *__wrap_malloc(size_t size);

static const struct out_form *
tagged(const char *tag)
{
	static struct out_form form;

	form = (struct out_form){ .kind = OUT_KIND_TAG };
	form.head_len = strlen(tag);
	memcpy(form.head, tag, form.head_len);
	return &form;
}

static bool no_memory;

void *
__wrap_malloc(size_t size)
{
	return no_memory ? NULL : __real_malloc(size);
}

static char heard[512];
static bool log_takes;
/* The log loses a line of `web` here with each of its own. */
static struct out_losses *loses;

static bool
hear(void *ctx, const char *line, size_t len)
{
	(void)ctx;
	if (loses != NULL)
		out_losses_add(loses, "web", 1);
	if (log_takes) {
		assert_true(strlen(heard) + len < sizeof(heard));
		strncat(heard, line, len);
	}
	return log_takes;
}

/* A place that is a pipe, which takes more than is ever kept. */
static void
open_place(struct out_place *place, int *ret_reader)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	assert_true(fcntl(ends[1], F_SETPIPE_SZ, OUT_KEPT_MAX) > 0);
	*place = (struct out_place)OUT_PLACE_INIT;
	out_place_set_standard(place, ends[1], "there");
	fd_close(&ends[1]);
	*ret_reader = ends[0];
}

static void
expect_read(int reader, const char *text)
{
	char there[256];
	ssize_t n = read(reader, there, sizeof(there));

	assert_int_equal(n, strlen(text));
	assert_memory_equal(there, text, n);
}

static void
each_line_gets_a_tag(void **state)
{
	struct out_kept kept = OUT_KEPT_INIT(true);
	struct out_place place;
	int reader, code;

	(void)state;
	open_place(&place, &reader);
	assert_int_equal(out_kept_room(&kept), OUT_KEPT_MAX);
	assert_int_equal(out_kept_add_lines(&kept, "a", tagged("a | "), "1\n\n2\n", 5),
	    5);
	assert_true(out_kept_add(&kept, "own\n", 4));
	assert_int_equal(kept.n, 21);
	assert_int_equal(out_kept_room(&kept), OUT_KEPT_MAX - 21);
	assert_int_equal(out_kept_write(&kept, &place, &code), 21);
	assert_int_equal(code, 0);
	expect_read(reader, "a | 1\na | \na | 2\nown\n");
	assert_null(kept.bytes);
	out_place_close(&place);
	fd_close(&reader);
}

static void
whole_lines_have_room_or_none(void **state)
{
	struct out_kept kept = OUT_KEPT_INIT(true);
	char *much = malloc(OUT_KEPT_MAX);

	(void)state;
	assert_non_null(much);
	memset(much, 'x', OUT_KEPT_MAX);
	assert_false(out_kept_add(&kept, much, OUT_KEPT_MAX + (size_t)1));
	assert_true(out_kept_add(&kept, much, OUT_KEPT_MAX - 10));
	assert_false(out_kept_add(&kept, much, 11));
	/* "tag:1\n", but not "tag:2\n" too. */
	assert_int_equal(out_kept_add_lines(&kept, "a", tagged("tag:"), "1\n2\n", 4),
	    2);
	assert_int_equal(out_kept_room(&kept), 4);
	assert_memory_equal(kept.bytes + kept.n - 6, "tag:1\n", 6);
	out_kept_forget(&kept);
	assert_int_equal(kept.n, 0);
	free(much);

	no_memory = true;
	assert_false(out_kept_add(&kept, "x\n", 2));
	assert_int_equal(out_kept_add_lines(&kept, "a", tagged("tag:"), "1\n", 2), 0);
	no_memory = false;
	assert_null(kept.bytes);
	assert_int_equal(out_kept_room(&kept), OUT_KEPT_MAX);
}

/* What was written gives its room back, before it is all. */
static void
written_bytes_make_room(void **state)
{
	struct out_kept kept = OUT_KEPT_INIT(true);
	struct out_place place;
	char *much = malloc(OUT_KEPT_MAX);
	size_t left = OUT_KEPT_MAX;
	int reader, code = 0;

	(void)state;
	assert_non_null(much);
	for (int i = 0; i < OUT_KEPT_MAX; i++)
		much[i] = "0123456789abcdef\n"[i % 17];
	open_place(&place, &reader);
	assert_true(fcntl(reader, F_SETPIPE_SZ, OUT_KEPT_MAX / 8) > 0);
	assert_true(out_kept_add(&kept, much, OUT_KEPT_MAX));
	assert_int_equal(out_kept_room(&kept), 0);
	while (left > OUT_KEPT_LOW) {
		char some[OUT_KEPT_MAX / 8];
		size_t n = out_kept_write(&kept, &place, &code);

		assert_int_equal(code, -EAGAIN);
		assert_int_equal(read(reader, some, sizeof(some)), n);
		assert_memory_equal(some, much + OUT_KEPT_MAX - left, n);
		left -= n;
		assert_int_equal(kept.n, left);
	}
	assert_int_equal(out_kept_room(&kept), OUT_KEPT_MAX - left);
	assert_memory_equal(kept.bytes + kept.head,
	    much + OUT_KEPT_MAX - left, left);
	out_kept_forget(&kept);
	out_place_close(&place);
	fd_close(&reader);
	free(much);
}

static void
losses_are_those_of_each_tag(void **state)
{
	struct out_kept kept = OUT_KEPT_INIT(true);
	struct out_losses losses = { .first = NULL };
	struct out_place place = OUT_PLACE_INIT;

	(void)state;
	log_takes = true;
	assert_int_equal(log_open(NULL, NULL), 0);
	(void)log_set_aside(hear, NULL);
	/* The rest of a line of `api` comes first. */
	out_place_set_cut(&place, "api");
	assert_true(out_kept_add(&kept, "web.1 | rest\n", 13));
	assert_int_equal(out_kept_add_lines(&kept, "web", tagged("web.1 | "), "1\n2\n",
	    4), 4);
	assert_int_equal(out_kept_add_lines(&kept, "web", tagged("web.2 | "), "3\n", 2),
	    2);
	assert_true(out_kept_add(&kept, "clusterd's own\n", 15));
	out_kept_lose(&kept, &place, &losses);
	assert_null(kept.bytes);
	out_losses_blame(&losses, 28);
	assert_true(out_losses_tell(&losses, "there"));
	assert_non_null(strstr(heard, "web: 3 lines of output were lost: "
	    "there: No space left on device\n"));
	assert_non_null(strstr(heard, "api: 1 line of output was lost: "));
	assert_non_null(strstr(heard, "1 log lines were dropped"));
	assert_int_equal(losses.why, 0);
	*heard = '\0';
	out_losses_end(&losses);
	(void)log_set_aside(NULL, NULL);
}

/* Without tags they are an app's as long as nobody else's are among them. */
static void
losses_without_tags(void **state)
{
	struct out_kept kept = OUT_KEPT_INIT(false);
	struct out_losses losses = { .first = NULL };
	struct out_place place = OUT_PLACE_INIT;

	(void)state;
	log_takes = true;
	assert_int_equal(log_open(NULL, NULL), 0);
	(void)log_set_aside(hear, NULL);
	assert_true(out_kept_add_of(&kept, "web", "1\n2\n", 4));
	assert_true(out_kept_add_of(&kept, "web", "3\n", 2));
	out_kept_lose(&kept, &place, &losses);
	assert_true(out_kept_add_of(&kept, "web", "1\n", 2));
	assert_true(out_kept_add_of(&kept, "api", "2\n", 2));
	assert_true(out_kept_add_of(&kept, "web", "3\n4\n", 4));
	out_kept_lose(&kept, &place, &losses);
	assert_true(out_losses_tell(&losses, "there"));
	assert_non_null(strstr(heard, "web: 3 lines of output were lost: "
	    "there takes nothing\n"));
	assert_non_null(strstr(heard, "4 lines of output were lost: "
	    "there takes nothing\n"));
	assert_true(out_kept_add_of(&kept, "web", "1\n", 2));
	out_kept_lose(&kept, &place, &losses);
	losses.slow = true;
	assert_true(out_losses_tell(&losses, "there"));
	assert_non_null(strstr(heard, "web: 1 line of output was lost: "
	    "there is too slow\n"));
	*heard = '\0';
	(void)log_set_aside(NULL, NULL);
}

static void
losses_wait_for_the_log(void **state)
{
	struct out_losses losses = { .first = NULL };

	(void)state;
	log_takes = false;
	assert_int_equal(log_open(NULL, NULL), 0);
	(void)log_set_aside(hear, NULL);
	out_losses_add(&losses, "web", 0);
	assert_null(losses.first);
	assert_true(out_losses_tell(&losses, "there"));
	out_losses_add(&losses, "", 5);
	out_losses_add(&losses, "api", 1);
	out_losses_add(&losses, "web", 2);
	/* Telling loses one: it comes to the others. */
	loses = &losses;
	assert_false(out_losses_tell(&losses, "there"));
	loses = NULL;
	out_losses_add(&losses, "web", 3);
	assert_string_equal(heard, "");
	log_takes = true;
	assert_true(out_losses_tell(&losses, "there"));
	assert_non_null(strstr(heard, "web: 6 lines of"));
	assert_non_null(strstr(heard, "api: 1 line of"));
	assert_non_null(strstr(heard, " 5 lines of output were lost"));
	assert_null(losses.first);
	*heard = '\0';

	/* At the end each counts as a line of the log that was dropped. */
	log_takes = false;
	out_losses_add(&losses, "web", 2);
	out_losses_add(&losses, "api", 1);
	assert_false(out_losses_tell(&losses, "there"));
	out_losses_end(&losses);
	assert_null(losses.first);
	log_takes = true;
	log_warning("a line");
	assert_non_null(strstr(heard, "2 log lines were dropped"));
	*heard = '\0';
	(void)log_set_aside(NULL, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_line_gets_a_tag),
		cmocka_unit_test(whole_lines_have_room_or_none),
		cmocka_unit_test(written_bytes_make_room),
		cmocka_unit_test(losses_are_those_of_each_tag),
		cmocka_unit_test(losses_without_tags),
		cmocka_unit_test(losses_wait_for_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
