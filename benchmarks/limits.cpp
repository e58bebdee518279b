// What the machine can do at most: multiply-adds, and bytes read from each cache and from memory, on some threads at once.
//   c++ -O3 -march=native -std=gnu++20 -pthread limits.cpp -o limits && ./limits THREADS

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

// The widest vector that the compiler was told of; it makes pieces of a wider one where the processor is narrower.
#if defined(__AVX512F__)
constexpr int bytes = 64;
#elif defined(__AVX2__)
constexpr int bytes = 32;
#else
constexpr int bytes = 16;
#endif
typedef float Vector __attribute__((vector_size(bytes)));
constexpr int lanes = bytes / sizeof(float);

volatile float used;
void use(const Vector& v) { used = v[0]; }

// Twelve sums, so that none waits for the one before it.
double multiply_adds(double seconds) {
    Vector sum[12], factor, addend;
    for (int i = 0; i < 12; ++i) sum[i] = Vector{} + (float)i;
    factor = Vector{} + 0.9999f, addend = Vector{} + 0.5f;
    long rounds = 0;
    const auto begin = Clock::now();
    double passed = 0;
    while (passed < seconds) {
        for (int k = 0; k < 20000; ++k)
            for (int i = 0; i < 12; ++i)
                sum[i] = sum[i] * factor + addend;
        rounds += 20000;
        passed = std::chrono::duration<double>(Clock::now() - begin).count();
    }
    for (const Vector& v : sum) use(v);
    return rounds * 12.0 * lanes * 2 / passed;
}

struct Free {
    void operator()(Vector* p) const { std::free(p); }
};

struct Memory {
    std::unique_ptr<Vector[], Free> data;
    long count;     // vectors

    static Memory of(size_t size) {
        Memory m{std::unique_ptr<Vector[], Free>((Vector*)std::aligned_alloc(4096, size)), (long)size / bytes};
        for (long i = 0; i < m.count; ++i) m.data[i] = Vector{} + 1.0f;
        return m;
    }
};

double bytes_read(const Memory& memory, double seconds) {
    const long count = memory.count;
    const Vector* from = memory.data.get();
    Vector sum[8] = {};
    double read = 0, passed = 0;
    const auto begin = Clock::now();
    while (passed < seconds) {
        const long times = std::max<long>(1, (1 << 22) / (count * bytes));
        for (long t = 0; t < times; ++t)
            for (long i = 0; i < count; i += 8)
                for (int j = 0; j < 8; ++j) sum[j] += from[i + j];
        read += (double)times * count * bytes;
        passed = std::chrono::duration<double>(Clock::now() - begin).count();
    }
    for (const Vector& v : sum) use(v);
    return read / passed;
}

template <class F>
double together(int threads, const F& work) {
    std::vector<double> each(threads);
    std::vector<std::thread> team;
    std::atomic<int> waiting{threads};
    for (int i = 0; i < threads; ++i)
        team.emplace_back([&, i] {
            --waiting;
            while (waiting > 0) {}
            each[i] = work(i);
        });
    double sum = 0;
    for (int i = 0; i < threads; ++i) team[i].join(), sum += each[i];
    return sum;
}

}  // namespace

int main(int argc, char** argv) {
    const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
    std::printf("{\"threads\": %d, \"multiply_add_flops\": %.4g", threads, together(threads, [](int) { return multiply_adds(0.4); }));
    const struct { const char* name; size_t bytes; } sizes[] = {{"L1", 16u << 10}, {"L2", 512u << 10}, {"L3", 6u << 20}, {"memory", 256u << 20}};
    for (const auto& size : sizes) {
        std::vector<Memory> memory;
        for (int i = 0; i < threads; ++i) memory.push_back(Memory::of(size.bytes)), bytes_read(memory.back(), 0.02);
        std::printf(", \"%s_bytes\": %.4g", size.name, together(threads, [&](int i) { return bytes_read(memory[i], 0.3); }));
    }
    std::printf("}\n");
}
