// Memory that one call works in. It is kept between calls, so that a call does not pay for fresh pages.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

namespace pellucid {

// Hands out pieces that begin at a cache line, all from one slab that the thread keeps; what does not fit is allocated,
// and the slab grows to the need at the end of the call. One such arena at a time on a thread; one that is to outlive a
// call has its memory for itself.
class Arena {
public:
    explicit Arena(bool for_itself = false) : for_itself_(for_itself) {}
    Arena(const Arena&) = delete;
    ~Arena() {
        Slab& slab = kept();
        if (for_itself_ || need_ <= slab.size || need_ > most_kept) return;
        extra_.clear();
        slab.memory.reset();
        slab.memory = allocate(need_);
        slab.size = need_;
    }

    template <class T>
    T* take(size_t count) {
        const size_t bytes = (count * sizeof(T) + 2 * line - 1) / line * line;
        Slab& slab = kept();
        std::byte* at;
        if (!for_itself_ && need_ + bytes <= slab.size) {
            at = slab.memory.get() + need_;
        } else {
            extra_.push_back(allocate(bytes));
            at = extra_.back().get();
        }
        need_ += bytes;
        return reinterpret_cast<T*>(at);
    }

private:
    static constexpr size_t line = 64, most_kept = 64u << 20;

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

    static Memory allocate(size_t bytes) {
        auto* p = static_cast<std::byte*>(std::aligned_alloc(line, bytes));
        if (!p) throw std::bad_alloc();
        return Memory(p);
    }

    const bool for_itself_;
    size_t need_ = 0;
    std::vector<Memory> extra_;
};

}  // namespace pellucid
