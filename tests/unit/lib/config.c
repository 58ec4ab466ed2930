#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "core/conf/conf_check.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_host.h"
#include "core/conf/conf_read.h"
#include "core/conf/conf_source.h"
#include "lib/config.h"

static int
find_creds(void *ctx, const char *user, const char *group,
    struct conf_creds *ret_creds, struct error *err)
{
	(void)ctx;
	(void)user;
	(void)group;
	(void)ret_creds;
	return error_set(err, -ENOENT, "nobody is known here");
}

struct config *
config_of(const char *text)
{
	const struct conf_host host = {
		.base_dir = "/", .find_creds = find_creds,
	};
	struct conf_errors errors = { .file = "app.ini" };
	struct conf_source source = { .sections = NULL };
	struct config *config = NULL;

	assert_int_equal(conf_read(text, strlen(text), &source, &errors), 0);
	assert_int_equal(conf_check(&source, &host, &config, &errors), 0);
	if (errors.n > 0)
		fail_msg("%s", errors.v[0].text);
	conf_source_free(&source);
	conf_errors_free(&errors);
	return config;
}
