#include "cpu/pool.hpp"

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

namespace equiscope {
namespace {

class Pool {
  public:
    // Returns false when another caller holds the pool.
    bool run(long count, int threads, const std::function<void(long)>& task) {
        std::unique_lock<std::mutex> owner(in_use_, std::try_to_lock);
        if (!owner) return false;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            while (static_cast<int>(workers_.size()) < threads - 1) {
                const int index = static_cast<int>(workers_.size());
                workers_.emplace_back([this, index, seen = generation_]() mutable { work(index, seen); });
            }
            task_ = &task;
            count_ = count;
            next_ = 0;
            error_ = nullptr;
            invited_ = threads - 1;
            running_ = threads - 1;
            ++generation_;
        }
        wake_.notify_all();
        take_tasks();
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [this] { return running_ == 0; });
        task_ = nullptr;
        if (error_) std::rethrow_exception(error_);
        return true;
    }

  private:
    void work(int index, long seen) {
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
            const long index = next_.fetch_add(1);
            if (index >= count_) return;
            try {
                (*task_)(index);
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
    const std::function<void(long)>* task_ = nullptr;
    std::atomic<long> next_{0};
    long count_ = 0, generation_ = 0;
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

void parallel_for(long count, int threads, const std::function<void(long)>& task) {
    if (threads > count) threads = static_cast<int>(count);
    if (threads > 1 && current_pool().run(count, threads, task)) return;
    for (long i = 0; i < count; ++i) task(i);
}

}  // namespace equiscope
