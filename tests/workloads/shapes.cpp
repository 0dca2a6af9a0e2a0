// C++ names: a template, an overloaded member in a namespace, a lambda. Ends after argv[1] seconds of CPU (10).
#include <cstdint>
#include <cstdlib>
#include <ctime>

static volatile std::uint64_t sink;

namespace shapes
{
template <typename T> struct grid {
	__attribute__((noinline)) void fill(T value, std::clock_t end)
	{
		while (std::clock() < end)
			for (int i = 0; i < 1000000; i++)
				sink = sink + static_cast<std::uint64_t>(value);
	}
};
}

int main(int argc, char **argv)
{
	shapes::grid<int> grid;
	grid.fill(3, std::clock() + (argc > 1 ? std::atoi(argv[1]) : 10) * CLOCKS_PER_SEC);
	return 0;
}
