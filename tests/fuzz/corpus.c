#include "tests/fuzz/corpus.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

int corpus_read_file(const char *path, size_t max, struct corpus_input *input_out)
{
	AUTO_FCLOSE FILE *file = fopen(path, "rbe");

	if (!file)
		return -errno;
	AUTO_FREE uint8_t *bytes = malloc(max + 1);
	if (!bytes)
		return -ENOMEM;
	size_t n = fread(bytes, 1, max + 1, file);
	if (n > max || !n)
		return -E2BIG;
	/* Of its exact size: sanitizers see one byte too many. */
	input_out->bytes = malloc(n ? n : 1);
	if (!input_out->bytes)
		return -ENOMEM;
	memcpy(input_out->bytes, bytes, n);
	input_out->n = n;
	return 0;
}

int corpus_read(const char *folder, size_t max, struct corpus *corpus_out)
{
	char path[4096];
	struct dirent **names;
	struct corpus corpus = {.n = 0};

	int n = scandir(folder, &names, NULL, alphasort);
	if (n < 0)
		return -errno;
	corpus.inputs = calloc((size_t)n + 1, sizeof(corpus.inputs[0]));
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
		if (corpus.inputs && names[i]->d_name[0] != '.' && corpus_read_file(path, max, &corpus.inputs[corpus.n]) == 0)
			corpus.n++;
		free(names[i]);
	}
	free(names);
	if (!corpus.inputs)
		return -ENOMEM;
	*corpus_out = corpus;
	return 0;
}

size_t corpus_mutant(const struct corpus *corpus, struct dice *dice, uint8_t *bytes)
{
	const struct corpus_input *input = &corpus->inputs[dice_roll(dice, corpus->n)];

	memcpy(bytes, input->bytes, input->n);
	return 1 + mutate(dice, bytes + 1, input->n - 1, CORPUS_INPUT_MAX - 1);
}

void corpus_free(struct corpus *corpus)
{
	for (size_t i = 0; i < corpus->n; i++)
		free(corpus->inputs[i].bytes);
	free(corpus->inputs);
}
