/*
 * JSON (RFC 8259) to a tree, with what people write into configurations beside:
 * comments of both kinds, a comma too many, and as in JavaScript, which PM2 takes
 * a .json file for, names without quotes and text in single ones. No library that
 * is common takes those, and the writer's side is base/json.
 */
#ifndef CORE_IMPORT_JSON_TREE_H
#define CORE_IMPORT_JSON_TREE_H

#include <stdbool.h>
#include <stddef.h>

struct error;

/* Stated limits. */
#define JSON_DEPTH_MAX	32
#define JSON_VALUES_MAX	100000

enum json_kind {
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

struct json_value {
	enum json_kind kind;
	unsigned line;
	char *key;		/* of an object's member; else NULL */
	char *text;		/* of a string, without escapes; else as it is
				   written; of arrays and objects NULL */
	struct json_value *v;	/* of an array, or an object's members */
	size_t n;
	bool used;		/* the reader's own mark */
};

/* -EINVAL with words, which begin with the line; -ENOMEM. The caller frees
   *ret_value on success. */
int json_tree_read(const char *text, size_t len,
    struct json_value *ret_value, struct error *err);
void json_tree_free(struct json_value *value);

/* The member of that name, the last one as in JavaScript, or NULL. */
struct json_value *json_get(const struct json_value *object,
    const char *key);

#endif
