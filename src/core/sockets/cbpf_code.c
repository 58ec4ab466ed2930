#include <linux/filter.h>

#include "core/sockets/cbpf_code.h"

static void
put_insn(struct cbpf_code *c, struct sock_filter insn, size_t cost)
{
	if (c->n >= c->n_max || c->cost + cost > c->cost_max) {
		c->full = true;
		return;
	}
	c->n++;
	c->cost += cost;
	c->at[BPF_MAXINSNS - c->n] = insn;
}

void
cbpf_put(struct cbpf_code *c, unsigned op, uint32_t k)
{
	bool two = op == (BPF_RET | BPF_K);

	put_insn(c, (struct sock_filter)BPF_STMT((uint16_t)op, k), two ? 2 : 1);
}

void
cbpf_put_jump(struct cbpf_code *c, size_t label)
{
	if (c->n != label)
		cbpf_put(c, BPF_JMP | BPF_JA, (uint32_t)(c->n - label));
}

/* Conditional jumps reach 255 instructions; further ones go by a second. */
void
cbpf_put_branch(struct cbpf_code *c, unsigned op, uint32_t k, size_t yes,
    size_t no)
{
	if (c->n - no > UINT8_MAX - 1) {
		cbpf_put_jump(c, no);
		no = c->n;
	}
	if (c->n - yes > UINT8_MAX) {
		cbpf_put_jump(c, yes);
		yes = c->n;
	}
	put_insn(c,
	    (struct sock_filter)BPF_JUMP((uint16_t)(BPF_JMP | op), k,
		(uint8_t)(c->n - yes), (uint8_t)(c->n - no)),
	    c->n != yes && c->n != no ? 2 : 1);
}

void
cbpf_put_mix(struct cbpf_code *c, uint32_t shift, uint32_t factor)
{
	if (factor != 0)
		cbpf_put(c, BPF_ALU | BPF_MUL | BPF_K, factor);
	cbpf_put(c, BPF_ALU | BPF_XOR | BPF_X, 0);
	cbpf_put(c, BPF_ALU | BPF_RSH | BPF_K, shift);
	cbpf_put(c, BPF_MISC | BPF_TAX, 0);
}
