#include <sys/mman.h>

#include <elf.h>
#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "linux/process/settle.h"

/* What a start has written to is less, and below it there is room for as much more
   (setrlimit(2), stack_guard_gap of the kernel): no other mapping. */
#define STACK	(256 * 1024)

/* For the calls until the next look, and what the ABI lets a function use below its
   stack pointer. */
#define SPARE	4096

/* Where the linker has put the program's header, wherever that is by now. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static uintptr_t
page_of(uintptr_t at, uintptr_t page)
{
	return at / page * page;
}

static void
settle_stack(uintptr_t page)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uintptr_t end = page_of(here - SPARE, page);

	/* Where less is mapped, that is dropped all the same. */
	(void)madvise((void *)(end - STACK), STACK, MADV_DONTNEED);
}

/* Has what is not to be written to been written to all the same? */
static bool
is_relocated(const ElfW(Dyn) *d)
{
	for (; d->d_tag != DT_NULL; d++)
		if (d->d_tag == DT_TEXTREL || (d->d_tag == DT_FLAGS &&
		    (d->d_un.d_val & DF_TEXTREL) != 0))
			return true;
	return false;
}

/* The file has all of it. The first segment is symbols and relocations, where most
   linkers put nothing beside them; and the header, which is read here. */
static void
settle_program(uintptr_t page)
{
	const ElfW(Ehdr) *head = &__ehdr_start;
	const uintptr_t base = (uintptr_t)head;
	const ElfW(Phdr) *v = (const ElfW(Phdr) *)(base + head->e_phoff);
	const ElfW(Phdr) *first = NULL;

	for (unsigned i = 0; i < head->e_phnum; i++)
		if (v[i].p_type == PT_LOAD && v[i].p_offset == 0 &&
		    v[i].p_flags == PF_R)
			first = &v[i];
	if (first == NULL)
		return;
	/* Addresses in the headers are by as much off as the first one's. */
	for (unsigned i = 0; i < head->e_phnum; i++)
		if (v[i].p_type == PT_DYNAMIC && is_relocated((const void *)
		    (base + (v[i].p_vaddr - page_of(first->p_vaddr, page)))))
			return;
	(void)madvise((void *)base, first->p_filesz, MADV_DONTNEED);
}

void
settle(void)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

#ifdef __GLIBC__
	(void)malloc_trim(0);
#endif
	settle_program(page);
	settle_stack(page);
}
