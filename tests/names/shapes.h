#pragma once

int next_number();
int from_other_file(int n);

template <class T> struct box {
	T value;
	T twice() const { return value * 2; }
};

inline int in_header(int n)
{
	box<int> b{n};
	for (int i = 0; i < n; i++)
		b.value += next_number();
	return b.twice() + b.value;
}
