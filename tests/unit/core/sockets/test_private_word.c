#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/str.h"
#include "core/names/words.h"
#include "core/sockets/private_word.h"

static void
expect(const char *command, const char *word)
{
	struct strlist words = STRLIST_INIT;
	const char *found;

	assert_int_equal(words_split(command, &words, NULL), 0);
	found = private_word(&words, 8000);
	if (word == NULL)
		assert_null(found);
	else if (found == NULL)
		fail_msg("%s: %s is expected", command, word);
	else
		assert_string_equal(found, word);
	strlist_free(&words);
}

static void
what_is_private(void **state)
{
	(void)state;
	expect("gunicorn -b 127.0.0.1:8000 app", "127.0.0.1:8000");
	expect("gunicorn --bind=localhost:8000 app", "--bind=localhost:8000");
	expect("puma -b tcp://127.0.0.1:8000", "tcp://127.0.0.1:8000");
	expect("x http://[::1]:8000/", "http://[::1]:8000/");
	expect("uvicorn --host 127.0.0.1 --port 8000", "127.0.0.1");
	expect("x --bind-address=::1", "--bind-address=::1");
}

static void
what_is_not(void **state)
{
	(void)state;
	expect("x", NULL);
	expect("127.0.0.1:8000", NULL);
	expect("gunicorn -b 0.0.0.0:8000 app", NULL);
	/* Another port, or more of it; another host. */
	expect("x -b 127.0.0.1:9000 127.0.0.1:80001 10.127.0.0.1:8000", NULL);
	expect("x my-localhost:8000", NULL);
	/* Somebody whom it asks. */
	expect("x --db-host localhost --redis=127.0.0.1:6379", NULL);
	expect("x --host 0.0.0.0", NULL);
	expect("x --host", NULL);
	expect("x --hosts=localhost", NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_private),
		cmocka_unit_test(what_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
