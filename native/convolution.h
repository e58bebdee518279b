// Convolution ► activation ► pooling in one sweep over a feature map, and its gradients.
//
// A tile of the result at a time: the input that it sees is brought into the processor's cache in the order in which the kernel
// reads it, with its padding (so that no padded copy of the whole input exists, and every kind of padding, stride and memory
// format costs the same); some filters' feature maps of the tile are made there, activated and pooled, and only what is left is
// written.

#pragma once

#include "isa.h"
#include "pointwise.h"
#include "pooling.h"

namespace pellucid {

// Multiply-adds, times two, below which a second thread costs more than it does.
inline constexpr double least_work = 1e6;

enum class Border { value, reflect, replicate, circular };      // what the padding holds

// Tensors (batch, channels, depth, height, width) with any distances.
template <class N>
struct Maps {
    N* data = nullptr;
    long image = 0, channel = 0, z = 0, y = 0, x = 0;

    N* at(long b, long c) const { return data + b * image + c * channel; }
};

template <class T>
struct ConvolutionBlock {
    long batch = 0, groups = 1, channels = 0, filters = 0;      // of a group
    Axis axis[3];
    Border border = Border::value;
    T border_value = 0;
    const T* weight = nullptr;      // (filters of all groups, channels, kernel), contiguous
    const T* bias = nullptr;        // null: none
    const Pointwise* activation = nullptr;
    bool pooled_first = false;      // the activation follows the pooling: the same for the maximum, where it never falls
    Pool pool;

    long taps() const { return channels * axis[0].kernel * axis[1].kernel * axis[2].kernel; }
    // Whether each channel has one filter, whose kernel has one plane and nothing between its taps, and maps have some rows: depthwise
    // convolution. Sums are then made row by row; see depthwise.cpp.
    bool by_plane() const {
        const bool dense = axis[0].kernel == 1 && (axis[1].dilation == 1 || axis[1].kernel == 1) && (axis[2].dilation == 1 || axis[2].kernel == 1);
        return channels == 1 && filters == 1 && dense && axis[1].out >= rows_at_once;
    }

    // A multiply-add counts as two.
    double work() const { return 2.0 * batch * groups * filters * taps() * axis[0].out * axis[1].out * axis[2].out; }
};

// What a pass keeps for the one backward; each contiguous, or null.
template <class T, class Place>
struct Kept {
    T* map = nullptr;           // (batch, filters, ...): the feature map before the activation
    // Where the maximum is taken first, instead: of every window, in the sizes of the result.
    T* largest = nullptr;       // before the activation; only where there is one
    Place* places = nullptr;    // in the map
};

struct ForwardPlan;         // see plans.h
struct BackwardPlan;

// out: what the block gives on.
template <class T>
void convolve(const ConvolutionBlock<T>& block, const ForwardPlan& plan, const Maps<const T>& in, const Maps<T>& out, const Kept<T, Spot<T>>& keep, const Isa& isa);

template <class T>
struct ConvolutionGradients {
    const T* out = nullptr;             // of the result, contiguous (batch, filters, ...)
    Kept<const T, const Spot<T>> kept;
    const Pointwise* derivative = nullptr;      // of the activation: the map and the activated map's gradient give the map's gradient
    T* in = nullptr;                    // of the input, contiguous; null: not wanted
    T* weight = nullptr;                // as weight
    T* bias = nullptr;
};

template <class T>
void convolve_backward(const ConvolutionBlock<T>& block, const BackwardPlan& plan, const Maps<const T>& in, const ConvolutionGradients<T>& gradients, const Isa& isa);

}  // namespace pellucid
