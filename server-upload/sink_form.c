#include "server-upload/sink_form.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct sink_form FORMS[SINK_KINDS] = {
	[SINK_PYROSCOPE] = {{"application/proto", "Connect-Protocol-Version: 1", false, false}, "/push.v1.PusherService/Push", false},
	[SINK_PARCA] = {{"application/grpc+proto", NULL, true, false}, "/parca.profilestore.v1alpha1.ProfileStoreService/WriteRaw", false},
	[SINK_OTLP_HTTP] = {{"application/x-protobuf", NULL, false, false}, "/v1development/profiles", true},
	[SINK_OTLP_GRPC] = {{"application/grpc+proto", NULL, true, false},
			    "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export", true},
	[SINK_HTTP] = {{"application/octet-stream", NULL, false, false}, "", false},
};

const struct sink_form *sink_form_of(enum sink_kind kind)
{
	return kind < SINK_KINDS && FORMS[kind].path ? &FORMS[kind] : NULL;
}

int sink_form_url(const struct sink_form *form, const char *url, char **url_out)
{
	size_t n = strlen(url), n_path = strlen(form->path);
	char *whole = malloc(n + n_path + 1);

	if (!whole)
		return -ENOMEM;
	strcpy(whole, url);
	while (n_path && n && whole[n - 1] == '/')
		whole[--n] = '\0';
	if (n < n_path || strcmp(whole + n - n_path, form->path) != 0)
		strcpy(whole + n, form->path);
	*url_out = whole;
	return 0;
}
