/* See shop.c: the build gives this function a name like "<img src=x onerror=...>". */
void hostile_function(void);

static volatile unsigned long sink;

void hostile_function(void)
{
	for (int i = 0; i < 3000000; i++)
		sink = sink * 3 + 1;
}
