#include <string.h>

#include "daemon/control/control_op.h"

void
control_op_begin(struct control_op *op, const struct control_verb *verb,
    const struct request *request)
{
	*op = (struct control_op){
		.request = *request, .verb = verb, .busy = true,
	};
}

void
control_op_end(struct control_op *op)
{
	if (op->busy && op->verb->free != NULL)
		op->verb->free(op);
	control_failures_free(&op->failures);
	*op = (struct control_op){ .request = op->request };
}

bool
control_op_names_app(const struct control_op *op)
{
	return op->request.app[0] != '\0';
}

bool
control_op_concerns(const struct control_op *op, const char *app)
{
	return !control_op_names_app(op) || strcmp(op->request.app, app) == 0;
}

bool
control_op_has_portion(const struct control_op *op)
{
	return op->busy && op->verb->more != NULL && !op->waits;
}

bool
control_op_is_awaited(const struct control_op *op)
{
	return op->busy && op->verb->check != NULL;
}
