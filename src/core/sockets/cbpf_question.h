/*
 * A question to the kernel: which socket is at a position of the group? It is a
 * SYN that nobody else sends, by which a program is told the position that it
 * is to choose, in classic BPF.
 */
#ifndef CORE_SOCKETS_CBPF_QUESTION_H
#define CORE_SOCKETS_CBPF_QUESTION_H

#include <stdint.h>

struct cbpf_code;

/* It has this time to live (or hop limit), with which no client's packets
   arrive, and, for position N, the maximum segment size BASE + N. */
#define CBPF_QUESTION_TTL	1
#define CBPF_QUESTION_MSS_BASE	100

/* Of the most positions that the size can tell. */
#define CBPF_QUESTION_POSITIONS	32000

/* If it is one about a position below `positions`, return that; else go on with
   what is there already. TCP. */
void cbpf_put_question(struct cbpf_code *c, uint32_t positions);

#endif
