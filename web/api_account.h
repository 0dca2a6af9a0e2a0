/* The account in a profile's comments (docs/profiles.md) as JSON. */
#ifndef HEARTH_WEB_API_ACCOUNT_H
#define HEARTH_WEB_API_ACCOUNT_H

#include "base/json_writer.h"
#include "pprof/profile.h"

/* "truncated" and "drops": an object each of reasons and their counts; no member where the profile has no account: a part of the samples has none. */
void api_account_write(struct json_writer *json, const struct profile *profile);

#endif
