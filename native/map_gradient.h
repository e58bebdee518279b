// The gradient of a block's feature map, from its results' and from what the forward pass kept.

#pragma once

#include <vector>

#include "convolution.h"

namespace pellucid {

template <class T>
class MapGradient {
public:
    MapGradient(const ConvolutionBlock<T>& block, const ConvolutionGradients<T>& gradients, const Kernels<T>& kernels, Arena& arena)
        : b_(block), g_(gradients), kernels_(kernels), pooler_(block.pool, kernels, arena), windows_(volume(block.pool.axis)), size_(volume(block.axis)) {
        const bool pools = !block.pool.trivial();
        slope_ = arena.take<T>(pools ? windows_ : 0);
        places_ = arena.take<Spot<T>>(pools && block.pool.max && !block.pooled_first ? windows_ : 0);
        dense_ = arena.take<T>(dense() ? size_ : 0);
        if (block.activation) {
            activation_.emplace_back(*block.activation, kernels, arena);
            derivative_.emplace_back(*gradients.derivative, kernels, arena);
        }
    }

    // Numbers side by side.
    struct Numbers {
        const T* data;
        long count;
    };

    // One filter's, into planes and rows that far apart; what lies between them is left as it is. Returns, until the next run, numbers
    // that have the same sum.
    Numbers run(long image, long filter, T* to, long z_step, long y_step) {
        const long at = image * b_.groups * b_.filters + filter, width = b_.axis[2].out, area = b_.axis[1].out * width;
        const T* map = g_.kept.map ? g_.kept.map + at * size_ : nullptr;
        const T* out = g_.out + at * windows_;
        const bool pools = !b_.pool.trivial();
        if (!dense()) {
            if (pools) return {unpool(map, at * windows_, out, to, z_step, y_step), windows_};      // each window's goes to one number
        } else {
            if (pools) unpool(map, at * windows_, out, dense_, area, width);
            const bool at_place = b_.activation && y_step == width && (b_.axis[0].out == 1 || z_step == area);
            if (b_.activation) derivative_[0].run({map, pools ? dense_ : out}, {0, 0}, at_place ? to : dense_, 0, 1, size_, pools ? 0 : size_);
            if (at_place) return {to, size_};
            out = dense_;
        }
        for (long z = 0; z < b_.axis[0].out; ++z) kernels_.spatial.copy({out + z * area, width, to + z * z_step, y_step, b_.axis[1].out, width});
        return {out, size_};
    }

private:
    const ConvolutionBlock<T>& b_;
    const ConvolutionGradients<T>& g_;
    const Kernels<T>& kernels_;
    Pooler<T> pooler_;
    long windows_, size_;
    T *slope_, *dense_;
    Spot<T>* places_;
    std::vector<PointwiseRun<T>> activation_, derivative_;      // none or one

    // Whether it is first made as the map lies.
    bool dense() const { return !b_.pooled_first && (b_.activation || !b_.pool.trivial()); }

    static long volume(const Axis (&a)[3]) { return a[0].out * a[1].out * a[2].out; }

    // The gradient of what is pooled, from the results' and from what was kept: the map, or of maxima the windows' (at `at`). Returns
    // that of the windows.
    const T* unpool(const T* map, long at, const T* out, T* to, long z_step, long y_step) {
        const Axis(&p)[3] = b_.pool.axis;
        const Spot<T>* places = nullptr;
        if (b_.pooled_first) {
            places = g_.kept.places + at;
            if (b_.activation) derivative_[0].run({g_.kept.largest + at, out}, {0, 0}, slope_, 0, 1, windows_, windows_), out = slope_;
        } else if (b_.pool.max) {
            activation_[0].run({map, nullptr}, {0, 0}, dense_, 0, 1, size_);
            const Range all[3] = {{0, p[0].out}, {0, p[1].out}, {0, p[2].out}};
            pooler_.run({dense_, p[1].in * p[2].in, p[2].in}, all, {slope_, p[1].out * p[2].out, p[2].out}, places_);
            places = places_;
        }
        scatter_plane<T>(b_.pool, out, places, to, z_step, y_step, kernels_);
        return out;
    }
};

}  // namespace pellucid
