/* What sinks differ in, when a window is sorted into series. */
#ifndef HEARTH_SERVER_UPLOAD_SHAPE_KIND_H
#define HEARTH_SERVER_UPLOAD_SHAPE_KIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server-upload/sink_config.h"

struct shape_kind {
	const char *profile_name;      /* the label __name__; NULL: none */
	bool names_the_type;	       /* __name__ says which event it is, where that is not CPU time */
	const char *node;	       /* the label that gets host's value too; NULL: none */
	const char *const *not_series; /* labels that do not make series; ends in NULL */
	bool keeps_others;	       /* labels that make no series stay on the samples as strings */
	bool keeps_numbers;	       /* pid and tid stay on the samples */
	bool by_process;	       /* a series for each pid too */
	bool one_series;	       /* no label makes a series */
	bool plain_names;	       /* label names are [a-zA-Z_][a-zA-Z0-9_]* */
	bool keeps_system_names;       /* mangled names too: 5 to 15 % of a window of C++, and no server shows them */
	bool count_alone;	       /* values that follow from samples/count and the period are left out */
	bool resolves_names;	       /* the server can name addresses */
	size_t names_max;	       /* labels of one series; 0: LABEL_SET_MAX */
	size_t name_bytes_max, value_bytes_max;
	size_t request_bytes;	       /* uncompressed */
	uint32_t samples;	       /* of one profile; 0: any number */
};

/* NULL for a kind that is not shaped (dir). */
const struct shape_kind *shape_kind(enum sink_kind kind);

#endif
