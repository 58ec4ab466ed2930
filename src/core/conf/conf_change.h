/*
 * What a new section means for the workers that run under the old one: by the
 * schema's rows, so that a new key is seen without being named here.
 */
#ifndef CORE_CONF_CONF_CHANGE_H
#define CORE_CONF_CONF_CHANGE_H

struct conf_app;

enum conf_change {
	CONF_CHANGE_NONE,
	CONF_CHANGE_LIVE,	/* takes effect without new workers */
	CONF_CHANGE_WORKERS,	/* they have something else before their eyes */
};

/*
 * Of two apps of one name. What `env_file` holds and who the users and groups
 * are counts too; where the section stands in its file does not. -ENOMEM.
 */
int conf_change(const struct conf_app *old, const struct conf_app *new,
    enum conf_change *ret_change);

#endif
