/* What the exit status of `clusterctl status` tells. */
#ifndef CORE_STATUS_STATUS_WELL_H
#define CORE_STATUS_STATUS_WELL_H

#include <stdbool.h>

struct status;

/*
 * Is every instance that is wanted ready, or has it ended well? An app that was
 * stopped by request, or is about to be, is as it should be; clusterd that stops
 * is not. `one`: an instance was asked for, and the others were not told.
 */
bool status_is_well(const struct status *status, bool one);

#endif
