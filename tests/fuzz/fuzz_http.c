/*
 * Any bytes as the answer to a check: no crash, no read beyond the end, an end
 * after so many of them, and the same in whichever pieces they come.
 */
#include <string.h>

#include "core/health/http_reply.h"
#include "fuzz.h"

static struct http_reply
read_in_pieces(const uint8_t *data, size_t size, size_t piece)
{
	struct http_reply r = HTTP_REPLY_INIT;

	for (size_t at = 0; at < size; at += piece) {
		size_t n = size - at < piece ? size - at : piece;
		char *place = fuzz_place(n);

		memcpy(place, data + at, n);
		(void)http_reply_feed(&r, place, n);
		free(place);
	}
	return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_reply whole = read_in_pieces(data, size, size + 1);
	struct http_reply bytes = read_in_pieces(data, size, 1);
	struct http_reply some = read_in_pieces(data, size, 7);

	CHECK(whole.news == bytes.news && whole.news == some.news);
	CHECK(whole.status == bytes.status && whole.status == some.status);
	CHECK(whole.news != HTTP_REPLY_DONE ||
	    (whole.status >= 101 && whole.status <= 999));
	CHECK(size <= HTTP_REPLY_HEAD_MAX || whole.news != HTTP_REPLY_MORE);
	return 0;
}
