/* clusterctl import: no clusterd is asked. */
#ifndef CLI_CTL_IMPORT_H
#define CLI_CTL_IMPORT_H

struct ctl_options;

/* Returns the exit status: 1 also where -t would refuse the result. */
int ctl_import(const struct ctl_options *options);

#endif
