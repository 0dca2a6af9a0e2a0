// What makes debug information hard: templates, lambdas in lambdas, a local class with a member function, anonymous namespaces, deep inlining.
#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "shapes.h"

namespace {
struct hidden {
	int value;
	int get() const { return value; }
};
} // namespace

static int sum(const std::vector<int> &numbers)
{
	int result = 0;
	for (int n : numbers)
		result += n;
	return result;
}

int many_shapes(int n)
{
	std::map<std::string, std::vector<int>> by_name;
	std::function<int(int)> again = [&](int k) {
		struct local {
			static int twice(int q) { return q * 2 + next_number(); }
		};
		by_name[std::to_string(k)].push_back(local::twice(k));
		auto inner = [&by_name](int at) { return by_name.size() + static_cast<std::size_t>(at); };
		return k ? again(k - 1) : static_cast<int>(inner(k));
	};
	again(n);
	std::vector<int> all;
	for (auto &entry : by_name)
		all.insert(all.end(), entry.second.begin(), entry.second.end());
	std::sort(all.begin(), all.end(), [](int a, int b) { return a > b; });
	hidden last{all.back()};
	return sum(all) + last.get() + in_header(n);
}

int never_called(int n)
{
	return sum(std::vector<int>(static_cast<std::size_t>(n)));
}

int main(int argc, char **)
{
	return many_shapes(argc) + from_other_file(argc);
}
