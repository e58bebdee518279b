#include "tile.h"

#include <algorithm>

namespace pellucid {

long borrowed(long at, long size, Border border) {
    switch (border) {
        case Border::value: return -1;
        case Border::reflect: at = at < 0 ? -at : 2 * size - 2 - at; break;
        case Border::circular: at = at < 0 ? at + size : at - size; break;
        case Border::replicate: break;
    }
    return std::clamp<long>(at, 0, size - 1);       // beyond it nothing is read that counts
}

TileAxis::TileAxis(const Axis& a, Range out, Border border) : out(out) {
    for (long k = 0; k < a.kernel; ++k) {
        const long at = k * a.dilation, p = at % a.stride;
        size_t i = 0;
        while (i < phases.size() && phases[i] != p) ++i;
        if (i == phases.size()) phases.push_back(p);
        phase.push_back((int)i);
        shift.push_back(at / a.stride);
    }
    reach = shift.back();
    count = out.count() + reach;
    for (long p : phases) {
        Run run{count, count};
        for (long i = 0; i < count; ++i) {
            const long at = (out.begin + i) * a.stride + p - a.before;
            const bool inside = at >= 0 && at < a.in;
            if (inside && run.begin == count) run = {i, i};
            if (inside) run.end = i + 1;
            source.push_back((std::int32_t)(inside ? at : borrowed(at, a.in, border)));
        }
        runs.push_back(run);
    }
}

std::vector<long> starts_of(const long (&count)[3], long z_step, long y_step, int lanes) {
    std::vector<long> starts;
    const long whole = (count[1] - 1) * y_step + count[2];
    const bool by_row = count[1] * ((count[2] + lanes - 1) / lanes) <= (whole + lanes - 1) / lanes;
    for (long z = 0; z < count[0]; ++z)
        for (long y = 0; y < (by_row ? count[1] : 1); ++y)
            for (long x = 0; x < (by_row ? count[2] : whole); x += lanes) starts.push_back(z * z_step + y * y_step + x);
    return starts;
}

std::vector<Half> halves_of(const Tile& t, int lanes) {
    std::vector<Half> halves;
    const Range &lines = t.windows[1], &columns = t.windows[2];
    const long most = lanes / 2;
    for (long y = lines.begin; y < lines.end; ++y)
        for (long x = columns.begin; x < columns.end; x += most)
            halves.push_back({2 * (y - lines.begin) * t.y_step + 2 * (x - columns.begin), (int)std::min(most, columns.end - x), y, x});
    return halves;
}

Tile tile_of(const Axis (&axes)[3], Border border, const Range (&windows)[3], const Range (&out)[3], long channels, int lanes) {
    Tile t;
    size_t phases = 1;
    for (int a = 0; a < 3; ++a) {
        t.windows[a] = windows[a];
        t.axis[a] = TileAxis(axes[a], out[a], border);
        phases *= t.axis[a].phases.size();
    }
    const TileAxis &z = t.axis[0], &y = t.axis[1], &x = t.axis[2];
    t.y_step = x.count;
    // Vectors that lie across two lines of the cache take twice as long. Rows of a stride's phases are half as long and read as often;
    // of one channel, where it takes little memory, they begin where vectors do.
    const long padded = (x.count + lanes - 1) / lanes * lanes;
    if (channels == 1 && axes[2].stride > 1 && 8 * padded <= 9 * x.count) t.y_step = padded;
    t.z_step = y.count * t.y_step;
    t.phase_step = z.count * t.z_step;
    t.channel_step = (long)phases * t.phase_step;
    for (long c = 0; c < channels; ++c)
        for (size_t kz = 0; kz < z.phase.size(); ++kz)
            for (size_t ky = 0; ky < y.phase.size(); ++ky)
                for (size_t kx = 0; kx < x.phase.size(); ++kx) {
                    const long phase = ((long)z.phase[kz] * y.phases.size() + y.phase[ky]) * x.phases.size() + x.phase[kx];
                    t.taps.push_back((std::int32_t)(c * t.channel_step + phase * t.phase_step + z.shift[kz] * t.z_step +
                                                    y.shift[ky] * t.y_step + x.shift[kx]));
                }
    t.starts = starts_of({out[0].count(), out[1].count(), out[2].count()}, t.z_step, t.y_step, lanes);
    t.length = t.starts.back() + lanes;
    return t;
}

}  // namespace pellucid
