#include "web/assets.h"

#include <string.h>

#include "web/assets_data.h"

const struct web_asset *web_asset_find(const char *path)
{
	for (size_t i = 0; i < sizeof(ASSETS) / sizeof(ASSETS[0]); i++)
		if (strcmp(ASSETS[i].path, path) == 0)
			return &ASSETS[i];
	return NULL;
}
