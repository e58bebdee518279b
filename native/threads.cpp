#include "threads.h"

#include <dlfcn.h>
#include <pthread.h>

#include <thread>

namespace pellucid {

namespace {

// The entry points that the OpenMP of GNU, LLVM and Intel share. They are looked up, not linked: a second copy of the
// library would bring a second team.
struct OpenMp {
    void (*parallel)(void (*)(void*), void*, unsigned, unsigned);
    int (*thread)();
    int (*threads)();
    int (*inside)();
};

bool after_fork = false;    // OpenMP's threads do not survive a fork

template <class F>
bool look_up(F& to, const char* name) {
    to = reinterpret_cast<F>(dlsym(RTLD_DEFAULT, name));
    return to != nullptr;
}

const OpenMp* open_mp() {
    static OpenMp found;
    static const bool complete = [] {
        pthread_atfork(nullptr, nullptr, [] { after_fork = true; });
        return look_up(found.parallel, "GOMP_parallel") && look_up(found.thread, "omp_get_thread_num") &&
               look_up(found.threads, "omp_get_num_threads") && look_up(found.inside, "omp_in_parallel");
    }();
    return complete && !after_fork ? &found : nullptr;
}

inline void rest() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace

int team_size(int wanted) {
    if (wanted <= 1) return 1;
    const OpenMp* team = open_mp();
    return team && !team->inside() ? wanted : 1;
}

bool on_team(int count, const std::function<void(int)>& work) {
    if (count == 1) {
        work(0);
        return true;
    }
    struct Shared {
        const OpenMp* team;
        const std::function<void(int)>* work;
        int count;
        bool ran;
    } shared{open_mp(), &work, count, false};
    shared.team->parallel(
        [](void* given) {
            Shared& s = *static_cast<Shared*>(given);
            if (s.team->threads() < s.count) return;
            const int index = s.team->thread();
            if (index == 0) s.ran = true;
            if (index < s.count) (*s.work)(index);
        },
        &shared, (unsigned)count, 0);
    return shared.ran;
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
