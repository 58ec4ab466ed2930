/*
 * What the tests of a status have in common: one built of the lines of an
 * answer, and a sample.
 */
#ifndef TESTS_UNIT_CORE_STATUS_STATUS_LINES_H
#define TESTS_UNIT_CORE_STATUS_STATUS_LINES_H

struct status;

/* An app in the middle of a reload, and one without connections. */
extern const char status_sample[];

/* Add every line of `text`; 0, or what status_add() said first. */
int status_try(struct status *status, const char *text);

/* The same, which must succeed; `status` begins empty. */
void status_read(struct status *status, const char *text);

#endif
