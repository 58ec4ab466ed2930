#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "core/worker/group_text.h"
#include "linux/process/cgroup.h"
#include "linux/process/cgroup_files.h"
#include "linux/process/cgroup_move.h"
#include "linux/process/cgroup_tree.h"
#include "linux/process/process.h"

/* So many are tried when somebody was reaped. */
#define SWEPT_AT_ONCE 16

/* ---- where we are ---- */

/* A group that has the others in it, or is to have them, and our own in it. */
struct place {
	char *dir;
	char *own;	/* its name, whether it is there or not */
	bool is_in;	/* that is where we are */
};

static void
place_free(struct place *p)
{
	free(p->dir);
	free(p->own);
}

static int
find_place(pid_t keeper, struct place *ret_place, struct error *err)
{
	char name[GROUP_NAME_MAX];
	struct place place;
	struct cgroup own;
	size_t above;
	int code = cgroup_own(&own, err);

	if (code < 0)
		return code;
	group_own_name(name, keeper, process_start(keeper));
	above = group_above_own(own.dir, name);
	place = (struct place){
		.dir = strndup(own.dir, above > 0 ? above : strlen(own.dir)),
		.own = strdup(name),
		.is_in = above > 0,
	};
	cgroup_free(&own);
	if (place.dir == NULL || place.own == NULL) {
		place_free(&place);
		return error_set(err, -ENOMEM, "out of memory");
	}
	*ret_place = place;
	return 0;
}

/* *ret_have: those of them that the group has. -ENOENT, with words: not all. */
static int
look_up(const char *dir, unsigned controllers, unsigned *ret_have,
    struct error *err)
{
	char *list;
	int code = cgroup_file_read(dir, "cgroup.controllers", &list);

	*ret_have = 0;
	if (code < 0)
		return error_set(err, code, "cannot read %s/"
		    "cgroup.controllers: %s", dir, strerror(-code));
	for (unsigned i = 0; i < GROUP_CONTROLLERS; i++) {
		if ((controllers & 1U << i) == 0)
			continue;
		if (group_list_has(list, (enum group_controller)i))
			*ret_have |= 1U << i;
		else if (code == 0)
			code = error_set(err, -ENOENT, "the controller %s is "
			    "not in %s/cgroup.controllers",
			    group_controller_name((enum group_controller)i),
			    dir);
	}
	free(list);
	return code;
}

static int
check_delegated(const char *dir, struct error *err)
{
	static const char *const files[] = {
		NULL, "cgroup.procs", "cgroup.subtree_control",
	};
	int code = cgroup_may_be_delegated(dir) ? 0 : error_set(err, -EPERM,
	    "the control group %s is systemd's alone: its unit takes "
	    "Delegate=yes", dir);

	for (size_t i = 0; code == 0 &&
	    i < sizeof(files) / sizeof(*files); i++) {
		char *path = cgroup_path(dir, NULL, files[i]);

		if (path == NULL)
			code = error_set(err, -ENOMEM, "out of memory");
		else if (access(path, W_OK) < 0)
			code = error_set(err, -errno, "%s is not delegated to "
			    "clusterd (systemd: Delegate=yes): %s", path,
			    strerror(errno));
		free(path);
	}
	return code;
}

int
cgroup_tree_check(unsigned controllers, pid_t keeper, struct error *err)
{
	struct place place;
	unsigned have;
	int code = find_place(keeper, &place, err);

	if (code < 0)
		return code;
	code = look_up(place.dir, controllers, &have, err);
	if (code == 0)
		code = check_delegated(place.dir, err);
	place_free(&place);
	return code;
}

/* ---- into a group of our own ---- */

/* Of whatever clusterd: does it live? */
static bool
lives(pid_t keeper, uint64_t started)
{
	return started != 0 && process_start(keeper) == started;
}

/* Has another clusterd its workers' groups here? */
static int
check_alone(const struct place *place, struct error *err)
{
	DIR *groups = opendir(place->dir);
	const struct dirent *entry;
	uint64_t started;
	pid_t keeper;
	int code = 0;

	while (groups != NULL && code == 0 &&
	    (entry = readdir(groups)) != NULL)
		if (strcmp(entry->d_name, place->own) != 0 &&
		    group_own_parse(entry->d_name, &keeper, &started) &&
		    lives(keeper, started))
			code = error_set(err, -EBUSY, "another clusterd is in "
			    "%s/%s: limits take a control group for each",
			    place->dir, entry->d_name);
	if (groups != NULL)
		(void)closedir(groups);
	return code;
}

