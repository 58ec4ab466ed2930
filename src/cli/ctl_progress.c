#include <sys/ioctl.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/ctl_progress.h"
#include "cli/ctl_text.h"

#define BAR_MAX		20u	/* columns */
#define DRAW_EVERY_MS	100	/* where events come without a pause */

/* ---- drawing ---- */

static void
put_bar(struct strbuf *sb, uint32_t done, uint32_t all, bool utf8)
{
	uint32_t width = all < BAR_MAX ? all : BAR_MAX;
	uint32_t full = (uint32_t)((uint64_t)done * width / all);

	strbuf_putc(sb, '[');
	for (uint32_t i = 0; i < width; i++)
		strbuf_puts(sb, i < full ? "#" : utf8 ? "·" : ".");
	strbuf_puts(sb, "] ");
}

static void
put_row(struct strbuf *sb, const struct ctl_progress_app *app,
    const struct status_style *style)
{
	struct strbuf row = STRBUF_INIT;
	uint32_t done = app->target != 0 ? app->moved : app->ready;

	/* More than there are to be: some are still going. */
	if (done > app->wanted)
		done = app->wanted;
	strbuf_puts(&row, app->name);
	if (app->counted && app->wanted > 0) {
		strbuf_puts(&row, "  ");
		put_bar(&row, done, app->wanted, style->utf8);
		strbuf_printf(&row, "%u/%u ", (unsigned)done,
		    (unsigned)app->wanted);
		if (app->target != 0)
			strbuf_printf(&row, "on generation %llu",
			    (unsigned long long)app->target);
		else
			strbuf_puts(&row, "ready");
		if (app->target == 0 && app->retiring > 0)
			strbuf_printf(&row, ", %u old to finish",
			    (unsigned)app->retiring);
	}
	if (app->last.len > 0)
		strbuf_printf(&row, "  %s", app->last.text);
	/* A line that fills the last column might wrap. */
	if (!row.failed)
		status_put(sb, row.text, style->width > 1 ? style->width - 1 :
		    1, style);
	strbuf_free(&row);
}

/* As many lines as there is room for, the cursor's left out. */
static size_t
rows_to_draw(const struct ctl_progress *p)
{
	struct winsize size;
	size_t room = 23;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0)
		room = size.ws_row > 1 ? size.ws_row - 1u : 1;
	return p->n_apps < room ? p->n_apps : room;
}

static void
draw(struct ctl_progress *p)
{
	const struct status_style style = ctl_text_style(STDERR_FILENO);
	struct strbuf sb = STRBUF_INIT;
	size_t rows = rows_to_draw(p);

	if (p->rows > 0)
		strbuf_printf(&sb, "\r\033[%zuA\033[J", p->rows);
	if (p->text.len > 0)
		strbuf_add(&sb, p->text.text, p->text.len);
	for (size_t i = 0; i < rows; i++) {
		put_row(&sb, &p->apps[i], &style);
		strbuf_putc(&sb, '\n');
	}
	if (!sb.failed && sb.len > 0)
		fwrite(sb.text, 1, sb.len, stderr);
	strbuf_free(&sb);
	p->text.len = 0;
	p->rows = rows;
	p->changed = false;
	p->drawn = mono_now();
}

static void
write_text(struct ctl_progress *p)
{
	if (!p->text.failed && p->text.len > 0)
		fwrite(p->text.text, 1, p->text.len, stderr);
	p->text.len = 0;
}

/* ---- events ---- */

static struct ctl_progress_app *
find_app(struct ctl_progress *p, const char *name)
{
	struct ctl_progress_app *app;

	for (size_t i = 0; i < p->n_apps; i++)
		if (strcmp(p->apps[i].name, name) == 0)
			return &p->apps[i];
	if (p->n_apps == CTL_PROGRESS_APPS ||
	    strlen(name) >= sizeof(app->name))
		return NULL;
	app = &p->apps[p->n_apps++];
	strcpy(app->name, name);
	return app;
}

static uint32_t
count(const struct answer_line *line, const char *key, uint32_t otherwise)
{
	uint64_t n;

	if (!answer_line_number(line, key, &n))
		return otherwise;
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static void
app_event(struct ctl_progress_app *app, const struct answer_line *line)
{
	app->counted = true;
	app->wanted = count(line, "wanted", app->wanted);
	app->ready = count(line, "ready", app->ready);
	app->moved = count(line, "moved", app->moved);
	app->retiring = count(line, "retiring", 0);
	if (!answer_line_number(line, "target", &app->target))
		app->target = 0;
}

/* "web[2] pid 4711 ready (it waits for connections)" */
static void
put_event(struct strbuf *sb, const char *name, const struct answer_line *line)
{
	const char *instance = answer_line_get(line, "instance");
	const char *state = answer_line_get(line, "state");
	const char *pid = answer_line_get(line, "pid");
	const char *why = answer_line_get(line, "why");
	struct strbuf text = STRBUF_INIT;

	strbuf_puts(&text, name);
	if (instance != NULL)
		strbuf_printf(&text, "[%s]", instance);
	if (pid != NULL)
		strbuf_printf(&text, " pid %s", pid);
	strbuf_printf(&text, " %s", state != NULL ? state : "?");
	if (why != NULL && *why != '\0')
		strbuf_printf(&text, " (%s)", why);
	if (!text.failed)
		ctl_text_put(sb, text.text);
	strbuf_free(&text);
}

static void
note(struct ctl_progress *p, const struct answer_line *line)
{
	const char *text = answer_line_get(line, "text");

	if (text == NULL)
		return;
	ctl_text_put(&p->text, text);
	strbuf_putc(&p->text, '\n');
}

static void
event(struct ctl_progress *p, const struct answer_line *line)
{
	const char *name = answer_line_get(line, "app");
	struct ctl_progress_app *app;

	if (name == NULL)
		return;
	app = find_app(p, name);
	if (strcmp(line->word, "app") == 0) {
		if (app != NULL)
			app_event(app, line);
	} else if (!p->live) {
		put_event(&p->text, name, line);
		strbuf_putc(&p->text, '\n');
	} else if (app != NULL) {
		app->last.len = 0;
		put_event(&app->last, name, line);
	}
}

int
ctl_progress_line(void *ctx, const struct answer_line *line)
{
	struct ctl_progress *p = ctx;

	if (line->kind != ANSWER_PROGRESS)
		return 0;
	if (strcmp(line->word, "note") == 0)
		note(p, line);
	else if (strcmp(line->word, "app") == 0 ||
	    strcmp(line->word, "instance") == 0)
		event(p, line);
	p->changed = true;
	if (!p->live)
		write_text(p);
	else if (mono_ms_between(p->drawn, mono_now()) >= DRAW_EVERY_MS)
		draw(p);
	return 0;
}

int
ctl_progress_idle(void *ctx)
{
	struct ctl_progress *p = ctx;

	if (p->live && p->changed)
		draw(p);
	return 0;
}

void
ctl_progress_begin(struct ctl_progress *p)
{
	memset(p, 0, sizeof(*p));
	p->live = ctl_text_terminal(STDERR_FILENO);
	p->drawn = mono_now();
}

void
ctl_progress_end(struct ctl_progress *p, bool well)
{
	for (size_t i = 0; well && i < p->n_apps; i++)
		p->apps[i].last.len = 0;
	p->changed = p->changed || well;
	(void)ctl_progress_idle(p);
	for (size_t i = 0; i < p->n_apps; i++)
		strbuf_free(&p->apps[i].last);
	strbuf_free(&p->text);
}
