// The team of threads that PyTorch uses too, and a barrier for those at work on one sweep.

#pragma once

#include <atomic>
#include <functional>

namespace pellucid {

// PyTorch's operators run on OpenMP's team, whose threads stay awake for a while after each of them. A second pool beside
// it would fight with it for the cores, so the engine runs on the same team, which it finds in the process.

// How many threads `on_team` would have now: `wanted`, or 1 where there is no team (no OpenMP in the process, after a
// fork, or inside a parallel region).
int team_size(int wanted);

// Runs work(0) ... work(count - 1), each on a thread of its own, work(0) on the caller's, and returns when all are done.
// `count` comes from team_size. False, and nothing was run, where OpenMP gave fewer threads. `work` must not throw.
bool on_team(int count, const std::function<void(int)>& work);

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
