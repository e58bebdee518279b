// How a block's work is cut: it follows from sizes, not from numbers, so that a call like the last one finds it made.

#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "convolution.h"
#include "phases.h"
#include "tile.h"

namespace pellucid {

struct ForwardPlan {
    int team;
    bool minimal;                       // by minimal filtering; see points.h
    std::vector<Tile> tiles;            // of an image
};

// Of gradients that are added up product by product.
struct DirectPlan {
    Gradient layout;
    Target target;
    int shares;                         // threads that work on one image
    std::vector<InputPhase> phases;     // of the input's gradient, if it is wanted
};

struct BackwardPlan {
    int team;
    bool minimal;
    Tile tile;                          // all of an image
    std::optional<DirectPlan> direct;   // unless minimal
};

// The threads that work on a block.
template <class T>
int team_of(const ConvolutionBlock<T>& block, int threads);

// `whole`: the map is kept.
template <class T>
ForwardPlan forward_plan(const ConvolutionBlock<T>& block, bool whole, const Isa& isa, int team);

// `input`: its gradient is wanted.
template <class T>
BackwardPlan backward_plan(const ConvolutionBlock<T>& block, bool input, const Isa& isa, int team);

// The plan of the last call. It stays alive where another call replaces it. One call at a time may ask.
template <class Plan>
class LastPlan {
public:
    // What besides the block's sizes decides.
    struct Key {
        long batch;
        int team;
        const void* kernels;
        bool more;                      // `whole`, or `input`
        bool operator==(const Key&) const = default;
    };

    template <class Make>
    std::shared_ptr<const Plan> like(const Key& key, const Make& make) {
        if (!plan_ || !(key == key_)) plan_ = std::make_shared<const Plan>(make()), key_ = key;
        return plan_;
    }

private:
    Key key_{};
    std::shared_ptr<const Plan> plan_;
};

}  // namespace pellucid