/* *controllers: those that could be. */
static int
enable(const char *dir, unsigned *controllers, struct error *err)
{
	int code = 0;

	for (unsigned i = 0; i < GROUP_CONTROLLERS; i++) {
		const char *name = group_controller_name(
		    (enum group_controller)i);
		char word[32];
		int failed;

		if ((*controllers & 1U << i) == 0)
			continue;
		snprintf(word, sizeof(word), "+%s", name);
		failed = cgroup_file_write(dir, NULL, "cgroup.subtree_control",
		    word);
		if (failed == 0)
			continue;
		*controllers &= ~(1U << i);
		if (code == 0)
			code = error_set(err, failed, "cannot have the "
			    "controller %s for control groups in %s: %s", name,
			    dir, strerror(-failed));
	}
	return code;
}

/* Whoever is left in other groups is without limits then: as long as these have the
   controllers, nobody may be in `dir`. */
static void
leave(const char *dir, const char *own)
{
	/* Where there are processes, nothing was enabled before. */
	for (unsigned i = 0; !cgroup_is_root(dir) &&
	    i < GROUP_CONTROLLERS; i++) {
		char word[32];

		snprintf(word, sizeof(word), "-%s", group_controller_name(
		    (enum group_controller)i));
		(void)cgroup_file_write(dir, NULL, "cgroup.subtree_control",
		    word);
	}
	cgroup_move_back(dir, own);
}

/* What was left by a clusterd that was killed. */
static void
collect(struct cgroup_tree *tree)
{
	DIR *groups = opendir(tree->dir);
	const struct dirent *entry;
	uint64_t started;
	pid_t keeper;

	if (groups == NULL)
		return;
	while ((entry = readdir(groups)) != NULL)
		if (group_is_name(entry->d_name) ||
		    (group_own_parse(entry->d_name, &keeper, &started) &&
			!lives(keeper, started)))
			cgroup_tree_remove(tree, entry->d_name);
	(void)closedir(groups);
}

/* We are not in our own group yet, or a supervisor before was killed while it moved.
   *controllers as of enable(). */
static int
move_and_enable(const struct place *place, unsigned *controllers, pid_t keeper,
    struct error *err)
{
	int code = check_delegated(place->dir, err);

	if (code == 0)
		code = check_alone(place, err);
	if (code == 0)
		code = cgroup_move_in(place->dir, place->own, keeper, err);
	if (code < 0) {
		*controllers = 0;
		cgroup_move_back(place->dir, place->own);
		return code;
	}
	code = enable(place->dir, controllers, err);
	if (*controllers == 0)
		leave(place->dir, place->own);
	return code;
}

/* A supervisor before was killed while it moved: some are where we are not. In the
   root group that does no harm. */
static bool
is_torn(const struct place *place)
{
	return place->is_in ? !cgroup_is_root(place->dir) &&
	    cgroup_has_members(place->dir) :
	    cgroup_is_there(place->dir, place->own);
}

static int
begin_tree(struct cgroup_tree *tree, unsigned controllers, pid_t keeper,
    struct error *err)
{
	struct place place;
	unsigned have;
	bool torn;
	int code = find_place(keeper, &place, err), missing;

	if (code < 0)
		return code;
	missing = look_up(place.dir, controllers, &have, err);
	torn = is_torn(&place);
	if (have == 0 && torn)
		leave(place.dir, place.own);
	else if (place.is_in && !torn)
		code = enable(place.dir, &have, missing == 0 ? err : NULL);
	else if (have != 0)
		code = move_and_enable(&place, &have, keeper,
		    missing == 0 ? err : NULL);
	if (have == 0 && (torn || !place.is_in)) {
		place_free(&place);
		return missing < 0 ? missing : code;
	}
	tree->dir = place.dir;
	tree->own = place.own;
	tree->controllers = have;
	collect(tree);
	return missing < 0 ? missing : code;
}

int
cgroup_tree_begin(struct cgroup_tree *tree, unsigned controllers, pid_t keeper,
    struct error *err)
{
	unsigned more = controllers & ~tree->controllers;
	int missing, code = 0;

	if (tree->dir == NULL)
		return begin_tree(tree, controllers, keeper, err);
	if (more == 0)
		return 0;
	missing = look_up(tree->dir, more, &more, err);
	code = enable(tree->dir, &more, missing == 0 ? err : NULL);
	tree->controllers |= more;
	return missing < 0 ? missing : code;
}

/* ---- groups of workers ---- */

