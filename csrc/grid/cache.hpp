// A bounded cache of values that take long to make: latest first, for any number of threads, and in children of fork.
#pragma once

#include <pthread.h>

#include <list>
#include <memory>
#include <mutex>

namespace equiscope {

// One object for each type, at namespace scope and never destroyed: made while the library is loaded, it is found whole by
// every thread and by every child.
template <class Value>
class Cache {
  public:
    using Held = std::shared_ptr<const Value>;

    explicit Cache(std::size_t kept) : kept_(kept) {
        // the child of a fork has none of the threads that could open its lock: fork waits until nobody holds it
        pthread_atfork([] { mutex_.lock(); }, [] { mutex_.unlock(); }, [] { mutex_.unlock(); });
    }
    Cache(const Cache&) = delete;
    Cache& operator=(const Cache&) = delete;

    // The value for which matches(value), or what make() returns. That runs outside the lock, so that nobody waits for it,
    // and may run on several threads at once: the first that is done gives all of them its value.
    template <class Matches, class Make>
    Held find_or_make(const Matches& matches, const Make& make) {
        std::unique_lock<std::mutex> lock(mutex_);
        if (Held found = find(matches)) return found;
        lock.unlock();
        Held made = make();
        lock.lock();
        if (Held found = find(matches)) return found;
        held_.push_front(made);
        if (held_.size() > kept_) held_.pop_back();
        return made;
    }

  private:
    // With the lock held.
    template <class Matches>
    Held find(const Matches& matches) {
        for (auto entry = held_.begin(); entry != held_.end(); ++entry)
            if (matches(**entry)) {
                held_.splice(held_.begin(), held_, entry);
                return *entry;
            }
        return nullptr;
    }

    static inline std::mutex mutex_;
    std::size_t kept_;
    std::list<Held> held_;
};

}  // namespace equiscope
