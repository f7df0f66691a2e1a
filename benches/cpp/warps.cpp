// Answers to the calls that the sanitizers put into the bodies, and the warps made of them. Compiled without sanitizers.
#include "warps.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace equiscope {
namespace warps {
namespace {

using Address = std::uintptr_t;

struct Access {
    Address address;
    int bytes;
    bool store;
};

// A basic block that a thread came through, with the accesses in it. Blocks are told apart by the calls they lie in.
struct Visit {
    int place;
    std::vector<Access> accesses;
};

using Trace = std::vector<Visit>;

std::map<std::pair<int, Address>, int> places;  // of (call, address of the code): calls and blocks alike
std::vector<int> calls;
std::vector<Trace> traces;
Trace* current = nullptr;
Address first = 0, last = 0;

int place_of(Address code) {
    const int call = calls.empty() ? -1 : calls.back();
    return places.try_emplace({call, code}, static_cast<int>(places.size())).first->second;
}

void note(const void* memory, int bytes, bool store) {
    const auto address = reinterpret_cast<Address>(memory);
    if (current == nullptr || address < first || address >= last) return;
    if (current->empty()) current->push_back({-1, {}});
    current->back().accesses.push_back({address, bytes, store});
}

// The loops of all traces of a phase: every one a set of places, with the place that it is entered at.
class Loops {
  public:
    explicit Loops(const std::vector<Trace>& traces) {
        std::map<int, std::set<int>> edges;
        for (const Trace& trace : traces)
            for (std::size_t i = 1; i < trace.size(); ++i) edges[trace[i - 1].place].insert(trace[i].place);
        std::set<int> all, entries;
        for (const Trace& trace : traces) {
            for (const Visit& visit : trace) all.insert(visit.place);
            if (!trace.empty()) entries.insert(trace.front().place);
        }
        find(all, entries, edges);
    }

    // The loops around a place, from the outermost on, and whether it is where each of them starts again.
    struct Around {
        int loop;
        bool start;
    };
    const std::vector<Around>& around(int place) const {
        static const std::vector<Around> none;
        const auto found = around_.find(place);
        return found == around_.end() ? none : found->second;
    }

  private:
    using Edges = std::map<int, std::set<int>>;

    // Strongly connected parts are loops; without the ways back to their starts, they fall into the loops within them.
    void find(const std::set<int>& places, const std::set<int>& entries, Edges edges) {
        for (const std::set<int>& part : parts(places, edges)) {
            const int any = *part.begin();
            if (part.size() == 1 && edges[any].count(any) == 0) continue;
            std::set<int> starts;
            for (int place : part)
                if (entries.count(place)) starts.insert(place);
            for (int from : places)
                if (part.count(from) == 0)
                    for (int to : edges[from])
                        if (part.count(to)) starts.insert(to);
            for (int place : part) around_[place].push_back({loops_, starts.count(place) > 0});
            ++loops_;
            Edges within;
            for (int from : part)
                for (int to : edges[from])
                    if (part.count(to) && starts.count(to) == 0) within[from].insert(to);
            find(part, starts, within);
        }
    }

    static std::set<int> reached(int from, const std::set<int>& places, const Edges& edges) {
        std::set<int> seen{from};
        std::vector<int> left{from};
        while (!left.empty()) {
            const auto found = edges.find(left.back());
            left.pop_back();
            if (found == edges.end()) continue;
            for (int to : found->second)
                if (places.count(to) && seen.insert(to).second) left.push_back(to);
        }
        return seen;
    }

    static std::vector<std::set<int>> parts(const std::set<int>& places, const Edges& edges) {
        Edges backwards;
        for (const auto& [from, targets] : edges)
            for (int to : targets) backwards[to].insert(from);
        std::vector<std::set<int>> found;
        std::set<int> left = places;
        while (!left.empty()) {
            const std::set<int> there = reached(*left.begin(), left, edges),
                                back = reached(*left.begin(), left, backwards);
            std::set<int> part;
            std::set_intersection(there.begin(), there.end(), back.begin(), back.end(),
                                  std::inserter(part, part.end()));
            for (int place : part) left.erase(place);
            found.push_back(std::move(part));
        }
        return found;
    }

