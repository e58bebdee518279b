#include "kept.h"

#include <algorithm>
#include <mutex>

namespace pellucid {

namespace {

constexpr size_t most_bytes = 128u << 20;

struct Shelf {
    std::mutex mutex;
    std::vector<std::shared_ptr<Pack>> packs;   // the last used ones last
    size_t bytes = 0;

    std::shared_ptr<Pack> take(size_t at) {
        std::shared_ptr<Pack> pack = std::move(packs[at]);
        packs.erase(packs.begin() + (std::ptrdiff_t)at);
        bytes -= pack->bytes;
        return pack;
    }

    void put(std::shared_ptr<Pack> pack) {
        bytes += pack->bytes;
        packs.push_back(std::move(pack));
        while (bytes > most_bytes) take(0);
    }
};

// Never destroyed: a thread may still run when the program ends.
Shelf& shelf() {
    static Shelf& all = *new Shelf;
    return all;
}

}  // namespace

std::optional<Packs::Place> Packs::find(const PackedAs& as, std::uint64_t fingerprint, size_t bytes) {
    if (bytes == 0 || bytes > most_bytes / 4) return std::nullopt;
    std::shared_ptr<Pack> pack;
    {
        // Another thread may hold it for ever: one that was left behind by a fork.
        const std::unique_lock lock(shelf().mutex, std::try_to_lock);
        if (!lock) return std::nullopt;
        std::vector<std::shared_ptr<Pack>>& packs = shelf().packs;
        const auto at = std::find_if(packs.begin(), packs.end(), [&](const auto& p) { return p->as == as; });
        if (at != packs.end()) pack = shelf().take((size_t)(at - packs.begin()));
        if (pack && pack->fingerprint == fingerprint) {
            shelf().put(pack);
            used_.push_back(pack);
            return Place{pack->memory.get(), true};
        }
    }
    // The memory of one with other numbers serves again, unless another call still reads it.
    if (!pack || pack.use_count() > 1 || pack->bytes != bytes) {
        void* memory = nullptr;
        if (posix_memalign(&memory, 64, bytes) != 0) return std::nullopt;
        pack = std::make_shared<Pack>(Pack{as, 0, bytes, std::unique_ptr<void, Pack::Free>(memory)});
    }
    pack->fingerprint = fingerprint;
    fresh_.push_back(pack);
    return Place{pack->memory.get(), false};
}

void Packs::keep() {
    const std::unique_lock lock(shelf().mutex, std::try_to_lock);
    if (!lock) return;
    for (const std::shared_ptr<Pack>& pack : fresh_) {
        std::vector<std::shared_ptr<Pack>>& packs = shelf().packs;
        const auto at = std::find_if(packs.begin(), packs.end(), [&](const auto& p) { return p->as == pack->as; });
        if (at != packs.end()) shelf().take((size_t)(at - packs.begin()));
        shelf().put(pack);
    }
    fresh_.clear();
}

}  // namespace pellucid
