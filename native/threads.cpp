#include "threads.h"

#include <pthread.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace pellucid {

namespace {

inline void rest() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Threads sleep between calls; after a call they stay awake a little, since another one often follows.
class Pool {
public:
    std::mutex claimed;

    void grow(int count) {
        while ((int)threads_.size() < count) {
            const int index = (int)threads_.size() + 1;
            threads_.emplace_back([this, index] { live(index); });
            threads_.back().detach();
        }
    }

    void run(int count, const std::function<void(int)>& work) {
        std::vector<std::exception_ptr> failures(count);
        const std::function<void(int)> guarded = [&](int i) {
            try {
                work(i);
            } catch (...) {
                failures[i] = std::current_exception();
            }
        };
        {
            std::lock_guard hold(mutex_);
            work_ = &guarded;
            wanted_ = count;
            left_.store(count - 1, std::memory_order_relaxed);
            round_.fetch_add(1, std::memory_order_release);
        }
        wake_.notify_all();
        guarded(0);
        for (int spins = 0; left_.load(std::memory_order_acquire) > 0; ++spins) {
            if (spins < 4096) rest();
            else std::this_thread::yield();
        }
        for (const std::exception_ptr& failure : failures)
            if (failure) std::rethrow_exception(failure);
    }

private:
    void live(int index) {
        long seen = 0;
        for (;;) {
            for (int spins = 0; spins < 20000 && round_.load(std::memory_order_acquire) == seen; ++spins) rest();
            const std::function<void(int)>* work = nullptr;
            {
                std::unique_lock hold(mutex_);
                wake_.wait(hold, [&] { return round_.load(std::memory_order_relaxed) != seen; });
                seen = round_.load(std::memory_order_relaxed);
                if (index < wanted_) work = work_;
            }
            if (work) {
                (*work)(index);
                left_.fetch_sub(1, std::memory_order_release);
            }
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<std::thread> threads_;
    const std::function<void(int)>* work_ = nullptr;
    int wanted_ = 0;
    std::atomic<long> round_{0};
    std::atomic<int> left_{0};
};

// Never destroyed: its threads may outlive main. After a fork the child has none of them, and gets a pool of its own.
Pool* pool = nullptr;
std::once_flag once;

Pool& shared_pool() {
    std::call_once(once, [] {
        pool = new Pool;
        pthread_atfork(nullptr, nullptr, [] { pool = new Pool; });
    });
    return *pool;
}

}  // namespace

Lease::Lease(int wanted) : count_(wanted < 1 ? 1 : wanted), owns_(false) {
    if (count_ == 1) return;
    Pool& shared = shared_pool();
    owns_ = shared.claimed.try_lock();
    if (!owns_) count_ = 1;
    else shared.grow(count_ - 1);
}

Lease::~Lease() {
    if (owns_) shared_pool().claimed.unlock();
}

void Lease::run(const std::function<void(int)>& work) {
    if (count_ == 1) work(0);
    else shared_pool().run(count_, work);
}

void Barrier::wait() {
    const int round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == count_ - 1) {
        arrived_.store(0, std::memory_order_relaxed);
        round_.fetch_add(1, std::memory_order_acq_rel);
        return;
    }
    for (int spins = 0; round_.load(std::memory_order_acquire) == round; ++spins) {
        if (spins < 4096) rest();
        else std::this_thread::yield();
    }
}

}  // namespace pellucid