static int
set_limits(const struct cgroup_tree *tree, const char *name,
    const struct conf_app *app, struct error *err)
{
	const unsigned controllers = group_controllers(app) & tree->controllers;
	int code = 0;

	for (unsigned i = 0; code == 0 && i < GROUP_CONTROLLERS; i++) {
		enum group_controller which = (enum group_controller)i;
		struct strbuf value = STRBUF_INIT;

		if ((controllers & 1U << i) == 0)
			continue;
		group_limit_value(&value, app, which);
		code = value.failed ? -ENOMEM : cgroup_file_write(tree->dir,
		    name, group_limit_file(which), value.text);
		if (code < 0)
			error_set(err, code, "cannot set %s: %s/%s/%s: %s",
			    group_limit_key(which), tree->dir, name,
			    group_limit_file(which), strerror(-code));
		strbuf_free(&value);
	}
	return code;
}

int
cgroup_tree_make(struct cgroup_tree *tree, const char *name,
    const struct conf_app *app, int *ret_procs, struct error *err)
{
	int code;

	assert(tree->dir != NULL);
	code = cgroup_make(tree->dir, name);
	if (code < 0)
		return error_set(err, code, "cannot make the control group "
		    "%s/%s: %s", tree->dir, name, strerror(-code));
	code = set_limits(tree, name, app, err);
	if (code == 0) {
		code = cgroup_file_open(tree->dir, name, "cgroup.procs",
		    O_WRONLY);
		if (code < 0)
			error_set(err, code, "cannot open the control group "
			    "%s/%s: %s", tree->dir, name, strerror(-code));
	}
	if (code < 0) {
		cgroup_tree_remove(tree, name);
		return code;
	}
	*ret_procs = code;
	return 0;
}

/* The last one takes its place. */
static void
drop_left(struct cgroup_tree *tree, size_t i)
{
	struct strlist *left = &tree->left;

	free(left->v[i]);
	left->v[i] = left->v[--left->n];
	left->v[left->n] = NULL;
}

bool
cgroup_tree_has(struct cgroup_tree *tree, const char *name)
{
	if (tree->dir == NULL || !cgroup_is_there(tree->dir, name))
		return false;
	for (size_t i = 0; i < tree->left.n; i++)
		if (strcmp(tree->left.v[i], name) == 0) {
			drop_left(tree, i);
			break;
		}
	return true;
}

void
cgroup_tree_remove(struct cgroup_tree *tree, const char *name)
{
	/* Without memory for that the end, or the next supervisor, finds it. */
	if (tree->dir != NULL && cgroup_remove(tree->dir, name) < 0)
		strlist_add(&tree->left, name);
}

void
cgroup_tree_sweep(struct cgroup_tree *tree)
{
	struct strlist *left = &tree->left;

	size_t tries = left->n < SWEPT_AT_ONCE ? left->n : SWEPT_AT_ONCE;

	/* None of them twice. */
	for (; tries > 0; tries--) {
		size_t at = tree->left_next++ % left->n;

		if (cgroup_remove(tree->dir, left->v[at]) == 0)
			drop_left(tree, at);
	}
}

void
cgroup_tree_end(struct cgroup_tree *tree)
{
	if (tree->dir != NULL) {
		strlist_free(&tree->left);
		collect(tree);
		leave(tree->dir, tree->own);
	}
	free(tree->dir);
	free(tree->own);
	strlist_free(&tree->left);
	*tree = (struct cgroup_tree)CGROUP_TREE_INIT;
}

/* ---- what the OOM killer has done ---- */

int
cgroup_tree_events(const struct cgroup_tree *tree, const char *name)
{
	return tree->dir == NULL ? -ENOENT :
	    cgroup_file_open(tree->dir, name, "memory.events", O_RDONLY);
}

int
cgroup_tree_events_of_us(const struct cgroup_tree *tree, bool *ret_ours)
{
	struct cgroup own;
	int code;

	*ret_ours = (tree->controllers & 1U << GROUP_MEMORY) != 0;
	if (tree->dir != NULL)
		return cgroup_tree_events(tree, *ret_ours ? tree->own : NULL);
	code = cgroup_own(&own, NULL);
	if (code < 0)
		return code;
	code = cgroup_file_open(own.dir, NULL, "memory.events", O_RDONLY);
	cgroup_free(&own);
	return code;
}

bool
cgroup_tree_oom_kills(int events, uint64_t *ret_kills, uint64_t *ret_own)
{
	char text[512];
	ssize_t n = pread(events, text, sizeof(text) - 1, 0);

	if (n < 0)
		return false;
	text[n] = '\0';
	return group_event(text, "oom_kill", ret_kills) &&
	    group_event(text, "oom", ret_own);
}
