#include "sweep.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <optional>

#include "blocks.h"
#include "kept.h"
#include "memory.h"
#include "packing.h"
#include "share.h"
#include "steps.h"
#include "threads.h"

namespace pellucid {

namespace {

// Blocks of steps: long enough for the large products, short enough that windows stay in the cache and Ctrl-C is heard.
template <class T>
long block_steps(const Sweep<T>& w) {
    long width = 0;
    for (const Window<T>& window : w.windows)
        if (!window.base) width += window.width;
    const long rows = w.weight_gradients.empty() ? 96 : 384;     // the sums of a gradient are read and written for every block
    const long cached = width ? (1 << 18) / (width * w.batch * (long)sizeof(T)) : 128;
    return std::clamp<long>(std::max(cached, rows / w.batch), 1, std::min<long>(128, w.steps));
}

// A distance between rows of so many numbers at which a dozen of them do not compete for the same few lines of the cache, as
// they do where it is a multiple of a large power of two.
template <class T>
long apart(long numbers) {
    const long line = 64 / (long)sizeof(T), page = 1024 / (long)sizeof(T);
    return numbers >= page && numbers % page == 0 ? numbers + line : numbers;
}

// Rows for each thread so that all have as many steps to do.
template <class T>
std::vector<long> even_shares(const Sweep<T>& w, int threads) {
    std::vector<long> shares{0};
    if (w.starts.empty()) {
        const long share = (w.batch + threads - 1) / threads;
        while ((int)shares.size() <= threads) shares.push_back(std::min(w.batch, shares.back() + share));
        return shares;
    }
    std::vector<long> ends(w.batch + 1, 0);     // steps of the sequences up to each
    for (long t = 0; t < w.steps; ++t) ++ends[w.rows_at(t)];
    for (long r = w.batch; r > 0; --r) ends[r - 1] += ends[r];      // ends[r]: times with at least r rows, the length of the r-th
    ends[0] = 0;
    for (long r = 1; r <= w.batch; ++r) ends[r] += ends[r - 1];
    for (int i = 1; i < threads; ++i)
        shares.push_back(std::lower_bound(ends.begin(), ends.end(), ends.back() * i / threads) - ends.begin());
    shares.push_back(w.batch);
    return shares;
}

// A sweep on one thread's share.
template <class T>
class Worker {
public:
    Worker(Common<T>& common, Arena& arena, T* full, int index)
        : share_(new ThreadShare<T>{common, index}), blocks_(*share_, arena), steps_(*share_, arena, full) {}

    void pack() { blocks_.pack(); }

    void step(long done) {
        share_->first_time = 0;
        blocks_.project(1);
        steps_.run(done, 0);
    }

    void run() {
        Common<T>& c = share_->common;
        const Sweep<T>& w = c.sweep;
        blocks_.pack();
        auto checked = std::chrono::steady_clock::now();
        long number = 0;
        for (long done = 0; done < w.steps; done += c.block, ++number) {
            const long count = std::min(c.block, w.steps - done);
            share_->first_time = w.reverse ? w.steps - done - count : done;
            blocks_.project(count);
            for (long step = done; step < done + count; ++step) steps_.run(step, w.reverse ? w.steps - 1 - step : step);
            if (w.interrupted && share_->index == 0) {
                const auto now = std::chrono::steady_clock::now();
                if (now - checked > std::chrono::milliseconds(50)) {
                    checked = now;
                    if (w.interrupted()) c.last_block.store(number);
                }
            }
            // Where threads ever wait for each other they all leave after the same block: the word is given before they meet
            // here, and one that lags may already see that a later block is to be the last.
            if (c.gathers() || !c.by_rows()) c.barrier.wait();
            if (c.gathers()) blocks_.gather(count);
            if (c.last_block.load() <= number) return;
        }
    }

private:
    std::unique_ptr<ThreadShare<T>> share_;   // the others know where it lies
    Blocks<T> blocks_;
    Steps<T> steps_;
};

// A sweep with all that its threads need.
template <class T>
class Prepared {
public:
    // `packs`: of this and earlier calls; null for matrices packed for this one alone.
    Prepared(const Sweep<T>& sweep, const Kernels<T>& kernels, int threads, bool by_rows, Arena& arena, Packs* packs)
        : packs_(packs), common_{sweep, kernels, {}, {}, {}, sweep.windows, {}, block_steps(sweep), threads, {}, Barrier(threads)} {
        const Plan& plan = *sweep.plan;
        if (by_rows) common_.shares = even_shares(sweep, threads);
        long share = by_rows ? 0 : sweep.batch;
        for (size_t i = 1; i < common_.shares.size(); ++i) share = std::max(share, common_.shares[i] - common_.shares[i - 1]);
        for (const Stage& stage : plan.stages) {
            common_.packed.emplace_back();
            for (const Product& q : stage.products) {
                const Matrix<T>& m = sweep.matrices[q.matrix];
                Packed<T> packed = lay_out(q, m, share, kernels);
                const Panel<T> place = room(m, q.transposed, q.parts, q.heads, packed.vectors, packed.size, arena);
                packed.data = place.data, packed.packed = place.packed;
                common_.packed.back().push_back(packed);
            }
        }
        const auto panels = [&](const Matrix<T>& m, bool transposed) {
            return room(m, transposed, 0, 0, 0, panels_size(kernels, as_right(m, transposed)), arena);
        };
        for (const Projection<T>& q : sweep.projections) common_.projection_panels.push_back(panels(q.matrix, true));
        for (const InputGradient<T>& q : sweep.input_gradients) common_.input_gradient_panels.push_back(panels(q.matrix, false));
        for (Window<T>& window : common_.windows)
            if (!window.base) {
                window.row = apart<T>(window.width);
                const size_t count = (size_t)common_.block * sweep.batch * window.row;
                window.base = arena.take<T>(count);
                std::fill_n(window.base, count, T(0));
            }
        common_.full_offset.assign(plan.program.sizes.size(), 0);
        size_t total = 0;
        for (size_t r = 0; r < plan.program.sizes.size(); ++r)
            if (plan.home[r] == Home::full && plan.program.sizes[r] > one) {
                common_.full_offset[r] = total;
                total += (size_t)share * sweep.sizes[plan.program.sizes[r]] + 32;
            }
        T* full = arena.take<T>(by_rows ? total * threads : total);
        workers_.reserve(threads);
        for (int i = 0; i < threads; ++i) workers_.emplace_back(common_, arena, full + (by_rows ? i * total : 0), i);
    }
    Prepared(const Prepared&) = delete;     // workers know where it lies

