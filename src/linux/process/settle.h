#ifndef LINUX_PROCESS_SETTLE_H
#define LINUX_PROCESS_SETTLE_H

#include <stddef.h>

/*
 * Gives back memory that a start has used and nobody needs any more: of the heap what is
 * free, of the stack what lies below the caller, of the program what only the dynamic
 * linker reads. What is wanted all the same is there again, at the price of a fault. To
 * be called where the stack is not deep.
 */
void settle(void);

/*
 * Lets go of the program's code and constants: what is used again is mapped again, from the
 * page cache, at the price of a fault for some 64 KiB; the rest counts as nobody's. For
 * one that goes to sleep for longer. Not where a debugger is attached: its breakpoints
 * would go too, as those of uprobes do.
 */
void settle_code(void);

/*
 * For one that has much to do at once, and then calls settle(): the next `heap` bytes
 * that malloc() gives out are there, at the price of one system call instead of a fault
 * for each page, which on a virtual machine may take as long as ten. Where malloc()
 * goes by other rules than glibc's nothing is done.
 */
void settle_begin(size_t heap);

#endif