    std::map<int, std::vector<Around>> around_;
    int loops_ = 0;
};

// Place, which access there, from 1 on, and how often each loop around it has started: equal for what a warp does at once.
using Moment = std::vector<int>;
using Moments = std::map<Moment, std::vector<Access>>;

// The visits of a trace are entered into those of its warp, and their number into `steps`, where no lane was before.
void line_up(const Trace& trace, const Loops& loops, Moments& moments, std::int64_t& steps) {
    std::map<int, int> turns;
    std::set<int> within;  // loops around the place before
    for (const Visit& visit : trace) {
        Moment moment{visit.place, 0};
        std::set<int> now;
        for (const auto& [loop, start] : loops.around(visit.place)) {
            int& turn = turns[loop];
            // entered anew also where a loop around it went on: then it was left in between, or starts here
            if (within.count(loop) == 0)
                turn = 0;
            else if (start)
                ++turn;
            moment.push_back(turn);
            now.insert(loop);
        }
        within = std::move(now);
        steps += moments.try_emplace(moment).second;
        for (const Access& access : visit.accesses) {
            ++moment[1];
            moments[moment].push_back(access);
        }
    }
}

Wavefronts wavefronts(const std::vector<Access>& accesses) {
    if (accesses.empty()) return {0, 0, 0, 0};
    std::map<Address, std::set<Address>> words;  // of each bank
    std::set<Address> all;
    for (const Access& access : accesses)
        for (Address word = access.address / 4; word <= (access.address + static_cast<Address>(access.bytes) - 1) / 4;
             ++word) {
            words[word % lanes].insert(word);
            all.insert(word);
        }
    std::size_t most = 0;
    for (const auto& [bank, own] : words) most = std::max(most, own.size());
    const auto count = static_cast<std::int64_t>(most),
               least = static_cast<std::int64_t>((all.size() + lanes - 1) / lanes);
    return accesses.front().store ? Wavefronts{0, count, least, 0} : Wavefronts{count, 0, least, 0};
}

}  // namespace

void start_thread(int thread) {
    current = &traces[static_cast<std::size_t>(thread)];
    calls.clear();
}

void pause() { current = nullptr; }

void start_phase(const void* memory, std::size_t bytes, int threads) {
    first = reinterpret_cast<Address>(memory), last = first + bytes;
    places.clear();
    traces.assign(static_cast<std::size_t>(threads), {});
}

Wavefronts end_phase() {
    const Loops loops(traces);
    Wavefronts sum{0, 0, 0, 0};
    for (std::size_t warp = 0; warp < traces.size(); warp += lanes) {
        Moments moments;
        std::int64_t steps = 0;
        for (std::size_t i = warp; i < std::min(warp + lanes, traces.size()); ++i)
            line_up(traces[i], loops, moments, steps);
        sum.steps = std::max(sum.steps, steps);
        for (const auto& [moment, accesses] : moments) {
            const Wavefronts own = wavefronts(accesses);
            sum.loads += own.loads, sum.stores += own.stores, sum.least += own.least;
        }
    }
    return sum;
}

}  // namespace warps
}  // namespace equiscope

using namespace equiscope::warps;

extern "C" {

void __sanitizer_cov_trace_pc() {
    if (current) current->push_back({place_of(reinterpret_cast<Address>(__builtin_return_address(0))), {}});
}
void __tsan_init() {}
void __tsan_func_entry(void* code) {
    if (current) calls.push_back(place_of(reinterpret_cast<Address>(code)));
}
void __tsan_func_exit() {
    if (current && !calls.empty()) calls.pop_back();
}
void __tsan_read_range(void* memory, unsigned long bytes) { note(memory, static_cast<int>(bytes), false); }
void __tsan_write_range(void* memory, unsigned long bytes) { note(memory, static_cast<int>(bytes), true); }
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

#define EQUISCOPE_NOTE(bytes)                                                       \
    void __tsan_read##bytes(void* memory) { note(memory, bytes, false); }           \
    void __tsan_write##bytes(void* memory) { note(memory, bytes, true); }           \
    void __tsan_unaligned_read##bytes(void* memory) { note(memory, bytes, false); } \
    void __tsan_unaligned_write##bytes(void* memory) { note(memory, bytes, true); }

EQUISCOPE_NOTE(1)
EQUISCOPE_NOTE(2)
EQUISCOPE_NOTE(4)
EQUISCOPE_NOTE(8)
EQUISCOPE_NOTE(16)
}
