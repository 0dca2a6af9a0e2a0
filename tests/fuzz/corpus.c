#include "tests/fuzz/corpus.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_input(const char *folder, const char *name, struct corpus_input *input)
{
	uint8_t bytes[CORPUS_INPUT_MAX + 1];
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "rbe");
	if (!file)
		return -errno;
	size_t n = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	if (n < 2 || n > CORPUS_INPUT_MAX)
		return -E2BIG;
	input->bytes = malloc(n);
	if (!input->bytes)
		return -ENOMEM;
	memcpy(input->bytes, bytes, n);
	input->n = n;
	return 0;
}

int corpus_read(const char *folder, struct corpus *corpus_out)
{
	struct dirent **names;
	struct corpus corpus = {.n = 0};

	int n = scandir(folder, &names, NULL, alphasort);
	if (n < 0)
		return -errno;
	corpus.inputs = calloc((size_t)n + 1, sizeof(corpus.inputs[0]));
	for (int i = 0; i < n; i++) {
		if (corpus.inputs && names[i]->d_name[0] != '.' && read_input(folder, names[i]->d_name, &corpus.inputs[corpus.n]) == 0)
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
