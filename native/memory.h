// Memory that one call works in. It is kept between calls, so that a call does not pay for fresh pages.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace pellucid {

// Hands out pieces that begin at a cache line, all from one slab that the thread keeps; what does not fit is allocated,
// and the slab grows to the need at the end of the call. An arena takes the slab with it: another one on the same thread
// (a signal handler that runs a layer while a layer runs) finds none and allocates all it needs. So does one that has
// its memory for itself: one that is to outlive a call, or that stands beside another.
class Arena {
public:
    explicit Arena(bool for_itself = false) : for_itself_(for_itself) {
        if (!for_itself) slab_ = std::exchange(kept(), {});
    }
    Arena(const Arena&) = delete;
    ~Arena() {
        if (for_itself_) return;
        if (need_ > slab_.size && need_ <= most_kept) {
            extra_.clear();
            slab_ = {};
            if (std::byte* p = allocate(need_)) slab_ = {Memory(p), need_};     // without one, the next call allocates
        }
        if (slab_.size > kept().size) kept() = std::move(slab_);
    }

    template <class T>
    T* take(size_t count) {
        const size_t bytes = watched ? std::max<size_t>(count, 1) * sizeof(T) : (count * sizeof(T) + 2 * line - 1) / line * line;
        std::byte* at;
        if (need_ + bytes <= slab_.size) {
            at = slab_.memory.get() + need_;
        } else {
            at = allocate(bytes);
            if (!at) throw std::bad_alloc();
            extra_.emplace_back(at);
            if (watched) std::memset(at, 0xff, bytes);
        }
        need_ += bytes;
        return reinterpret_cast<T*>(at);
    }

private:
    // Under AddressSanitizer every piece is an allocation of its own, not a byte too long, and full of NaN.
#if defined(__SANITIZE_ADDRESS__)
    static constexpr bool watched = true;
#else
    static constexpr bool watched = false;
#endif
    static constexpr size_t line = 64, most_kept = watched ? 0 : 64u << 20;

    struct Free {
        void operator()(std::byte* p) const { std::free(p); }
    };
    using Memory = std::unique_ptr<std::byte, Free>;

    struct Slab {
        Memory memory;
        size_t size = 0;
    };

    static Slab& kept() {
        thread_local Slab slab;
        return slab;
    }

    // Null where there is not so much.
    static std::byte* allocate(size_t bytes) {
        void* p = nullptr;
        return posix_memalign(&p, line, bytes) == 0 ? static_cast<std::byte*>(p) : nullptr;
    }

    const bool for_itself_;
    Slab slab_;
    size_t need_ = 0;
    std::vector<Memory> extra_;
};

}  // namespace pellucid
