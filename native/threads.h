// One pool of threads, and a barrier for those at work on one sweep.

#pragma once

#include <atomic>
#include <functional>

namespace pellucid {

// Run work(0) ... work(count - 1), each on a thread of its own, work(0) on the caller's; return when all are done.
// The pool serves one caller at a time: `claim` says how many threads this caller gets, 1 where the pool is busy.
class Lease {
public:
    explicit Lease(int wanted);
    ~Lease();
    Lease(const Lease&) = delete;
    int count() const { return count_; }
    void run(const std::function<void(int)>& work);

private:
    int count_;
    bool owns_;
};

// All threads wait until the last one comes. Waiting is by spinning: what it waits for takes microseconds.
class Barrier {
public:
    explicit Barrier(int count) : count_(count) {}
    void wait();

private:
    const int count_;
    std::atomic<int> arrived_{0};
    std::atomic<int> round_{0};
};

}  // namespace pellucid
