#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "core/conf/conf_instance.h"
#include "core/names/placeholder.h"

int
conf_listen_of(const char *form, unsigned instance,
    struct address *ret_address, struct error *err)
{
	char number[16];
	const struct placeholders p = {
		.values = { [PLACEHOLDER_INSTANCE] = number },
	};
	char *text;
	int r;

	snprintf(number, sizeof(number), "%u", instance);
	text = placeholders_expand(&p, form);
	if (text == NULL)
		return -ENOMEM;
	/* Paths are absolute by now. */
	r = address_parse(text, "/", ret_address, err);
	free(text);
	return r;
}

bool
conf_listen_is_own(const struct conf_app *app, size_t position)
{
	return app->listen_forms != NULL && app->listen_forms[position] != NULL;
}

bool
conf_has_own_listens(const struct conf_app *app)
{
	for (size_t i = 0; i < app->n_listens; i++)
		if (conf_listen_is_own(app, i))
			return true;
	return false;
}

int
conf_view(const struct conf_app *app, unsigned instance,
    struct conf_app *ret_view, struct error *err)
{
	struct conf_app view = *app;

	view.is_view = true;
	view.view_instance = instance;
	view.listens = calloc(app->n_listens + 1, sizeof(*view.listens));
	if (view.listens == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < app->n_listens; i++) {
		int r = 0;

		if (conf_listen_is_own(app, i))
			r = conf_listen_of(app->listen_forms[i], instance,
			    &view.listens[i], err);
		else
			view.listens[i] = app->listens[i];
		if (r < 0) {
			view.n_listens = i;
			conf_view_free(&view);
			return r;
		}
	}
	*ret_view = view;
	return 0;
}

void
conf_view_free(struct conf_app *view)
{
	for (size_t i = 0; view->listens != NULL && i < view->n_listens; i++)
		if (conf_listen_is_own(view, i))
			address_free(&view->listens[i]);
	free(view->listens);
	view->listens = NULL;
	view->n_listens = 0;
}

void
conf_view_renew(struct conf_app *view, const struct conf_app *app)
{
	struct address *listens = view->listens;
	unsigned instance = view->view_instance;

	*view = *app;
	view->is_view = true;
	view->view_instance = instance;
	view->listens = listens;
	for (size_t i = 0; i < app->n_listens; i++)
		if (!conf_listen_is_own(app, i))
			listens[i] = app->listens[i];
}

/* Appends; -ENOMEM. Port 0 is another port each time. */
static int
collect(struct address *all, size_t *n, const struct address *a)
{
	if (a->kind != ADDRESS_UNIX && a->port == 0)
		return 0;
	if (address_copy(a, &all[*n]) < 0)
		return -ENOMEM;
	(*n)++;
	return 0;
}

static int
collect_own(struct address *all, size_t *n, const char *form, unsigned count)
{
	int r = 0;

	for (unsigned k = 0; k < count && r == 0; k++) {
		struct address a;

		r = conf_listen_of(form, k, &a, NULL);
		if (r == -EINVAL) {
			r = 0;
			continue;
		}
		if (r == 0) {
			r = collect(all, n, &a);
			address_free(&a);
		}
	}
	return r;
}

struct address *
conf_all_listens(const struct conf_app *app, unsigned n, size_t *ret_n)
{
	struct address *all;
	size_t max = 1, used = 0;
	int r = 0;

	for (size_t i = 0; i < app->n_listens; i++)
		max += conf_listen_is_own(app, i) ? n : 1;
	all = calloc(max, sizeof(*all));
	if (all == NULL)
		return NULL;
	for (size_t i = 0; i < app->n_listens && r == 0; i++)
		r = conf_listen_is_own(app, i) ?
		    collect_own(all, &used, app->listen_forms[i], n) :
		    collect(all, &used, &app->listens[i]);
	if (r < 0) {
		conf_all_listens_free(all, used);
		return NULL;
	}
	*ret_n = used;
	return all;
}

void
conf_all_listens_free(struct address *all, size_t n)
{
	for (size_t i = 0; all != NULL && i < n; i++)
		address_free(&all[i]);
	free(all);
}
