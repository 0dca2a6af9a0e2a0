#include "web/api_account.h"

#include <stdlib.h>
#include <string.h>

#define ACCOUNT	   "ticks="
#define REASON_MAX 64

static const char *find_account(const struct profile *profile)
{
	for (size_t i = 0; profile && i < profile->n_comments; i++) {
		const char *comment = profile_string(profile, profile->comments[i]);
		if (strncmp(comment, ACCOUNT, strlen(ACCOUNT)) == 0)
			return comment;
	}
	return NULL;
}

/* Words such as "truncated_no_table=12". What is no number is passed over. */
static void write_reasons(struct json_writer *json, const char *key, const char *account, const char *prefix)
{
	size_t n_prefix = strlen(prefix);
	char reason[REASON_MAX], *end;

	json_object_begin(json, key);
	for (const char *word = account; *word; word = *strchrnul(word, ' ') ? strchrnul(word, ' ') + 1 : "") {
		const char *equals = strchr(word, '=');
		if (strncmp(word, prefix, n_prefix) != 0 || !equals || (size_t)(equals - word) - n_prefix >= sizeof(reason) || equals < word + n_prefix)
			continue;
		memcpy(reason, word + n_prefix, (size_t)(equals - word) - n_prefix);
		reason[equals - word - (ptrdiff_t)n_prefix] = '\0';
		unsigned long long count = strtoull(equals + 1, &end, 10);
		if (end > equals + 1 && (*end == ' ' || !*end) && !strchr(reason, ' '))
			json_uint(json, reason, count);
	}
	json_object_end(json);
}

void api_account_write(struct json_writer *json, const struct profile *profile)
{
	const char *account = find_account(profile);

	if (!account)
		return;
	write_reasons(json, "truncated", account, "truncated_");
	write_reasons(json, "drops", account, "dropped_");
}
