/*
 * Lists whose links are members of what they hold, by the names of BSD's
 * <sys/queue.h>, queue(7); not every C library has that one. LIST: from the
 * front alone, its head is a pointer. TAILQ: an order, with an end to add to.
 *
 * An element is on as many lists as it has ENTRY members, and on each at most
 * once; nothing is allocated. INSERT and REMOVE take constant time, and leave
 * the element's links as they are: whoever wants to know whether it is listed
 * says so in a member of its own.
 */
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stddef.h>

/* ---- LIST ---- */

#define LIST_HEAD(name, type)						\
	struct name {							\
		struct type *lh_first;					\
	}

/* Who points at this element: the head, or the link of the one before it. */
#define LIST_ENTRY(type)						\
	struct {							\
		struct type *le_next;					\
		struct type **le_prev;					\
	}

#define LIST_FIRST(head)	((head)->lh_first)
#define LIST_NEXT(e, field)	((e)->field.le_next)

#define LIST_INIT(head)		((void)((head)->lh_first = NULL))

#define LIST_INSERT_HEAD(head, e, field) do {				\
	(e)->field.le_prev = &(head)->lh_first;				\
	(e)->field.le_next = (head)->lh_first;				\
	if ((e)->field.le_next != NULL)					\
		(e)->field.le_next->field.le_prev = &(e)->field.le_next; \
	(head)->lh_first = (e);						\
} while (0)

#define LIST_REMOVE(e, field) do {					\
	*(e)->field.le_prev = (e)->field.le_next;			\
	if ((e)->field.le_next != NULL)					\
		(e)->field.le_next->field.le_prev = (e)->field.le_prev;	\
} while (0)

/* ---- TAILQ ---- */

/* tqh_last: the link that is NULL, the last element's or tqh_first. */
#define TAILQ_HEAD(name, type)						\
	struct name {							\
		struct type *tqh_first;					\
		struct type **tqh_last;					\
	}
#define TAILQ_HEAD_INITIALIZER(head)	{ NULL, &(head).tqh_first }

#define TAILQ_ENTRY(type)						\
	struct {							\
		struct type *tqe_next;					\
		struct type **tqe_prev;					\
	}

#define TAILQ_FIRST(head)	((head)->tqh_first)
#define TAILQ_NEXT(e, field)	((e)->field.tqe_next)
#define TAILQ_EMPTY(head)	((head)->tqh_first == NULL)

/* A head and an entry are two pointers alike: the link before the NULL one is
   the first member of a pair whose second says who points at its holder. */
#define TAILQ_LAST(head, name)						\
	(*((struct name *)(void *)(head)->tqh_last)->tqh_last)

/* Without removing the one that one is at. */
#define TAILQ_FOREACH(e, head, field)					\
	for ((e) = (head)->tqh_first; (e) != NULL;			\
	    (e) = (e)->field.tqe_next)

#define TAILQ_INIT(head) do {						\
	(head)->tqh_first = NULL;					\
	(head)->tqh_last = &(head)->tqh_first;				\
} while (0)

#define TAILQ_INSERT_TAIL(head, e, field) do {				\
	(e)->field.tqe_next = NULL;					\
	(e)->field.tqe_prev = (head)->tqh_last;				\
	*(head)->tqh_last = (e);					\
	(head)->tqh_last = &(e)->field.tqe_next;			\
} while (0)

#define TAILQ_REMOVE(head, e, field) do {				\
	if ((e)->field.tqe_next != NULL)				\
		(e)->field.tqe_next->field.tqe_prev =			\
		    (e)->field.tqe_prev;				\
	else								\
		(head)->tqh_last = (e)->field.tqe_prev;			\
	*(e)->field.tqe_prev = (e)->field.tqe_next;			\
} while (0)

/* All of `b`, which is empty then, behind all of `a`. */
#define TAILQ_CONCAT(a, b, field) do {					\
	if ((b)->tqh_first != NULL) {					\
		*(a)->tqh_last = (b)->tqh_first;			\
		(b)->tqh_first->field.tqe_prev = (a)->tqh_last;		\
		(a)->tqh_last = (b)->tqh_last;				\
		TAILQ_INIT(b);						\
	}								\
} while (0)

#endif
