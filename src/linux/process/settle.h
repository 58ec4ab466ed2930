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
 * For one that has much to do at once, and then calls settle(): the next `heap` bytes by
 * which malloc() goes on at the end of its heap are there, at the price of one system call
 * instead of a fault for each page, which on a virtual machine may take as long as ten.
 * What lies free further down, and is given out first, is as it was. Where so much is
 * not to be had nothing is done, and malloc() has as much to give out as without; as
 * little is done where it is another one than glibc's.
 */
void settle_begin(size_t heap);

#endif
