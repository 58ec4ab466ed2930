#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/ctl_import.h"
#include "cli/ctl_options.h"
#include "cli/ctl_out.h"
#include "cli/ctl_text.h"
#include "core/conf/conf.h"
#include "core/import/draft.h"
#include "core/import/import.h"
#include "core/names/address.h"
#include "linux/child/capture.h"
#include "linux/file/file.h"
#include "linux/file/place.h"

/* For what it takes Node to start, and a file to say what it is. */
#define NODE_MS 10000

/* The value of a script as JSON, to descriptor 3: it may print what it likes. */
static const char node_script[] =
    "const p = require('path').resolve(process.argv[1]);"
    "const put = (m) => {"
    "  const t = JSON.stringify(m && m.default || m);"
    "  if (t === undefined) throw new Error('it exports nothing');"
    "  const b = Buffer.from(t);"
    "  for (let n = 0; n < b.length;)"
    "    n += require('fs').writeSync(3, b, n);"
    "  process.exit(0);"
    "};"
    "(p.endsWith('.mjs') ? import(require('url').pathToFileURL(p).href) :"
    "  Promise.resolve().then(() => require(p))).then(put).catch((e) => {"
    "    console.error(e && e.message || e); process.exit(1); });";

/* The directory of a file, absolute. NULL: no memory. */
static char *
dir_of(const char *file)
{
	char *path = place_absolute(file), *slash, *dir;

	if (path == NULL)
		return NULL;
	slash = strrchr(path, '/');
	slash[slash == path ? 1 : 0] = '\0';
	dir = address_path(path, "/");
	free(path);
	return dir;
}

static bool
is_file(void *ctx, const char *path)
{
	char *whole = address_path(path, ctx);
	struct stat st;
	bool found = whole != NULL && stat(whole, &st) == 0 &&
	    S_ISREG(st.st_mode);

	free(whole);
	return found;
}

static int
run_script(const char *file, char **ret_text, size_t *ret_len,
    struct error *err)
{
	char *path = place_absolute(file);
	char *argv[] = {
		(char []){ "node" }, (char []){ "-e" }, NULL, (char []){ "--" },
		path, NULL,
	};
	struct error why = ERROR_INIT;
	int code = -ENOMEM;

	argv[2] = strdup(node_script);
	if (path != NULL && argv[2] != NULL)
		code = capture(argv, CONF_FILE_MAX, mono_add_ms(mono_now(),
		    NODE_MS), ret_text, ret_len, &why);
	if (code == -ENOENT)
		error_set(err, code, "%s is a program of JavaScript, and there "
		    "is no node in PATH to say what it comes to: where there "
		    "is one, its value can be written as JSON", file);
	else if (code < 0)
		error_set(err, code, "%s: %s", file, error_text(&why));
	error_clear(&why);
	free(argv[2]);
	free(path);
	return code;
}

/* What is there already is somebody's. */
static int
write_new(const char *path, const char *text, struct error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY,
	    0666);
	size_t len = strlen(text);
	int code = fd < 0 ? -errno : 0;

	while (code == 0 && len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			code = -errno;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	fd_close(&fd);
	if (code == -EEXIST)
		return error_set(err, code, "%s is there already, and is not "
		    "overwritten", path);
	return code < 0 ? error_set(err, code, "cannot write %s: %s", path,
	    strerror(-code)) : 0;
}

/* Of a result in the file's own directory relative paths stay as they are. */
static char *
dir_between(const char *file, const char *out)
{
	char *from = dir_of(file), *to = out != NULL ? dir_of(out) : NULL;
	struct stat a, b;
	bool same = out == NULL || (from != NULL && to != NULL &&
	    stat(from, &a) == 0 && stat(to, &b) == 0 &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino);

	free(to);
	if (!same || from == NULL)
		return from;
	free(from);
	return strdup(".");
}

static int
import_file(const struct ctl_options *o, struct import_result *ret,
    struct strlist *wrong, struct error *err)
{
	enum import_from from;
	char *own = dir_of(o->import_file), *text = NULL, *json;
	char *dir = dir_between(o->import_file, o->output);
	const struct import_host host = {
		.ctx = own, .is_file = is_file, .dir = dir,
	};
	size_t len = 0;
	int code = -ENOMEM;

	if (own != NULL && dir != NULL)
		code = file_read(o->import_file, CONF_FILE_MAX, &text, &len,
		    err);
	if (code == 0)
		code = import_guess(o->import_file, text, &from, err);
	if (code == 0 && from == IMPORT_PM2_SCRIPT) {
		code = run_script(o->import_file, &json, &len, err);
		if (code == 0) {
			free(text);
			text = json;
		}
	}
	if (code == 0) {
		struct error why = ERROR_INIT;

		code = import_text(from, o->import_file, text, len, &host, ret,
		    wrong, &why);
		if (code < 0)
			error_set(err, code, "%s: %s", o->import_file,
			    error_text(&why));
		error_clear(&why);
	}
	free(text);
	free(dir);
	free(own);
	return code;
}

static void
tell(const struct import_result *res, const struct strlist *wrong)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_printf(&sb, "%zu app%s, %zu key%s", res->apps,
	    res->apps == 1 ? "" : "s", res->keys, res->keys == 1 ? "" : "s");
	if (res->notes > 0)
		strbuf_printf(&sb, "; %zu could not be carried over and %s "
		    "with the reason", res->notes, res->notes == 1 ?
		    "is a comment" : "are comments");
	for (size_t i = 0; i < wrong->n; i++)
		strbuf_printf(&sb, "\n%s", wrong->v[i]);
	if (!sb.failed)
		ctl_text_complain(sb.text);
	strbuf_free(&sb);
}

int
ctl_import(const struct ctl_options *options)
{
	struct import_result res = { .text = NULL };
	struct strlist wrong = STRLIST_INIT;
	struct ctl_out out = CTL_OUT_INIT;
	struct error err = ERROR_INIT;
	int code = import_file(options, &res, &wrong, &err);
	int status = 1;

	if (code == 0 && options->output != NULL)
		code = write_new(options->output, res.text, &err);
	if (code < 0) {
		ctl_text_complain(error_text(&err));
	} else {
		tell(&res, &wrong);
		status = wrong.n > 0;
		if (options->output == NULL)
			strbuf_puts(&out.text, res.text);
		status = ctl_out_finish(&out, status);
	}
	error_clear(&err);
	strlist_free(&wrong);
	free(res.text);
	return status;
}
