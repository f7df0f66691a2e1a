#include "cpu/pool.hpp"

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace equiscope {
namespace {

class Pool {
  public:
    // Returns false when another caller holds the pool.
    bool run(std::int64_t count, int threads, Task task, const void* context) {
        std::unique_lock<std::mutex> owner(in_use_, std::try_to_lock);
        if (!owner) return false;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            grow(threads - 1);
            task_ = task;
            context_ = context;
            count_ = count;
            next_ = 0;
            error_ = nullptr;
            invited_ = threads - 1 < size() ? threads - 1 : size();
            running_ = invited_;
            ++generation_;
        }
        wake_.notify_all();
        take_tasks();
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [this] { return running_ == 0; });
        if (error_) std::rethrow_exception(error_);
        return true;
    }

  private:
    int size() const { return static_cast<int>(workers_.size()); }

    void grow(int wanted) {
        while (size() < wanted) {
            try {
                workers_.emplace_back([this, index = size(), seen = generation_]() mutable { work(index, seen); });
            } catch (const std::system_error&) {
                return;  // the system grants no more threads: the tasks are done by those there are
            }
        }
    }

    void work(int index, std::int64_t seen) {
        for (;;) {
            {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [&] { return generation_ != seen; });
                seen = generation_;
                if (index >= invited_) continue;
            }
            take_tasks();
            std::lock_guard<std::mutex> lock(mutex_);
            if (--running_ == 0) done_.notify_one();
        }
    }

    void take_tasks() {
        for (;;) {
            const std::int64_t index = next_.fetch_add(1);
            if (index >= count_) return;
            try {
                task_(context_, index);
            } catch (...) {
                std::lock_guard<std::mutex> lock(mutex_);
                if (!error_) error_ = std::current_exception();
                next_ = count_;
            }
        }
    }

    std::mutex in_use_, mutex_;
    std::condition_variable wake_, done_;
    std::vector<std::thread> workers_;
    Task task_ = nullptr;
    const void* context_ = nullptr;
    std::atomic<std::int64_t> next_{0};
    std::int64_t count_ = 0, generation_ = 0;
    int invited_ = 0, running_ = 0;
    std::exception_ptr error_;
};

// Never destroyed: workers wait on it until the process ends. A child of fork has none of the workers and possibly a
// locked mutex, so it starts afresh; the parent's pool is left behind, since destroying it would join dead threads.
std::atomic<Pool*> pool{nullptr};

Pool& current_pool() {
    static const int registered = pthread_atfork(nullptr, nullptr, [] { pool.store(nullptr); });
    (void)registered;
    Pool* found = pool.load();
    if (found) return *found;
    Pool* fresh = new Pool;
    if (pool.compare_exchange_strong(found, fresh)) return *fresh;
    delete fresh;
    return *found;
}

}  // namespace

void parallel_for(std::int64_t count, int threads, Task task, const void* context) {
    if (threads > count) threads = static_cast<int>(count);
    if (threads > 1 && current_pool().run(count, threads, task, context)) return;
    for (std::int64_t i = 0; i < count; ++i) task(context, i);
}

}  // namespace equiscope
