// A small warehouse: a cache that is never emptied, a report that takes all memory for a moment, and
// blocks that live for one line only. tests/data/README.md says how it was recorded.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

struct Item {
    std::string name;
    long count;
};

static std::map<long, std::unique_ptr<Item>> cache;

inline __attribute__((always_inline)) std::string label(long number) {
    return "item number " + std::to_string(number) + ", aisle " + std::to_string(number % 7);
}

static void remember(long number) {
    auto &item = cache[number];
    if (!item) {
        item = std::make_unique<Item>(Item{label(number), 0});
    }
    item->count++;
}

__attribute__((noinline)) static long report(long rows) {
    std::vector<std::string> lines;
    for (long row = 0; row < rows; row++) {
        lines.push_back(label(row));
    }
    std::sort(lines.begin(), lines.end());
    return static_cast<long>(lines.front().size());
}

__attribute__((noinline)) static char *log_of(int days) {
    char *log = nullptr;
    for (int day = 1; day <= days; day++) {
        log = static_cast<char *>(std::realloc(log, 500 * day));
        log[500 * day - 1] = 0;
    }
    return log;
}

static void rest() { std::this_thread::sleep_for(std::chrono::milliseconds(30)); }

int main() {
    long total = 0;
    for (long number = 0; number < 900; number++) {
        remember(number * number % 300);
        total += static_cast<long>(label(number).size());
    }
    rest();
    std::thread clerk([&] { total += report(400); });
    clerk.join();
    rest();
    char *log = log_of(30);
    total += log[14999];
    return total == 0;
}
