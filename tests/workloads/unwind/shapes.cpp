// C++ without frame pointers: virtual calls, lambdas, templates, exceptions. shapes_cpp SECONDS (of CPU)
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <stdexcept>

#define APART __attribute__((noinline, noclone, noipa))

static volatile uint64_t sink;
static uint64_t end_ns;

static uint64_t now_ns()
{
	timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

APART static void spin(uint64_t until_ns)
{
	while (now_ns() < until_ns)
		for (int i = 0; i < 10000; i++)
			sink = sink + static_cast<uint64_t>(i);
	sink = sink + 1;
}

struct base {
	virtual ~base() = default;
	virtual void work(int depth) = 0;
};

struct derived final : base {
	std::unique_ptr<base> next;
	void work(int depth) override;
};

APART void derived::work(int depth)
{
	volatile char frame[48] = {};

	if (depth) {
		next = std::make_unique<derived>();
		next->work(depth - 1);
	} else {
		spin(now_ns() + 1000000);
		throw std::runtime_error("the way back is by unwinding");
	}
	sink = sink + static_cast<uint64_t>(frame[1]);
}

APART static void catches(const std::function<void(int)> &call)
{
	try {
		call(5);
	} catch (const std::exception &error) {
		sink = sink + static_cast<uint64_t>(error.what()[0]);
	}
	sink = sink + 1;
}

int main(int argc, char **argv)
{
	end_ns = now_ns() + static_cast<uint64_t>((argc > 1 ? std::atof(argv[1]) : 1) * 1e9);
	while (now_ns() < end_ns)
		catches([](int depth) {
			derived first;
			first.work(depth);
			sink = sink + 1;
		});
	return 0;
}
