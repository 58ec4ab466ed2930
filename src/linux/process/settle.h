#ifndef LINUX_PROCESS_SETTLE_H
#define LINUX_PROCESS_SETTLE_H

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

#endif
