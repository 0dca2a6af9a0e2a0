// Exceptions through frames of several shapes, virtual calls and lambdas, in few instructions: for single-stepping.
#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#define NOINLINE __attribute__((noinline))

static volatile long source = 3;

struct Guard {
	long value;
	NOINLINE ~Guard() { source = source + value; }
};

struct Shape {
	virtual ~Shape() = default;
	virtual long area(long n) = 0;
};

struct Thrower : Shape {
	NOINLINE long area(long n) override
	{
		Guard guard{n};
		if (n & 1)
			throw n;
		return n * source;
	}
};

static Thrower thrower;
static Shape *volatile shape = &thrower;

static NOINLINE long realigns(long n)
{
	alignas(64) volatile long lines[16];
	Guard guard{n};
	lines[n & 15] = shape->area(n);
	return lines[n & 15];
}

static NOINLINE long rethrows(long n)
{
	std::function<long(long)> call = [n](long x) { return realigns(x) + n; };
	try {
		return call(n) + 1;
	} catch (...) {
		source = source + 1;
		throw;
	}
}

static NOINLINE long catches(long n)
{
	try {
		std::string text(40, 'x');
		return rethrows(n) + (long)text.size();
	} catch (long thrown) {
		return thrown;
	}
}

int main()
{
	std::vector<long> keys;
	for (long n = 1; n < 6; n++)
		keys.push_back(catches(n));
	std::sort(keys.begin(), keys.end(), [](long a, long b) { return a < b; });
	return keys[0] == -1;
}
