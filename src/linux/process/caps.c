#include <sys/syscall.h>

#include <unistd.h>

#include "linux/process/caps.h"

bool
caps_effective(uint64_t *ret_caps)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
		{ .effective = 0 },
	};
	bool told = syscall(SYS_capget, &header, data) == 0;

	*ret_caps = told ? (uint64_t)data[1].effective << 32 |
	    data[0].effective : 0;
	return told;
}

bool
caps_has(uint64_t caps)
{
	uint64_t ours;

	(void)caps_effective(&ours);
	return (ours & caps) == caps;
}
