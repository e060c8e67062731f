// EventRateLimit: how many Events are let in a second, of the whole server, of a namespace, a user,
// or a source and its object. Off by default. Any thread.
#pragma once

#include <list>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/loop.h"
#include "server/admission/plugin_config.h"

namespace keles::admission {

class EventLimiter {
 public:
  explicit EventLimiter(std::vector<EventLimit> limits);
  // The keys under which one Event counts.
  struct Keys {
    std::string ns, user, source_and_object;
  };
  // "", or which limits it is beyond, in upstream's words. It counts for the others all the same.
  std::string refuse(const Keys& keys, WallTime now);

 private:
  struct Bucket {
    double tokens = 0;
    WallTime at;
  };
  // The buckets of one limit, of the keys that were used last.
  struct Limiter {
    EventLimit limit;
    std::list<std::pair<std::string, Bucket>> used;  // the last in front
    std::map<std::string, std::list<std::pair<std::string, Bucket>>::iterator> by_key;
    bool accept(const std::string& key, WallTime now);
  };
  std::mutex mutex_;
  std::vector<Limiter> limiters_;
};

std::string_view limit_type_name(EventLimit::Type type);

}  // namespace keles::admission
