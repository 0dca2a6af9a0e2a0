/* Moments as people write them: what is one lies in its range, and is shown and read again as the same second. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/time_text.h"
#include "tests/fuzz/fuzz.h"

#define S 1000000000ll

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const ZONES[] = {"UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "EAST-14", "WEST12", "XYZ-5:45ABC,M1.1.1,M12.5.6"};
	char text[TIME_TEXT_MAX];
	int64_t now = 1795280000 * S, ns = -1, again = -1;
	struct why why = {""};

	if (!n)
		return 0;
	setenv("TZ", ZONES[data[0] % 5], 1);
	uint8_t *copy = malloc(n);
	PROMISE(copy);
	memcpy(copy, data + 1, n - 1);
	copy[n - 1] = '\0';
	int err = time_text_parse((const char *)copy, now, &ns, &why);
	free(copy);
	PROMISE(err == 0 || (err == -EINVAL && ns == -1 && why.text[0]));
	if (err < 0)
		return 0;
	PROMISE(ns >= 0);
	PROMISE(time_text_format(ns, text, sizeof(text)) == 19);
	if (time_text_parse(text, now, &again, &why) == 0) /* 1969 and 2262 are possible to the west and to the east */
		PROMISE(again == ns / S * S || ns / S * S - again == 3600 * S);
	return 0;
}