    // False, and nothing was done, where the threads were not to be had.
    template <class F>
    bool each(const F& work) {
        return on_team(common_.threads, [&](int i) { work(workers_[i]); });
    }

    bool ran_to_the_end() const { return common_.last_block.load() == LONG_MAX; }

private:
    Packs* packs_;
    Common<T> common_;
    std::vector<Worker<T>> workers_;

    // Where a matrix is packed already, or room to pack it.
    Panel<T> room(const Matrix<T>& m, bool transposed, int parts, int heads, int vectors, size_t count, Arena& arena) const {
        if (packs_) {
            const PackedAs as{m.data, m.rows, m.columns, m.row, &common_.kernels, transposed, parts, heads, vectors};
            if (const auto place = packs_->find(as, fingerprint(m, common_.kernels), count * sizeof(T)))
                return {static_cast<T*>(place->data), place->packed};
        }
        return {arena.take<T>(count), false};
    }
};

// Nothing where the threads were not to be had; otherwise whether it ran to the end.
template <class T>
std::optional<bool> run_on(const Sweep<T>& sweep, const Kernels<T>& kernels, int threads, bool by_rows) {
    Arena arena;
    Packs packs;
    Prepared<T> prepared(sweep, kernels, threads, by_rows, arena, &packs);
    if (!prepared.each([](Worker<T>& worker) { worker.run(); })) return std::nullopt;
    packs.keep();
    return prepared.ran_to_the_end();
}

// Multiply-adds of a step and row, in products and in projections.
template <class T>
std::pair<double, double> work_of(const Sweep<T>& sweep) {
    double products = 0, projections = 0;
    for (const Stage& stage : sweep.plan->stages)
        for (const Product& q : stage.products) products += (double)sweep.matrices[q.matrix].rows * sweep.matrices[q.matrix].columns;
    for (const Projection<T>& q : sweep.projections) projections += (double)q.matrix.rows * q.matrix.columns;
    return {products, projections};
}

}  // namespace

template <class T>
bool run(const Sweep<T>& sweep, const Isa& isa) {
    if (sweep.steps == 0 || sweep.batch == 0) return true;
    const auto [products, projections] = work_of(sweep);
    const Kernels<T>& kernels = isa.kernels<T>(sweep.half);
    const double work = products + projections, bytes = products * sizeof(T) / kernels.pair;    // bytes: what a thread with rows of its own reads in a step
    int threads = sweep.threads;
    // Rows of its own spare a thread the waiting, but each thread then reads all weights in every step: from its own cache if
    // they fit, or from the shared one if each is used for rows enough to hide it.
    const bool near = bytes <= 768 * 1024 && sweep.batch >= 4 * threads, shared = bytes <= (8 << 20) && sweep.batch >= 16 * threads;
    const bool by_rows = near || shared;
    if (!by_rows && work * sweep.batch < 100e3) threads = 1;            // not worth a barrier
    if (by_rows && work * sweep.batch * sweep.steps < 100e3) threads = 1;
    threads = team_size(threads);
    const auto on = [&](int count) { return run_on(sweep, kernels, count, by_rows || count == 1); };
    std::optional<bool> ended = on(threads);
    if (!ended) ended = on(1);
    return *ended;
}

template <class T>
struct Stepper<T>::Parts {
    Sweep<T> sweep;
    const Isa& isa;
    long done = 0;
    std::unique_ptr<Arena> arena = {};
    std::unique_ptr<Prepared<T>> prepared = {};

    void prepare(int threads) {
        prepared.reset();
        arena = std::make_unique<Arena>(true);
        prepared = std::make_unique<Prepared<T>>(sweep, isa.kernels<T>(sweep.half), threads, threads == 1, *arena, nullptr);
    }

    // On the threads there are; after a fork they are fewer than before.
    template <class F>
    void each(const F& work) {
        if (prepared->each(work)) return;
        prepare(1);
        prepared->each([](Worker<T>& worker) { worker.pack(); });
        prepared->each(work);
    }
};

template <class T>
Stepper<T>::Stepper(const Sweep<T>& sweep, const Isa& isa) : parts_(new Parts{sweep, isa}) {
    const auto [products, projections] = work_of(sweep);
    parts_->prepare((products + projections) * sweep.batch < 1e6 ? 1 : team_size(sweep.threads));
    parts_->each([](Worker<T>& worker) { worker.pack(); });
}

template <class T>
Stepper<T>::~Stepper() = default;

template <class T>
void Stepper<T>::step(Rows<const T> x) {
    parts_->sweep.projections[0].x = x;
    parts_->each([done = parts_->done](Worker<T>& worker) { worker.step(done); });
    ++parts_->done;
}

template <class T>
long Stepper<T>::done() const {
    return parts_->done;
}

template class Stepper<float>;
template class Stepper<double>;
template bool run<float>(const Sweep<float>&, const Isa&);
template bool run<double>(const Sweep<double>&, const Isa&);

}  // namespace pellucid
