/*
 * Listeners of which each instance has one of its own: `listen` with
 * {instance} in it.
 */
#ifndef CORE_CONF_CONF_INSTANCE_H
#define CORE_CONF_CONF_INSTANCE_H

#include <stdbool.h>
#include <stddef.h>

struct address;
struct conf_app;
struct error;

/* The address of one instance, from conf_app.listen_forms. The caller frees.
   -EINVAL with words, or -ENOMEM. */
int conf_listen_of(const char *form, unsigned instance,
    struct address *ret_address, struct error *err);

/* Has each instance an address of its own here; anywhere? */
bool conf_listen_is_own(const struct conf_app *app, size_t position);
bool conf_has_own_listens(const struct conf_app *app);

/*
 * The app as one instance sees it: all is borrowed from `app`, but for the
 * listens, which have its own addresses. -EINVAL with words, -ENOMEM. To be
 * freed by conf_view_free(), before the app.
 */
int conf_view(const struct conf_app *app, unsigned instance,
    struct conf_app *ret_view, struct error *err);
void conf_view_free(struct conf_app *view);

/* From now on of another configuration, whose listens are the same. */
void conf_view_renew(struct conf_app *view, const struct conf_app *app);

/* All that the first `n` instances listen on, without those whose port is any
   one that is free; both to be freed. What is no address is left out. NULL: no
   memory. */
struct address *conf_all_listens(const struct conf_app *app, unsigned n,
    size_t *ret_n);
void conf_all_listens_free(struct address *all, size_t n);

#endif
